"""One peak rate that is given moves both in their ratio, wherever rates are read.

Two that are given stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.cli.compare import Compare
from inklings.cli.main import main
from inklings.cli.run_arguments import parse_run, parse_settings
from inklings.cli.sweep import Sweeping
from inklings.cli.train import Train
from inklings.config import (
    RunConfig,
    TrainingConfig,
    load_run_config,
    with_training,
)
from inklings.lab.comparison.before_runs import with_rate
from inklings.lab.comparison.rates import RateSearch
from inklings.lab.sweep.space import apply, moves_with, parse_space
from inklings.optimizers import PEAK_RATES, moved_rates
from inklings.runs.arms import parse_arm
from inklings.runs.directory import RunDirectory
from inklings.training.branch import plan_branches, trunk_config
from inklings.training.ignored import ignored_settings
from tests.commands import Ask

RATE, MATRIX = "--training.learning-rate", "--training.matrix-learning-rate"
TINY = (
    *(
        "--training.batch-size=2",
        "--training.sequence-length=8",
        "--training.evaluations=1",
        "--training.samples=0",
    ),
    *("--training.threads=1", "--training.precision=float32", "--training.compile=off"),
)
SMALL = "mlp:n_hidden=8,n_embd=4"


def rates(training: TrainingConfig) -> tuple[float, float]:
    return training.learning_rate, training.matrix_learning_rate


def trained(*arguments: str) -> tuple[float, float]:
    """What `inklings train` with these settings would train by."""
    return rates(parse_run(arguments, Train, verb="train", description="").config.training)


def compared(arm: str, *arguments: str) -> tuple[float, float]:
    """What an arm of `inklings compare` would be trained by, before any search for its rate."""
    base = parse_settings(["gpt", *arguments], Compare, verb="compare", description="")
    config = parse_arm(arm, base=base.config, rates=base.rates).config
    assert config is not None
    return rates(config.training)


Reader = Callable[..., tuple[float, float]]
READERS = pytest.mark.parametrize("read", [trained, compared])


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    """A run file with these lines as its training."""

    def written(lines: str) -> str:
        path = tmp_path / f"run{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(f'architecture = "gpt"\n[training]\n{lines}\n')
        return str(path)

    return written


@READERS
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), (0.01, 0.03)),
        ((RATE, "5e-5"), (5e-5, 1.5e-4)),
        ((f"{RATE}=5e-5",), (5e-5, 1.5e-4)),
        (("--training.learning_rate", "5e-5"), (5e-5, 1.5e-4)),
        ((MATRIX, "3e-4"), (1e-4, 3e-4)),
        ((RATE, "5e-5", MATRIX, "0.03"), (5e-5, 0.03)),
        ((MATRIX, "0.5", RATE, "0.01"), (0.01, 0.5)),
    ],
)
def test_flags(read: Reader, flags: tuple[str, ...], expected: tuple[float, float]) -> None:
    assert read("gpt", *flags) == expected


@READERS
@pytest.mark.parametrize(
    ("lines", "flags", "expected"),
    [
        ("learning_rate = 0.001", (), (0.001, 0.003)),
        ("matrix-learning-rate = 0.003", (), (0.001, 0.003)),
        ("learning_rate = 0.001\nmatrix_learning_rate = 0.5", (), (0.001, 0.5)),
        ("learning_rate = 0.1\nmatrix_learning_rate = 0.2", (RATE, "0.01"), (0.01, 0.02)),
        ("learning_rate = 0.1", (RATE, "0.01"), (0.01, 0.03)),
        ("learning_rate = 0.1", (MATRIX, "0.01"), (0.1, 0.01)),
        ("batch_size = 4", (RATE, "0.001"), (0.001, 0.003)),
    ],
)
def test_a_file_and_flags_over_it(
    read: Reader,
    lines: str,
    flags: tuple[str, ...],
    expected: tuple[float, float],
    file: Callable[[str], str],
) -> None:
    assert read("gpt", "--config", file(lines), *flags) == expected


@pytest.mark.parametrize(
    ("arm", "flags", "expected"),
    [
        ("gpt:training.learning_rate=0.001", (), (0.001, 0.003)),
        ("gpt:training.matrix_learning_rate=0.003", (), (0.001, 0.003)),
        ("gpt:training.learning_rate=0.001,training.matrix_learning_rate=0.5", (), (0.001, 0.5)),
        ("gpt:training.learning_rate=0.001", (MATRIX, "0.5"), (0.001, 0.5)),
    ],
)
def test_an_arm_of_fields(arm: str, flags: tuple[str, ...], expected: tuple[float, float]) -> None:
    assert trained(arm, *flags) == compared(arm, *flags) == expected


def test_an_arm_that_is_a_file(file: Callable[[str], str]) -> None:
    assert (
        trained(file("learning_rate = 0.001"))
        == compared(file("learning_rate = 0.001"))
        == (0.001, 0.003)
    )
    both = file("learning_rate = 0.1\nmatrix_learning_rate = 0.2")
    assert trained(both, RATE, "0.01") == (0.01, 0.02), "a flag moves what the file has"
    assert compared(both, RATE, "0.01") == (0.1, 0.2), "an arm's own settings win over the flags"
    assert compared(file("learning_rate = 0.1"), MATRIX, "0.5") == (0.1, 0.5), "both are given"


def test_settings_made_and_read_in_python(file: Callable[[str], str]) -> None:
    assert rates(TrainingConfig(learning_rate=5e-5)) == (5e-5, 1.5e-4)
    assert rates(TrainingConfig(matrix_learning_rate=3e-4)) == (1e-4, 3e-4)
    assert rates(TrainingConfig(learning_rate=5e-5, matrix_learning_rate=0.03)) == (5e-5, 0.03)
    assert rates(load_run_config(Path(file("learning_rate = 5e-5"))).training) == (5e-5, 1.5e-4)
    adam = TrainingConfig(optimizer="adamw", matrix_learning_rate=0.5)
    assert rates(adam) == (0.01, 0.5), "what AdamW does not look at moves nothing"


def test_a_rate_that_moved_along_is_not_called_ignored() -> None:
    from inklings.models.mlp import MLP, MLPConfig

    model = MLP(MLPConfig(vocab_size=5))
    moved = TrainingConfig(optimizer="adamw", learning_rate=5e-5)
    assert not any("matrix_learning_rate" in note for note in ignored_settings(moved, model))
    given = TrainingConfig(optimizer="adamw", learning_rate=5e-5, matrix_learning_rate=0.03)
    assert any("matrix_learning_rate" in note for note in ignored_settings(given, model))


@pytest.mark.parametrize(
    ("space", "flags", "point", "expected"),
    [
        ("lr=1e-5..1e-1:log", (), {"training.learning_rate": 5e-5}, (5e-5, 1.5e-4)),
        (
            "training.matrix_learning_rate=1e-5..1:log",
            (),
            {"training.matrix_learning_rate": 3e-4},
            (1e-4, 3e-4),
        ),
        (
            "lr=1e-5..1e-1:log",
            (RATE, "0.1", MATRIX, "0.2"),
            {"training.learning_rate": 0.01},
            (0.01, 0.02),
        ),
        ("lr=1e-5..1e-1:log", (MATRIX, "0.2"), {"training.learning_rate": 0.001}, (0.001, 0.2)),
    ],
)
def test_a_point_of_a_sweep(
    space: str, flags: tuple[str, ...], point: dict[str, float], expected: tuple[float, float]
) -> None:
    parsed = parse_run(["gpt", *flags], Sweeping, verb="sweep", description="")
    assert rates(apply(parsed.config, point, rates=parsed.rates).training) == expected
    moves = moves_with(parse_space([space], parsed.config), parsed.config, parsed.rates)
    assert (moves is None) == (expected[1] == 0.2)


def test_a_sweep_says_what_moves_and_trains_by_it(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (
        "sweep",
        SMALL,
        "--data",
        "words.txt",
        "--budget",
        "1-steps",
        *TINY,
        "--space",
        "lr=1e-5|2e-5",
    )
    assert ask(*asked, "--dry-run")["moves"] == "training.matrix_learning_rate"
    main([*asked, "--dry-run"])
    assert "in the ratio 0.01 to 0.03 (Muon)" in " ".join(capsys.readouterr().out.split())
    ask(*asked, "--trials", "1", "--workers", "1", "--out", "s")
    learned, matrix = rates(load_run_config(Path("s/best.toml")).training)
    assert (learned in (1e-5, 2e-5)) and matrix == pytest.approx(3 * learned)
    (run,) = Path("s/runs").iterdir()
    assert rates(RunDirectory.open(run).config.training) == (learned, matrix)
    refused = ask(*asked, MATRIX, "0.03", "--trials", "1", "--out", "s", code=2)["error"]
    assert "what moves with a rate" in refused


def test_fine_tuning_says_both_and_what_follows_keeps_them(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    ask("train", SMALL, "--data", "words.txt", "--budget", "1-steps", "--run", "first", *TINY)
    asked = (
        "train",
        "mlp",
        "--from",
        "first",
        "--data",
        "words.txt",
        "--budget",
        "1-steps",
        *TINY,
        RATE,
        "5e-5",
    )
    plan = ask(*asked, "--dry-run")["config"]["training"]
    assert (plan["learning_rate"], plan["matrix_learning_rate"]) == (5e-5, 1.5e-4)
    main([*asked, "--dry-run"])
    said = " ".join(capsys.readouterr().out.split())
    assert "learning rate 5e-05" in said and "matrix learning rate 0.00015" in said
    ask(*asked, "--run", "tuned")
    ask("resume", "tuned", "--budget", "2-steps")
    assert rates(RunDirectory.open(Path("tuned")).config.training) == (5e-5, 1.5e-4)
    found = ask(*asked, "--find-lr")
    assert found["matrix_suggestion"] == pytest.approx(3 * found["suggestion"])


def test_a_search_a_trunk_and_its_branches_move_both() -> None:
    config = RunConfig(training=TrainingConfig(learning_rate=0.001))
    search = RateSearch(trials=[], factor=0.5)
    assert rates(with_rate(config, search).training) == (0.0005, 0.0015)
    branches = plan_branches(config, 64, 3)
    assert {rates(branch.config.training) for branch in branches} == {(0.001, 0.003)}
    assert rates(trunk_config(config, branches, 64).training) == (0.001, 0.003)


def test_the_settings_taken_from_vardagpt_move_both() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "coming-from" / "vardagpt.md"
    assert "--training.learning-rate" in page.read_text(encoding="utf-8")
    assert trained("varda", "--training.learning-rate", "1e-5", "--training.batch-size", "4") == (
        1e-5,
        3e-5,
    )


positive = st.floats(min_value=1e-8, max_value=1e3)


@given(below=st.tuples(positive, positive), rate=positive, name=st.sampled_from(list(PEAK_RATES)))
def test_the_ratio_of_the_layer_below_is_kept(
    below: tuple[float, float], rate: float, name: str
) -> None:
    base = dict(zip(PEAK_RATES, below, strict=True))
    made = moved_rates(base, {name: rate}, optimizer="muon")
    assert made[name] == rate
    assert made["matrix_learning_rate"] / made["learning_rate"] == pytest.approx(
        below[1] / below[0]
    )
    training = TrainingConfig(learning_rate=below[0], matrix_learning_rate=below[1])
    assert rates(with_training(training, {name: rate})) == tuple(made.values())
    assert with_training(training, {}) == training
