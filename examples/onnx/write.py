"""Write with an exported model: `python write.py FOLDER [PROMPT]`.

FOLDER is what `inklings export RUN --to onnx FOLDER` wrote. This needs numpy, onnxruntime and
tokenizers; no PyTorch, and nothing of Inklings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers

TOKENS = 200
TEMPERATURE = 0.8


def main(folder: Path, prompt: str) -> None:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True  # the boundary's name, met in a text, is text
    stream = json.loads((folder / "stream.json").read_text())
    parts = {part["name"]: part for part in stream["state"]}
    # before the first token of one text; of several, the first size is their number
    state = {
        name: np.full([1, *part["shape"]], part["fill"], part["dtype"])
        for name, part in parts.items()
    }
    chance = np.random.default_rng()
    tokens = tokenizer.encode(prompt).ids  # the boundary in front, as every document begins
    text = list(tokens)
    for _ in range(TOKENS):
        logits, *after = session.run(None, {"tokens": np.array([tokens]), **state})
        state = dict(zip(parts, after, strict=True))
        weights = np.exp((logits[0, -1] - logits[0, -1].max()) / TEMPERATURE)
        tokens = [int(chance.choice(len(weights), p=weights / weights.sum()))]
        if tokens == [stream["boundary"]]:
            break
        text += tokens
    sys.stdout.write(tokenizer.decode(text) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), " ".join(sys.argv[2:]))
