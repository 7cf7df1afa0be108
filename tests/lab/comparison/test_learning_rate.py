"""The search for a learning rate.

It finds the better one, decides the same however often it is stopped, and says what failed.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError, DivergedError, RunError
from inklings.events import Event, silent
from inklings.lab.comparison import learning_rate as rate_search
from inklings.lab.comparison.learning_rate import SEARCH_SEED, is_behind, next_factor, search_rate
from inklings.lab.comparison.rates import RateSearch, RateTrial
from inklings.lab.execution.prunable_run import TrialOutcome, attempt_trial
from inklings.runs.directory import RunDirectory
from inklings.text.store import TokenStore, prepare

RATE = 0.12


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    text = tmp_path_factory.mktemp("text") / "words.txt"
    text.write_text(
        "".join(
            f"{first}{middle}{last}\n"
            for first in "abcde"
            for middle in ("an", "el", "irt")
            for last in ("a", "ssy", "ton")
        )
    )
    return prepare(DataConfig(source=str(text), layout="lines"))


@pytest.fixture
def config(store: TokenStore) -> Callable[..., RunConfig]:
    def make(rate: float = RATE, **training: Any) -> RunConfig:
        chosen: dict[str, Any] = {
            "budget": "24-steps",
            "batch_size": 4,
            "evaluations": 4,
            "optimizer": "adamw",
            "learning_rate": rate,
        }
        fixed: dict[str, Any] = {
            "threads": 1,
            "precision": "float32",
            "compile": "off",
            "sequence_length": 16,
            "samples": 2,
        }
        return RunConfig(
            architecture="mlp",
            model={"n_embd": 4, "n_hidden": 16, "context_length": 4},
            training=TrainingConfig(**{**fixed, **chosen, **training}),
        )

    return make


def found(search: RateSearch | None) -> RateSearch:
    assert search is not None
    return search


def factors(search: RateSearch) -> list[float]:
    return [trial.factor for trial in search.trials]


def test_a_rate_far_too_small_is_raised_beyond_what_was_asked(
    config: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    events: list[Event] = []
    made = found(
        search_rate(config(RATE / 64), tmp_path / "s", store, trials=5, on_event=events.append)
    )
    assert factors(made) == [1, 0.5, 2, 0.25, 4, 8, 16], "the border moves twice at most"
    assert made.factor == 16
    finished = {trial.factor: trial.loss for trial in made.trials if trial.loss is not None}
    assert min(finished, key=lambda factor: finished[factor]) == made.factor
    assert finished[16] < finished[1] - 0.1, "much better, not by chance"
    assert [event["factor"] for event in events if event["event"] == "rate"] == factors(made)
    assert all("factor" in event for event in events)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["search.json"], (
        "runs of trials that ended are removed"
    )


def test_a_good_rate_stays_near_and_what_is_behind_is_given_up_in_its_second_half(
    config: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    made = found(search_rate(config(), tmp_path, store, trials=5, on_event=silent))
    assert made.factor in (0.5, 1, 2)
    given_up = [trial for trial in made.trials if trial.status == "pruned"]
    assert given_up, "a quarter of a good rate is behind"
    for trial in given_up:
        assert 2 <= len(trial.losses) < 4
        before = [
            other for other in made.trials[: made.trials.index(trial)] if other.status == "done"
        ]
        assert len(before) >= 2
        last = len(trial.losses) - 1
        assert min(trial.losses) > max(other.losses[last] for other in before)
        assert trial.loss is None


def test_trials_have_a_seed_that_no_ranked_run_has_and_both_rates_scaled(
    config: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    seen: dict[str, TrainingConfig] = {}

    def look(event: Event) -> None:
        for run in tmp_path.glob("x*"):
            seen[run.name] = RunDirectory.open(run).record.given.training

    one = found(search_rate(config(seed=0, patience=1), tmp_path, store, trials=3, on_event=look))
    assert {training.seed for training in seen.values()} == {SEARCH_SEED}
    ours = config().training
    rates = {
        name: (training.learning_rate, training.matrix_learning_rate)
        for name, training in seen.items()
    }
    assert rates["x0.5"] == (ours.learning_rate / 2, ours.matrix_learning_rate / 2)
    assert rates["x2"] == (ours.learning_rate * 2, ours.matrix_learning_rate * 2)
    assert {
        (training.samples, training.keep_checkpoints, training.budget) for training in seen.values()
    } == {(0, 1, "24-steps")}
    # the seed that a ranked run will have changes nothing, so the finished search is that of every
    # seed
    asked: list[Event] = []
    assert search_rate(config(seed=7), tmp_path, store, trials=3, on_event=asked.append) == one
    assert asked == [], "a finished search is returned at once"


@pytest.mark.slow
@settings(max_examples=5)
@given(
    stops=st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from(["error", "SIGTERM", "SIGINT"])),
        min_size=1,
        max_size=4,
    )
)
def test_stopped_at_any_evaluation_it_ends_as_if_undisturbed(
    stops: list[tuple[int, str]],
    tmp_path_factory: pytest.TempPathFactory,
    store: TokenStore,
    whole: RateSearch,
    make: Callable[..., RunConfig],
) -> None:
    folder = tmp_path_factory.mktemp("stopped")
    for after, how in stops:
        left = after

        def stop(event: Event, how: str = how) -> None:
            nonlocal left
            left -= event["event"] == "evaluation"
            if left == 0 and event["event"] == "evaluation":
                if how == "error":
                    raise KeyboardInterrupt
                signal.raise_signal(getattr(signal, how))

        try:
            stopped = search_rate(make(), folder, store, trials=4, on_event=stop)
        except KeyboardInterrupt:
            continue
        assert stopped is None or left > 0 or stopped == whole
    assert search_rate(make(), folder, store, trials=4, on_event=silent) == whole
    assert [path.name for path in folder.iterdir()] == ["search.json"]


@pytest.fixture(scope="module")
def make(store: TokenStore) -> Callable[..., RunConfig]:
    return lambda: RunConfig(
        architecture="mlp",
        model={"n_embd": 4, "n_hidden": 8, "context_length": 4},
        training=TrainingConfig(
            budget="8-steps",
            batch_size=4,
            evaluations=4,
            optimizer="adamw",
            learning_rate=RATE / 4,
            threads=1,
            precision="float32",
            compile="off",
            sequence_length=16,
        ),
    )


@pytest.fixture(scope="module")
def whole(
    store: TokenStore, make: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> RateSearch:
    """The search that nobody disturbed."""
    return found(
        search_rate(make(), tmp_path_factory.mktemp("whole"), store, trials=4, on_event=silent)
    )


def test_a_trial_that_diverges_is_kept_as_failed(
    config: Callable[..., RunConfig],
    store: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huge = config(1e39, optimizer="sgd", clip=0.0)
    with pytest.raises(
        DivergedError, match=r"no learning rate that was tried stayed finite \(1, 1/2, 2 times"
    ):
        search_rate(huge, tmp_path / "all", store, trials=3, on_event=silent)
    again: list[Event] = []
    with pytest.raises(DivergedError, match="stayed finite"):
        search_rate(huge, tmp_path / "all", store, trials=3, on_event=again.append)
    assert again == [], "what failed is not tried again"
    kept = json.loads((tmp_path / "all" / "search.json").read_text())["trials"]
    assert {trial["status"] for trial in kept} == {"failed"}
    assert "left the finite numbers at step" in kept[0]["message"]
    assert str(tmp_path) not in kept[0]["message"], "it speaks of no folder that is gone"

    def diverge_below_one(
        config: RunConfig, run: Path, *rest: Any, **more: Any
    ) -> TrialOutcome | None:
        if run.name == "x0.5":
            return TrialOutcome(status="failed", losses=[], message="gone")
        return attempt_trial(config, run, *rest, **more)

    monkeypatch.setattr(rate_search, "attempt_trial", diverge_below_one)
    some = found(search_rate(config(), tmp_path / "some", store, trials=3, on_event=silent))
    assert [trial.status for trial in some.trials][:3] == ["done", "failed", "done"]
    assert some.factor in (1, 2, 4, 8)


def test_another_search_in_the_folder_is_not_taken_for_this_one(
    config: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    search_rate(config(budget="2-steps"), tmp_path, store, trials=1, on_event=silent)
    with pytest.raises(RunError, match="differs in the settings"):
        search_rate(config(budget="3-steps"), tmp_path, store, trials=1, on_event=silent)
    with pytest.raises(RunError, match="differs in the number of trials"):
        search_rate(config(budget="2-steps"), tmp_path, store, trials=2, on_event=silent)
    with pytest.raises(ConfigError, match="at least 1"):
        search_rate(config(), tmp_path, store, trials=0, on_event=silent)


@given(trials=st.integers(1, 9), best=st.integers(-8, 8))
def test_factors_go_outwards_from_one_and_follow_a_winner_at_the_border(
    trials: int, best: int
) -> None:
    done: list[RateTrial] = []
    while (factor := next_factor(done, trials)) is not None:
        loss = abs(best - _exponent(factor))
        done.append(RateTrial(factor=factor, status="done", losses=[float(loss)]))
    tried = [_exponent(trial.factor) for trial in done]
    assert tried[:trials] == [0, -1, 1, -2, 2, -3, 3, -4, 4][:trials]
    assert len(set(tried)) == len(tried)
    low, high = min(tried[:trials]), max(tried[:trials])
    outside = tried[trials:]
    if best >= high > 0:
        assert outside == [high + 1, *([high + 2] if best > high else [])]
    elif best <= low < 0:
        assert outside == [low - 1, *([low - 2] if best < low else [])]
    else:
        assert outside == []


def _exponent(factor: float) -> int:
    exponent = 0
    while factor != 1:
        factor, exponent = (factor / 2, exponent + 1) if factor > 1 else (factor * 2, exponent - 1)
    return exponent


def test_a_trial_ends_where_it_is_given_up_but_not_at_its_last_evaluation(
    config: Callable[..., RunConfig], store: TokenStore, tmp_path: Path
) -> None:
    told: list[tuple[int, float]] = []

    def give_up(at: int) -> Callable[[int, float], bool]:
        def judge(index: int, loss: float) -> bool:
            told.append((index, loss))
            return index == at

        return judge

    pruned = attempt_trial(config(), tmp_path / "a", store, judge=give_up(1), on_event=silent)
    assert pruned is not None
    assert (pruned.status, list(enumerate(pruned.losses))) == ("pruned", told)
    assert len(told) == 2
    whole = attempt_trial(config(), tmp_path / "b", store, judge=give_up(3), on_event=silent)
    assert whole is not None
    assert (whole.status, len(whole.losses)) == ("done", 4)
    assert (
        attempt_trial(config(), tmp_path / "b", store, judge=give_up(3), on_event=silent) == whole
    ), "a complete run is not trained again"
    with pytest.raises(RunError, match="other settings"):
        attempt_trial(config(rate=1.0), tmp_path / "b", store, judge=give_up(3), on_event=silent)


@pytest.mark.parametrize(
    ("index", "loss", "gives_up"),
    [(3, 2.5, False), (3, 4.5, False), (3, 6.5, True), (1, 6.5, False)],
)
def test_only_what_is_behind_all_is_given_up_and_only_late(
    index: int, loss: float, gives_up: bool
) -> None:
    done = [
        RateTrial(factor=factor, status="done", losses=[loss] * 8)
        for factor, loss in ((1.0, 3.0), (0.5, 5.0))
    ]
    assert is_behind([9.0] * index + [loss], done, 8) is gives_up
    assert is_behind([2.5] + [9.0] * 7, done, 8) is False, "what it had reached before counts"
    assert is_behind([9.0] * 6, done[:1], 8) is False, "two are finished before one is given up"


LOSSES = st.integers(0, 9).map(float)
"""Few of them, so that equal ones meet."""


@given(data=st.data(), evaluations=st.integers(1, 9))
def test_it_gives_up_what_a_percentile_pruner_of_optuna_does(
    data: st.DataObject, evaluations: int
) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    states = {
        "done": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
    }
    done = []
    statuses: list[Literal["done", "pruned", "failed"]] = ["done", "done", "pruned", "failed"]
    for status in data.draw(st.lists(st.sampled_from(statuses), max_size=5)):
        length = evaluations if status == "done" else data.draw(st.integers(0, evaluations))
        losses = data.draw(st.lists(LOSSES, min_size=length, max_size=length))
        done.append(RateTrial(factor=1.0, status=status, losses=losses))
    pruner = optuna.pruners.PercentilePruner(
        100.0, n_startup_trials=2, n_warmup_steps=math.ceil(evaluations / 2) - 1
    )
    study = optuna.create_study(direction="minimize", pruner=pruner)
    for trial in done:
        values = dict(enumerate(trial.losses))
        study.add_trial(
            optuna.trial.create_trial(
                state=states[trial.status], value=trial.loss, intermediate_values=values
            )
        )
    asked = study.ask()
    own = data.draw(st.lists(LOSSES, min_size=1, max_size=evaluations))
    for index, loss in enumerate(own):
        asked.report(loss, index)
        assert is_behind(own[: index + 1], done, evaluations) is bool(asked.should_prune())
