"""Padding changes nothing: neither where it is, nor how much of it, nor what it is made of."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.hugging_face.hugging_face_subject import HuggingFaceSubject
from inklings.auditing.probes import moved, random_tokens
from inklings.models.adapters.hugging_face import takes

LENGTH, PADS = 19, 6


def check_padding(subject: HuggingFaceSubject) -> Finding:
    """Check that a padded row is predicted as without padding, on the right and on the left."""
    model = subject.trained or subject.scrambled
    inner: nn.Module = model.inner  # type: ignore[assignment]  # of the adapter
    inner.eval()
    length = min(LENGTH, model.config.context_length - PADS)
    tokens = random_tokens(model, 2, length)
    pads = random_tokens(model, 4, PADS, seed=1).chunk(2)
    expected = _pass(inner, tokens)
    takes_mask = "attention_mask" in inspect.signature(inner.forward).parameters
    sides = ("right", "left") if takes_mask else ("right",)
    for side in sides:
        for filling in pads:
            found = _padded(inner, tokens, filling, side, masked=takes_mask)
            if by := moved(found, expected):
                return Finding(
                    check="padding",
                    status="fail",
                    summary=(
                        f"{filling.shape[1]} tokens of padding on the {side}, which the attention"
                        f" mask hides, move a logit by {by:.2g}"
                    ),
                    evidence={"side": side, "effect": by},
                )
    return Finding(
        check="padding",
        status="pass",
        summary=f"padding on the {' or the '.join(sides)} changes no logit"
        + ("" if takes_mask else "; it takes no attention mask"),
    )


def _padded(
    inner: nn.Module,
    tokens: Int[Tensor, "B T"],
    filling: Int[Tensor, "B P"],
    side: str,
    *,
    masked: bool,
) -> Float[Tensor, "B T V"]:
    """The logits of the tokens where padding stands on one side of them."""
    length, real, hidden = tokens.shape[1], torch.ones_like(tokens), torch.zeros_like(filling)
    if side == "right":
        rows, mask, first = torch.cat([tokens, filling], 1), torch.cat([real, hidden], 1), 0
    else:
        rows, mask = torch.cat([filling, tokens], 1), torch.cat([hidden, real], 1)
        first = filling.shape[1]
    logits = _pass(inner, rows, mask if masked else None)
    return logits[:, first : first + length]


def _pass(
    inner: nn.Module, tokens: Int[Tensor, "B T"], mask: Tensor | None = None
) -> Float[Tensor, "B T V"]:
    given: dict[str, Any] = {"use_cache": False} if takes(inner, "use_cache") else {}
    if mask is not None:
        given["attention_mask"] = mask
        if "position_ids" in inspect.signature(inner.forward).parameters:
            given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        logits: Tensor = inner(input_ids=tokens, **given).logits
    return logits


PADDING = Check(name="padding", run=check_padding)
