"""Batches bucketed by length, and BatchNorm.

The statistics of a batch tell every row how long its text is.

    python benchmarks/bucketed_batches.py [--data names] [--epochs 20]

The tree of makemore, part 5, trained on batches of names that all have the same length, with
BatchNorm and with LayerNorm; then what the audit says of each. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from inklings.auditing.checks.rows import batch_statistics_losses, check_rows
from inklings.config import DataConfig
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.models.tree_wavenet import TreeWaveNet, TreeWaveNetConfig
from inklings.text.batches import Batch
from inklings.text.store import TokenSplit, prepare

ROWS = 128


def buckets(split: TokenSplit) -> list[torch.Tensor]:
    """Documents with their boundaries, (N, length + 2), those of one length together."""
    lengths = np.diff(split.offsets) - 1
    found = []
    for length in np.unique(lengths):
        begins = split.offsets[:-1][lengths == length]
        rows = np.stack([split.read(int(begin), int(begin) + int(length) + 2) for begin in begins])
        found.append(torch.from_numpy(rows.astype(np.int64)))
    return found


def epoch(alike: list[torch.Tensor], generator: torch.Generator) -> list[Batch]:
    """All documents once, in batches of one length each, shuffled."""
    batches = []
    for rows in alike:
        for part in rows[torch.randperm(len(rows), generator=generator)].split(ROWS):
            if len(part) > 1:
                tokens, targets = part[:, :-1], part[:, 1:]
                batches.append(Batch(tokens, targets, torch.ones(tokens.shape), None))
    return [batches[i] for i in torch.randperm(len(batches), generator=generator)]


def train(
    norm: Literal["batch", "layer"], splits: dict[str, TokenSplit], vocab_size: int, epochs: int
) -> dict[str, object]:
    """Train the tree and say what came of it."""
    torch.manual_seed(0)
    model = TreeWaveNet(
        TreeWaveNetConfig(vocab_size=vocab_size, boundary_token=splits["train"].boundary, norm=norm)
    )
    alike, generator = buckets(splits["train"]), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    steps = epochs * len(epoch(alike, generator))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for _ in range(epochs):
        for batch in epoch(alike, generator):
            loss = F.cross_entropy(
                model(batch.tokens).logits.flatten(0, 1), batch.targets.flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    batches = epoch(alike, generator)
    with_company, without = batch_statistics_losses(model, batches)
    finding = check_rows(model, batches[:16], trained=True)
    return {
        "norm": norm,
        "train_as_trained": with_company,
        "train_in_evaluation": without,
        "validation": evaluate(model, splits["validation"]).loss,
        "audit": f"{finding.status}: {finding.summary}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="names")
    parser.add_argument("--epochs", type=int, default=20)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    store = prepare(DataConfig(source=flags.data, tokenizer="char"))
    splits = {name: store.split(name) for name in ("train", "validation")}
    print(
        json.dumps(
            [
                train(norm, splits, store.tokenizer.vocab_size, flags.epochs)
                for norm in ("batch", "layer")
            ],
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
