"""A tokenizer's tokens are of the model's vocabulary, and hold the text that they are made of."""

from __future__ import annotations

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.hugging_face.hugging_face_subject import HuggingFaceSubject
from inklings.models.adapters.hugging_face import settings_of

TEXTS = (
    "Hello, world!",
    "  two blanks, and one at the end ",
    "line one\nline two\r\n\ttab",
    "naïve café, Zürich, 東京, Ωμέγα",
    "don't can't I'm 'tis  12,345.67",
    "🙂 combining: e\u0301",
)
"""What tokenizers were seen to change: blanks, ends of lines, accents, marks, numbers."""


def check_tokenizer(subject: HuggingFaceSubject) -> Finding:
    """Check that texts come back, and that no token lies outside the vocabulary."""
    tokenizer = subject.tokenizer
    if tokenizer is None:
        return not_applicable("tokenizer", "the folder has no tokenizer")
    size = int(settings_of(subject.inner).vocab_size)
    texts, changed, outside = list(TEXTS), [], set()
    for text in texts:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        outside |= {token for token in tokens if not 0 <= token < size}
        back = tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if back != text:
            changed.append(text)
    opening = len(tokenizer.encode("")) if not outside else 0
    evidence = {"changed": changed, "outside": sorted(outside), "added": opening}
    if outside:
        return Finding(
            check="tokenizer",
            status="fail",
            summary=f"the tokenizer gives the token {max(outside)}, and the model has {size}",
            evidence=evidence,
        )
    if changed:
        return Finding(
            check="tokenizer",
            status="warning",
            summary=(
                f"{len(changed)} of {len(texts)} texts come back changed, the first {changed[0]!r}:"
                " what is lost is scored by nobody, and bits per byte mean little"
            ),
            evidence=evidence,
        )
    added = f"; it adds {opening} tokens to every text by default" if opening else ""
    return Finding(
        check="tokenizer",
        status="pass",
        summary=f"{len(texts)} texts come back as they were{added}",
        evidence=evidence,
    )


TOKENIZER = Check(name="tokenizer", run=check_tokenizer)
