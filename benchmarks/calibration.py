"""Not speed.

How often the verdict claims a difference where there is none, and finds one that is there, in
simulated comparisons.

    python benchmarks/calibration.py [COMPARISON ...] [--simulations 2000] [--power 500]

The spread of the simulated runs is measured on the comparisons in the given folders, whose arms
must be trained and have the same seeds; without any, it is what was measured on those that
`SPREADS` names. Prints two tables in Markdown.
"""

from __future__ import annotations

import argparse
import time
from functools import cache
from pathlib import Path

from inklings.evaluation.likelihood.evaluate import load_likelihood
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.result import RunResult
from inklings.lab.verdict.differences import ResamplingUnits
from simulation import Outcomes, Spread, measure, simulate

SPREADS = {
    "names": Spread(seeds=(0.0041, 0.0046, 0.0037), documents=0.0017, text=0.0014, units=3204),
    "tinyshakespeare": Spread(
        seeds=(0.0140, 0.0123, 0.0106), documents=0.0017, text=0.0021, units=55
    ),
}
"""`inklings compare mlp recurrent gpt --data NAME --budget 150k-tokens --seeds 8
--training.evaluations 2`: in that order.
"""

UNITS = 200
"""At most so many documents are drawn for each run. The variances of a run's loss stay what they
are; how well the verdict can estimate them from its documents is no better than with all.
"""

SEEDS = (3, 5, 6, 8)
TAILS = {"normal": None, "t, 4 degrees": 4.0}


def measured(out: Path) -> Spread:
    """The spread of the runs of a comparison."""
    comparison = read_comparison(out)

    @cache
    def units(results: str) -> ResamplingUnits:
        likelihood = load_likelihood(out / results)
        return ResamplingUnits(
            "documents" if likelihood.blocks is None else "blocks", likelihood.units
        )

    def units_of(run: RunResult) -> ResamplingUnits:
        assert run.results is not None
        return units(run.results)

    return measure([arm for arm in comparison.arms if arm.kind == "trained"], units_of)


def share(count: int, outcomes: Outcomes) -> str:
    return f"{count / outcomes.simulations:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("comparisons", nargs="*", type=Path)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument(
        "--power", type=int, default=500, help="simulations of each line of the second table"
    )
    flags = parser.parse_args()
    began = time.perf_counter()
    spreads = {out.name: measured(out) for out in flags.comparisons} or SPREADS
    for name, spread in spreads.items():
        print(f"{name}: {spread}")
    spreads = {
        name: Spread(seeds=s.seeds, documents=s.documents, text=s.text, units=min(s.units, UNITS))
        for name, s in spreads.items()
    }
    columns = " | ".join(f"{seeds} seeds" for seeds in SEEDS)
    rule = "| --- | --- | ---: |" + " ---: |" * len(SEEDS)
    print(
        f"\n{flags.simulations} comparisons a cell: any claim where nothing differs (and if the"
        " seeds alone decided)\n"
    )
    print(f"| spread of | seeds' effects | arms | {columns} |\n{rule}")
    for name, spread in spreads.items():
        for tails, freedom in TAILS.items():
            for arms in (2, 5):
                cells = []
                for seeds in SEEDS:
                    found = simulate(
                        spread,
                        arms=arms,
                        seeds=seeds,
                        simulations=flags.simulations,
                        freedom=freedom,
                        seed=seeds,
                    )
                    cells.append(f"{share(found.claimed, found)} ({share(found.of_seeds, found)})")
                print(f"| {name} | {tails} | {arms} | {' | '.join(cells)} |", flush=True)
    print(
        f"\n{flags.power} comparisons a cell: the better arm is claimed to beat another, by how"
        " many standard deviations it leads\n"
    )
    print(f"| spread of | lead | arms | {columns} |\n{rule}")
    for name, spread in spreads.items():
        for lead in (1.0, 2.0):
            for arms in (2, 5):
                cells = []
                for seeds in SEEDS:
                    found = simulate(
                        spread,
                        arms=arms,
                        seeds=seeds,
                        simulations=flags.power,
                        lead=lead,
                        seed=seeds,
                    )
                    cells.append(share(found.found, found))
                print(f"| {name} | {lead:.0f} | {arms} | {' | '.join(cells)} |", flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
