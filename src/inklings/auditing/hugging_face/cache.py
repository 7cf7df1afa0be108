"""A text that is generated with a cache has the predictions of one pass over it."""

from __future__ import annotations

from typing import Any

import torch

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.hugging_face.hugging_face_subject import HuggingFaceSubject
from inklings.auditing.probes import moved, random_tokens

PROMPT, NEW = 7, 24


def check_cache(subject: HuggingFaceSubject) -> Finding:
    """Check that the logits of generation with a cache are those of one pass."""
    model = subject.trained or subject.scrambled
    inner: Any = model.inner
    inner.eval()
    if not inner.can_generate():
        return not_applicable("cache", "it cannot generate")
    new = min(NEW, model.config.context_length - PROMPT)
    prompt = random_tokens(model, 2, PROMPT)
    with torch.no_grad():
        written = inner.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            use_cache=True,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=model.config.boundary_token,
        )
        expected = inner(input_ids=written.sequences[:, :-1], use_cache=False).logits
    found = torch.stack(written.logits, dim=1).float()
    expected = expected[:, PROMPT - 1 :].float()
    for step in range(new):
        if by := moved(found[:, step], expected[:, step]):
            return Finding(
                check="cache",
                status="fail",
                summary=(
                    f"generated with a cache, the logits of token {step + 1} after a prompt of"
                    f" {PROMPT} differ by {by:.2g} from those of one pass"
                ),
                evidence={"step": step, "effect": by},
            )
    return Finding(
        check="cache",
        status="pass",
        summary=f"{new} tokens generated with a cache have the logits of one pass",
    )


CACHE = Check(name="cache", run=check_cache)
