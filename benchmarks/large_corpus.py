"""Makes a corpus as large as one wishes, of the shape of a small one, out of its words.

    python benchmarks/large_corpus.py TEXTS.jsonl OUT --bytes 1200000000 [--form folder]

Documents have log-normal lengths with the median and spread of those in TEXTS (`text` of each
line). Each is made of stretches of some twelve words, which go on where the same word stands
elsewhere; one word in a hundred is a new one, made of the halves of two, so that there is no end of
new words, as in real text. The same bytes for the same seed. What a tokenizer, a store and a loop
do with it is what they do with real text of that size; what a model learns from it is not.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

STRETCH = 12
"""Words of a stretch, on average (geometric)."""
NEW = 100
"""One word in so many is made of two."""
PER_FOLDER = 1000
"""Files of a folder: one with hundreds of thousands is slow everywhere."""
PER_GROUP = 1000
"""Documents of a row group of Parquet."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--form", choices=("jsonl", "folder", "parquet"), default="jsonl")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = options.texts.read_text(encoding="utf-8").splitlines()
    made = made_documents([json.loads(line)["text"] for line in lines], options.bytes, options.seed)
    count = {"jsonl": write_lines, "folder": write_folder, "parquet": write_parquet}[options.form](
        made, options.out
    )
    print(f"{count:,} documents in {options.out}")


def made_documents(texts: list[str], size: int, seed: int) -> Iterator[str]:
    """Make documents until their UTF-8 has `size` bytes."""
    random = np.random.default_rng(seed)
    lengths = np.log([len(text.encode()) for text in texts])
    low, high = np.exp(lengths.min()), np.exp(lengths.max())
    words = [word for text in texts for word in re.findall(r"\S+\s*", text)]
    keys = np.unique(np.array([word.strip() for word in words], dtype=object), return_inverse=True)
    by_word = np.argsort(keys[1], kind="stable")
    begins = np.searchsorted(keys[1][by_word], np.arange(len(keys[0]) + 1))
    while size > 0:
        wanted = min(high, max(low, random.lognormal(np.median(lengths), lengths.std())))
        text = _document(words, keys[1], by_word, begins, int(wanted), random)
        yield text
        size -= len(text.encode())


def _document(
    words: list[str],
    keys: np.ndarray,
    by_word: np.ndarray,
    begins: np.ndarray,
    wanted: int,
    random: np.random.Generator,
) -> str:
    stretches = 2 + wanted // (3 * STRETCH)
    numbers = random.geometric(1 / STRETCH, stretches).tolist()
    fresh = (random.random(stretches) < STRETCH / NEW).tolist()
    shares = random.random(stretches).tolist()
    place = int(random.integers(len(words)))
    parts: list[str] = []
    length = 0
    for number, new, share in zip(numbers, fresh, shares, strict=True):
        stretch = "".join(words[place : place + number])
        end = min(place + number, len(words) - 1)
        same = keys[end]
        first, last = int(begins[same]), int(begins[same + 1])
        place = int(by_word[first + int(share * (last - first))])
        if new:
            left, right = words[end].strip(), words[int(share * len(words))]
            stretch += left[: -(-len(left) // 2)] + right[len(right) // 2 :].lstrip() + " "
        parts.append(stretch)
        length += len(stretch)
        if length >= wanted:
            break
    return "".join(parts).strip() or "."


def write_lines(documents: Iterator[str], path: Path) -> int:
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for text in documents:
            file.write(json.dumps({"text": text}) + "\n")
            count += 1
    return count


def write_folder(documents: Iterator[str], path: Path) -> int:
    count = 0
    for text in documents:
        folder = path / f"{count // PER_FOLDER:04}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{count % PER_FOLDER:03}.txt").write_text(text, encoding="utf-8", newline="")
        count += 1
    return count


def write_parquet(documents: Iterator[str], path: Path) -> int:
    import pyarrow
    import pyarrow.parquet

    count = 0
    schema = pyarrow.schema([("text", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        held: list[str] = []
        for text in documents:
            held.append(text)
            count += 1
            if len(held) == PER_GROUP:
                writer.write_table(pyarrow.table({"text": held}, schema=schema))
                held = []
        if held:
            writer.write_table(pyarrow.table({"text": held}, schema=schema))
    return count


if __name__ == "__main__":
    main()
