"""The memory beside FAISS and plain arrays.

How quickly it is searched, changed and opened, and what it finds.

    python benchmarks/memory_store.py [exact flat removal recall open] [--run RUN --text SOURCE]
    [--threads 2]

`exact` and `flat` time 64 queries beside FAISS's IndexFlatL2 and compare with the truth, computed
in float64. `removal` times taking 64 entries out beside copying the array for each. `recall`
measures recall@5 of the approximate backends with their default settings: on normal noise and,
given a run and a text, on the run's hidden states of the text's training part, scaled to length 1;
the queries are those of its validation part. `open` times opening a saved memory. Both sides
compute with the same number of threads.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from inklings.memory.backends.exact import Exact
from inklings.memory.backends.flat import Flat
from inklings.memory.persistence import load, save
from inklings.memory.store import Memory, MemoryConfig
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenSplit, prepare
from side_by_side import interleaved, ratio

PARTS = ("exact", "flat", "removal", "recall", "open")
K = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", help=f"which of {', '.join(PARTS)}; all of them if none is named"
    )
    parser.add_argument("--count", type=int, default=100_000, help="vectors")
    parser.add_argument("--saved", type=int, default=1_000_000, help="vectors of the saved memory")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--run", type=Path, help="a run whose hidden states are searched")
    parser.add_argument("--text", help="of which text; the run's own if it is left out")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    print(f"{options.threads} threads, torch {torch.__version__}, FAISS {faiss.__version__}")
    for part in options.parts or PARTS:
        if part in ("exact", "flat"):
            for name, make in (("normal", normal), ("clustered", clustered)):
                searching(part, name, *make(options.count, 64, 768), options.pairs)
        elif part == "removal":
            removal(options.count)
        elif part == "open":
            opening(options.saved)
        else:
            recalls("normal noise", *normal(options.count, 1000, 128))
            if options.run:
                recalls(
                    f"hidden states of {options.run.name}",
                    *hidden_states(options.run, options.text, options.count, 1000),
                )


def normal(count: int, queries: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((count, dimension), np.float32), generator.standard_normal(
        (queries, dimension), np.float32
    )


def clustered(count: int, queries: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Around 200 centres, at a third of the distance of the centres from zero."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((200, dimension), np.float32)

    def some(n: int) -> np.ndarray:
        return centres[generator.integers(0, 200, n)] + np.float32(0.3) * generator.standard_normal(
            (n, dimension), np.float32
        )

    return some(count), some(queries)


def hidden_states(
    folder: Path, text: str | None, count: int, queries: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the model makes of the first windows of the training part.

    And of the validation part.
    """
    run = RunDirectory.open(folder)
    model = run.load_model()
    data = run.config.data if text is None else dataclasses.replace(run.config.data, source=text)
    store = prepare(data, tokenizer=run.tokenizer())
    length = int(getattr(model.config, "context_length", 256))

    def states(split: TokenSplit, wanted: int) -> np.ndarray:
        rows = min(-(-wanted // length), split.n_targets // length)
        found = []
        with torch.inference_mode():
            for row in range(rows):
                window = torch.from_numpy(
                    split.read(row * length, (row + 1) * length).astype(np.int64)
                )
                hidden = model(window[None]).hidden
                assert hidden is not None, "the model gives no hidden states"
                found.append(torch.nn.functional.normalize(hidden[0].float(), dim=1).numpy())
        return np.concatenate(found)[:wanted]

    known, asked = (
        states(store.split("train"), count),
        states(store.split("validation"), 16 * queries),
    )
    return known, asked[np.random.default_rng(0).permutation(len(asked))[:queries]]


def truth(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Squared distance of the fifth nearest, in float64."""
    points = torch.from_numpy(queries).double()
    parts = []
    for at in range(0, len(vectors), 4096):
        some = torch.from_numpy(vectors[at : at + 4096]).double()
        distances = points.square().sum(1)[:, None] + some.square().sum(1) - 2 * points @ some.T
        parts.append(distances.topk(min(K, len(some)), largest=False).values)
    return torch.cat(parts, 1).topk(K, largest=False).values.amax(1).numpy()


def recall(ids: np.ndarray, vectors: np.ndarray, queries: np.ndarray, limit: np.ndarray) -> float:
    """The share of the K answers that are as near as the K-th nearest, up to float64's rounding."""
    distances = np.square(vectors[ids].astype(float) - queries[:, None]).sum(2)
    return float(((ids >= 0) & (distances <= limit[:, None] * (1 + 1e-12) + 1e-12)).mean())


def searching(
    backend: str, name: str, vectors: np.ndarray, queries: np.ndarray, pairs: int
) -> None:
    count, dimension = vectors.shape
    bare = faiss.IndexFlatL2(dimension)
    bare.add(vectors)
    ours = Exact(dimension, capacity=count) if backend == "exact" else Flat(dimension)
    ours.add(np.arange(count), vectors)
    rivals = {"FAISS": lambda: bare.search(queries, K), backend: lambda: ours.search(queries, K)}
    times = interleaved(rivals, pairs, warmups=8)
    middle, low, high = ratio(times["FAISS"], times[backend])
    found = recall(ours.search(queries, K)[0], vectors, queries, truth(vectors, queries))
    print(
        f"{backend}, {name}, {len(queries)} queries among {count:,} x {dimension}:"
        f" {np.median(times[backend]) * 1e3:.0f} ms, FAISS {np.median(times['FAISS']) * 1e3:.0f}"
        f" ms: x{middle:.2f} ({low:.2f} to {high:.2f}, {pairs} pairs); recall@{K} {found!r}",
        flush=True,
    )


def filled(vectors: np.ndarray, backend: str = "exact") -> Memory:
    count, dimension = vectors.shape
    memory = Memory(MemoryConfig(dimension=dimension, capacity=count, backend=backend))  # type: ignore[arg-type]
    facts: dict[str, Any] = dict.fromkeys(("values", "positions", "documents"), np.arange(count))
    memory.add(vectors, **facts)
    return memory


def removal(count: int, gone: int = 64) -> None:
    """A round takes `gone` entries out.

    What was there before is put back between the rounds, which is not timed.
    """
    vectors = normal(count, 1, 768)[0]
    facts: dict[str, Any] = dict.fromkeys(("values", "positions", "documents"), np.arange(gone))
    memory = filled(vectors)
    generator = np.random.default_rng(0)
    spent: dict[str, list[float]] = {
        "remove": [],
        "forget": [],
        "np.delete each": [],
        "np.delete once": [],
    }

    def clock(name: str, start: float) -> None:
        spent[name].append(time.perf_counter() - start)

    for _ in range(5):
        chosen = generator.choice(memory.ids, gone, replace=False)
        start = time.perf_counter()
        memory.remove(chosen)
        clock("remove", start)
        memory.add(vectors[:gone], **facts)
        start = time.perf_counter()
        left = len(memory.forget(gone / count, generator))
        clock("forget", start)
        if left:
            memory.add(
                vectors[:left], **{name: column[:1].repeat(left) for name, column in facts.items()}
            )
        array, rows = vectors, generator.integers(0, count - gone, gone)
        start = time.perf_counter()
        for row in rows.tolist():
            array = np.delete(array, row, axis=0)
        clock("np.delete each", start)
        start = time.perf_counter()
        np.delete(vectors, rows, axis=0)
        clock("np.delete once", start)
    for ours in ("remove", "forget"):
        for theirs in ("np.delete each", "np.delete once"):
            middle, low, high = ratio(np.array(spent[theirs]), np.array(spent[ours]))
            print(
                f"{ours} {gone} of {count:,} x 768: {np.median(spent[ours]) * 1e3:.2f} ms, {theirs}"
                f" {np.median(spent[theirs]) * 1e3:,.0f} ms: x{middle:,.0f} ({low:,.0f} to"
                f" {high:,.0f}, 5 rounds)"
            )


def recalls(what: str, vectors: np.ndarray, queries: np.ndarray) -> None:
    limit = truth(vectors, queries)
    for backend in ("exact", "ivf", "ivfpq", "hnsw"):
        start = time.perf_counter()
        index = filled(vectors, backend).index
        built = time.perf_counter() - start
        start = time.perf_counter()
        ids = index.search(queries, K)[0]
        spent = time.perf_counter() - start
        print(
            f"{backend}, {what}, {len(vectors):,} x {vectors.shape[1]}: recall@{K}"
            f" {recall(ids, vectors, queries, limit):.4f}; {spent / len(queries) * 1e3:.2f} ms a"
            f" query, built in {built:.0f} s",
            flush=True,
        )


def opening(count: int) -> None:
    memory = filled(normal(count, 1, 256)[0])
    with tempfile.TemporaryDirectory() as folder:
        save(memory, Path(folder) / "memory")
        size = sum(path.stat().st_size for path in (Path(folder) / "memory").iterdir())
        queries = normal(1, 8, 256)[1]
        seconds, first = [], []
        for _ in range(5):
            start = time.perf_counter()
            again = load(Path(folder) / "memory")
            opened = time.perf_counter()
            again.search(queries, K)
            first.append(time.perf_counter() - opened)
            seconds.append(opened - start)
    print(
        f"opening {count:,} x 256 ({size / 2**20:,.0f} MiB, every byte checked):"
        f" {np.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, 5 times), the"
        f" first search after it {np.median(first):.2f} s"
    )


if __name__ == "__main__":
    main()
