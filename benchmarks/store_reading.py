"""How quickly the tokens of a prepared text are read, and what several readers have in memory.

    python benchmarks/store_reading.py STORE [--readers 4]

STORE is the folder that `inklings prepare SOURCE --json` names. Prints how fast all tokens of the
training part are read, first to last, with their blocks compared with their hashes and then without
(as on a second reading in the same process), and what a batch at random places costs, all in CPU
time, in which no disk is waited for; then the memory of so many processes, each of which has read
all: what each would claim for itself (RSS), and what they have together (PSS), where a page of the
mapped file that several read counts once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path

from inklings.text.batches import windows
from inklings.text.store import TokenSplit, TokenStore

STRETCH = 2**22
"""Tokens that are read at a time."""
BATCHES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--readers", type=int, default=4)
    options = parser.parse_args()
    file = options.store / "train.tokens.bin"
    size = file.stat().st_size
    print(f"{size / 1e6:,.0f} MB of tokens")
    split = TokenStore(options.store).split("train")
    for what in ("checked", "again"):
        seconds = read_all(split)
        print(f"read, {what}: {size / 1e6 / seconds:,.0f} MB a CPU second")
    made = windows(split, batch_size=16, length=256)
    begun = time.process_time()
    for step in range(BATCHES):
        made.batch(step * made.steps_per_epoch // BATCHES)
    seconds = (time.process_time() - begun) / BATCHES
    print(
        f"a batch of 16 x 256: {1e6 * seconds:,.0f} us, {1e9 * seconds / 16 / 256:.0f} ns a token"
    )
    show_memory(options.store, options.readers)


def read_all(split: TokenSplit) -> float:
    """CPU seconds that reading every token takes."""
    begun = time.process_time()
    for start in range(0, len(split.tokens), STRETCH):
        split.read(start, start + STRETCH).max()
    return time.process_time() - begun


def show_memory(store: Path, readers: int) -> None:
    """Print what processes have in memory that have all read the whole text."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(readers)]
    processes = [context.Process(target=reader, args=(store, theirs)) for _, theirs in pipes]
    for process in processes:
        process.start()
    for ours, _ in pipes:
        ours.recv()
    found = [memory_of(process.pid or 0) for process in processes]
    for ours, _ in pipes:
        ours.send("done")
    for process in processes:
        process.join()
    for number, (rss, pss) in enumerate(found, start=1):
        print(f"reader {number}: RSS {rss:,} MiB, PSS {pss:,} MiB")
    print(f"together: RSS {sum(f[0] for f in found):,} MiB, PSS {sum(f[1] for f in found):,} MiB")


def reader(store: Path, pipe: Connection) -> None:
    split = TokenStore(store).split("train")
    read_all(split)
    pipe.send("read")
    pipe.recv()


def memory_of(process: int) -> tuple[int, int]:
    """RSS and PSS of a process in MiB, as Linux counts them."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kib["Rss"] // 1024, kib["Pss"] // 1024


if __name__ == "__main__":
    main()
