"""What a leak looks like.

Loss by position of a window, from one parallel pass and from each prefix alone, for some runs.

    python benchmarks/leak.py runs/leaky runs/gpt --out docs/images/leak

writes leak.svg and leak.png, and prints the figures as JSON. The runs must be of one text.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import altair
import torch

from inklings.auditing.checks.branches import check_branches
from inklings.auditing.checks.prefixes import parallel_losses, text_windows
from inklings.lab.report.chart import COLORS
from inklings.models.contract import SequenceModel
from inklings.runs.directory import RunDirectory
from inklings.text.store import prepare


def losses(run: RunDirectory, rows: int) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Rows for the chart, and a run's figures.

    Nats per token over the positions of windows of its own context.
    """
    torch.set_num_threads(1)
    model = run.load_model().eval()
    assert isinstance(model, SequenceModel)
    split = prepare(run.config.data, tokenizer=run.tokenizer()).split("validation")
    length = model.config.context_length
    windows = text_windows(split, rows, length)
    parallel = parallel_losses(model, windows).mean(0)
    prefix = torch.stack(
        [parallel_losses(model, windows[:, : at + 2])[:, -1] for at in range(length)], dim=1
    ).mean(0)
    label = run.path.name
    points = [
        {"run": label, "computed": how, "position": at + 1, "loss": float(loss)}
        for how, values in (("in one pass", parallel), ("from its prefix alone", prefix))
        for at, loss in enumerate(values.tolist())
    ]
    branches = check_branches(model, windows[:256])
    facts = {
        "run": label,
        "parallel": float(parallel.mean()),
        "prefix": float(prefix.mean()),
        "leak": float(prefix.mean() - parallel.mean()),
        "last_position": float(parallel[-1]),
        "positions_before": float(parallel[length // 2 : -1].mean()),
        "branches": branches.evidence.get("branches"),
    }
    return points, facts


def chart(points: list[dict[str, object]]) -> altair.HConcatChart:
    """On the left the losses of the first run, both ways.

    On the right what each run gains by seeing more than the prefix.
    """
    first = points[0]["run"]
    x = altair.X("position:Q", title="position in the window", scale=altair.Scale(nice=False))
    losses_of_first = (
        altair.Chart(altair.Data(values=[point for point in points if point["run"] == first]))
        .mark_line(strokeWidth=2)
        .encode(
            x=x,
            y=altair.Y("loss:Q", title="nats per token", scale=altair.Scale(zero=False)),
            color=altair.Color(
                "computed:N",
                title=None,
                scale=altair.Scale(
                    domain=["from its prefix alone", "in one pass"], range=COLORS["light"][:2]
                ),
                legend=altair.Legend(orient="top", symbolType="stroke"),
            ),
        )
        .properties(width=350, height=230, title=altair.Title(f"{first}: loss", anchor="start"))
    )
    gained: dict[tuple[object, object], float] = {}
    for point in points:
        sign = 1 if point["computed"] == "from its prefix alone" else -1
        key = point["run"], point["position"]
        gained[key] = gained.get(key, 0.0) + sign * float(str(point["loss"]))
    runs = list(dict.fromkeys(point["run"] for point in points))
    gains = (
        altair.Chart(
            altair.Data(
                values=[
                    {"run": run, "position": at, "gain": value}
                    for (run, at), value in gained.items()
                ]
            )
        )
        .mark_line(strokeWidth=2)
        .encode(
            x=x,
            y=altair.Y("gain:Q", title="nats per token"),
            color=altair.Color(
                "run:N",
                title=None,
                scale=altair.Scale(domain=[str(run) for run in runs], range=COLORS["light"][2:4]),
                legend=altair.Legend(orient="top", symbolType="stroke"),
            ),
        )
        .properties(
            width=350, height=230, title=altair.Title("read from the future", anchor="start")
        )
    )
    made: altair.HConcatChart = (
        altair.hconcat(losses_of_first, gains, spacing=40)
        .resolve_scale(color="independent")
        .configure_view(stroke=None)
        .configure(background="white", font="DejaVu Sans, sans-serif", padding=12)
        .configure_axis(
            gridColor="#e8e5dd",
            domainColor="#b9b4a8",
            tickColor="#b9b4a8",
            titleFontWeight="normal",
        )
    )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("leak"))
    flags = parser.parse_args()
    points, facts = [], []
    for path in flags.runs:
        of_run, found = losses(RunDirectory.open(path), flags.rows)
        points += of_run
        facts.append(found)
    made = chart(points)
    made.save(flags.out.with_suffix(".svg"))
    made.save(flags.out.with_suffix(".png"), scale_factor=2)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
