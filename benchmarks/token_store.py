"""How quickly a text becomes tokens on disk.

With how much memory, and beside nanoGPT's way of doing it.

    python benchmarks/token_store.py FOLDER [--tokenizer bpe:4096] [--pairs 5]

Prints three things: wall time, CPU seconds per second of wall time and peak memory of `prepare`
(vocabulary learned and text encoded); the same for the text three times over; and the time of
encoding alone as a ratio to `datasets.map` with two processes and the same tokenizer, one document
a call, followed by writing the tokens into one array, as nanoGPT's `prepare.py` does. Every
measurement is a fresh process; ours and theirs alternate.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MEBIBYTE = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a folder of text files, each of them a document")
    parser.add_argument("--tokenizer", default="bpe:4096")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.folder, *options.child)
        return
    size = sum(path.stat().st_size for path in options.folder.glob("*.txt"))
    print(
        f"{size / 1e6:.1f} MB in {len(list(options.folder.glob('*.txt')))} files, {os.cpu_count()}"
        f" CPUs, tokenizer {options.tokenizer}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        threefold = Path(scratch) / "threefold"
        threefold.mkdir()
        for path in options.folder.glob("*.txt"):
            for copy in range(3):
                shutil.copy(path, threefold / f"{path.stem}-{copy}.txt")
        for name, folder in (("once", options.folder), ("three times", threefold)):
            show(
                f"prepare, {name}",
                [
                    measure("prepare", folder, options.tokenizer, Path(scratch))
                    for _ in range(options.pairs)
                ],
            )
        tokenizer = Path(scratch) / "tokenizer.json"
        measure("learn", options.folder, options.tokenizer, tokenizer)
        ours, theirs = [], []
        for _ in range(options.pairs):
            ours.append(measure("prepare", options.folder, str(tokenizer), Path(scratch)))
            theirs.append(measure("datasets", options.folder, str(tokenizer), Path(scratch)))
        show("encode only, ours", ours)
        show("encode only, datasets.map, 2 processes", theirs)
        ratios = sorted(
            their["wall"] / our["wall"] for our, their in zip(ours, theirs, strict=True)
        )
        print(
            f"datasets.map takes {statistics.median(ratios):.2f} times ours ({ratios[0]:.2f} to"
            f" {ratios[-1]:.2f}, {len(ratios)} pairs)"
        )


def measure(what: str, folder: Path, tokenizer: str, scratch: Path) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, str(folder), "--child", what, tokenizer, str(scratch)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def show(name: str, runs: list[dict[str, float]]) -> None:
    median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    best = max(run["cpu"] / run["wall"] for run in runs)
    print(
        f"{name:40} {median['wall']:6.2f} s wall   {median['cpu'] / median['wall']:.2f} CPUs busy"
        f" (best run {best:.2f})   peak {median['peak']:.0f} MiB, of which {median['before']:.0f}"
        f" before the start   {median['tokens']:,.0f} tokens"
    )


def run_child(folder: Path, what: str, tokenizer: str, scratch: str) -> None:
    work: dict[str, Callable[[Path, str, Path], Callable[[], int]]] = {
        "prepare": prepare_store,
        "learn": learn,
        "datasets": map_datasets,
    }
    run = work[what](folder, tokenizer, Path(scratch))
    before = peak()
    start, cpu = time.perf_counter(), cpu_seconds()
    tokens = run()
    wall = time.perf_counter() - start
    print(
        json.dumps(
            {
                "wall": wall,
                "cpu": cpu_seconds() - cpu,
                "peak": peak(),
                "before": before,
                "tokens": tokens,
            }
        )
    )


def peak() -> float:
    """Peak memory in MiB of this process, or of its largest child if that is more."""
    return (
        max(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        * 1024
        / MEBIBYTE
    )


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def prepare_store(folder: Path, tokenizer: str, scratch: Path) -> Callable[[], int]:
    from inklings.config import DataConfig
    from inklings.text.store import prepare

    def run() -> int:
        data = DataConfig(source=str(folder), layout="documents", tokenizer=tokenizer)
        with tempfile.TemporaryDirectory(dir=scratch) as cache:
            store = prepare(data, cache=Path(cache))
            return sum(facts["tokens"] for facts in store.manifest["splits"].values())

    return run


def learn(folder: Path, tokenizer: str, path: Path) -> Callable[[], int]:
    from inklings.text.vocabularies import make_tokenizer

    def run() -> int:
        made = make_tokenizer(
            tokenizer,
            lambda: (
                (file.read_text(encoding="utf-8"), True) for file in sorted(folder.glob("*.txt"))
            ),
        )
        made.save(path)
        return made.vocab_size

    return run


def map_datasets(folder: Path, tokenizer: str, scratch: Path) -> Callable[[], int]:
    import datasets
    import numpy as np

    from inklings.text.tokenizers import Tokenizer

    datasets.disable_progress_bars()
    made = Tokenizer.load(Path(tokenizer))

    def encode(example: dict[str, str]) -> dict[str, object]:
        ids = [made.boundary, *made.backend.encode(example["text"], add_special_tokens=False).ids]
        return {"ids": ids, "len": len(ids)}

    def run() -> int:
        texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]
        whole = datasets.Dataset.from_dict({"text": texts})
        mapped = whole.map(encode, remove_columns=["text"], num_proc=2)
        total = int(np.sum(mapped["len"], dtype=np.uint64))
        with tempfile.TemporaryDirectory(dir=scratch) as cache:
            array = np.memmap(Path(cache) / "train.bin", dtype=np.uint16, mode="w+", shape=(total,))
            place = 0
            shards = min(1024, len(texts))
            for shard in range(shards):
                part = mapped.shard(num_shards=shards, index=shard, contiguous=True).with_format(
                    "numpy"
                )
                for ids in part["ids"]:
                    array[place : place + len(ids)] = ids
                    place += len(ids)
            array.flush()
        return total

    return run


if __name__ == "__main__":
    multiprocessing.set_start_method("fork", force=True)
    main()
