"""The figure of the sizes.

Everything measured is a dot, and nothing extrapolated is drawn as if it were measured.
"""

from __future__ import annotations

import numpy as np
import pytest

from inklings.lab.report.chart import Figure, page_spec
from inklings.lab.report.export import static_files
from inklings.lab.report.sections.sizes import scaling_figure
from inklings.lab.scaling import scaling
from inklings.lab.scaling.result import Scaling, SizedRun
from inklings.lab.scaling.scaling import scale


def some_scaling(seeds: int = 2, sizes: int = 4) -> Scaling:
    random = np.random.default_rng(0)
    runs = [
        SizedRun(
            arm=arm,
            size=10 * 3**size,
            seed=seed,
            points=[
                (f, 1.2 + f**-exponent * 30 + float(random.normal(0, 0.002)))
                for f in (9**size * 1e12, 9**size * 2e12)
            ],
        )
        for arm, exponent in (("one", 0.12), ("two", 0.11))
        for size in range(sizes)
        for seed in range(seeds)
    ]
    return scale(runs)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "RESAMPLES", 20)


def layer_data(figure: Figure) -> list[str]:
    spec = page_spec(figure.first)
    return [layer.get("data", spec.get("data"))["name"] for layer in spec["layer"]]


def test_every_point_of_every_run_is_a_dot() -> None:
    figure = scaling_figure(some_scaling(), unit="nats per token")
    assert len(figure.data["scaling_points"]) == 2 * 4 * 2 * 2
    assert {row["arm"] for row in figure.data["scaling_points"]} == {"one", "two"}


def test_a_line_is_measured_up_to_its_frontiers_end_and_goes_on_from_there() -> None:
    found = some_scaling()
    rows = scaling_figure(found, unit="nats per token").data["scaling_lines"]
    for arm in found.arms:
        end = arm.frontier[-1].flops
        parts = {
            part: [row for row in rows if row["arm"] == arm.arm and row["part"] == part]
            for part in ("measured", "extrapolated")
        }
        assert all(row["flops"] <= end for row in parts["measured"])
        assert all(row["flops"] > end for row in parts["extrapolated"][1:])
        assert parts["extrapolated"][0]["flops"] == parts["measured"][-1]["flops"]
        assert parts["extrapolated"][-1]["flops"] == pytest.approx(100 * (found.common_flops or 0))
        assert all(row["low"] <= row["high"] for part in parts.values() for row in part)


def test_both_axes_are_logarithmic_and_hold_all_that_is_drawn() -> None:
    figure = scaling_figure(some_scaling(), unit="nats per token")
    for layer in page_spec(figure.first)["layer"]:
        assert layer["encoding"]["x"]["scale"]["type"] == "log"
        if "y" in layer["encoding"]:
            low, high = layer["encoding"]["y"]["scale"]["domain"]
            assert layer["encoding"]["y"]["scale"]["type"] == "log"
            assert all(low <= row["loss"] <= high for row in figure.data["scaling_points"])
            assert all(
                low <= row["low"] <= row["high"] <= high for row in figure.data["scaling_bands"]
            )


def test_without_intervals_there_is_no_band_and_without_a_law_no_line() -> None:
    single = scaling_figure(some_scaling(seeds=1), unit="nats per token")
    assert "scaling_bands" not in layer_data(single)
    assert "band" not in single.caption
    lone = scale([SizedRun(arm="lone", size=10, seed=0, points=[(1e12, 2.0)])])
    figure = scaling_figure(lone, unit="nats per token")
    assert layer_data(figure) == ["scaling_points"]
    assert static_files(figure)["scaling.svg"]


def test_the_files_have_a_legend_and_the_words() -> None:
    files = static_files(scaling_figure(some_scaling(), unit="bits per byte"))
    svg = files["scaling.svg"].decode()
    for word in ("one", "two", "extrapolated", "100 times the compute", "bits per byte"):
        assert word in svg, word
    assert files["scaling.png"].startswith(b"\x89PNG")
    assert files["scaling.csv"].decode().splitlines()[0].startswith("part,arm,size,seed,flops,loss")
