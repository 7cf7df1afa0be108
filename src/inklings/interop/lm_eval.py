"""A run as a model of lm-evaluation-harness: `python -m inklings.interop.lm_eval`.

The command is the harness's own, with the model `inklings` known to it and chosen; all its other
flags stay as they are. From Python: `register()`, then `lm_eval.simple_evaluate(model="inklings",
model_args={"run": "runs/mine"}, ...)`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inklings.device import choose_device
from inklings.errors import ConfigError, InklingsError, import_extra, unknown_name
from inklings.interop.harness_answers import Continuing, HarnessAnswers
from inklings.models.objectives import predictor
from inklings.runs.directory import RunDirectory
from inklings.runs.open_memory import attach

NAME = "inklings"
"""The model's name in the harness."""
BATCH_SIZE = 64
"""Texts read at a time where none is said; the harness would take one."""
PART = 16
"""Batches that are answered at a time."""
SETTINGS = ("run", "memory", "trust_code")
"""What `--model_args` may name."""
WHAT = "lm-evaluation-harness"


def open_answers(
    run: str,
    *,
    batch_size: int | str = BATCH_SIZE,
    memory: bool = True,
    trust_code: bool = False,
    device: str = "auto",
) -> HarnessAnswers:
    """Open the best weights of a run as the harness is to have them.

    Args:
        run: its directory.
        batch_size: texts at a time; `auto` takes `BATCH_SIZE`.
        memory: whether the run's long-term memory is read, if it has one.
        trust_code: whether the run's Python code may be run although another user or machine made
            it.
        device: where to compute; `auto` takes a GPU where there is one.

    Raises:
        InputError: there is no such run, it has no likelihood, or a setting cannot be used.
    """
    place, _ = choose_device(device)
    opened = RunDirectory.open(Path(run))
    model = predictor(opened.load_model(trust_code=trust_code), WHAT)
    if memory:
        attach(opened, model)
    size = BATCH_SIZE if str(batch_size).startswith("auto") else _number(batch_size)
    return HarnessAnswers(model.to(place), opened.tokenizer(), batch_size=size)


def _number(batch_size: int | str) -> int:
    try:
        return int(batch_size)
    except ValueError:
        raise ConfigError(f"batch_size is {batch_size!r}; give a number, or auto.") from None


def register() -> None:
    """Make the model `inklings` known to the harness.

    Raises:
        MissingExtraError: the harness is not installed.
    """
    harness = import_extra("lm_eval.api.model", WHAT, "lm-eval")
    bars = import_extra("tqdm", WHAT, "lm-eval")
    registry = import_extra("lm_eval.api.registry", WHAT, "lm-eval")

    class InklingsLM(harness.LM):  # type: ignore[misc,name-defined]  # the harness may be absent
        """A run, as the harness asks it.

        Its texts are cut into windows by our own rule: what `evaluate` reads.
        """

        def __init__(
            self,
            batch_size: int | str = BATCH_SIZE,
            max_batch_size: int | None = None,
            device: str = "auto",
            **settings: Any,
        ) -> None:
            super().__init__()
            for name in settings:
                if name not in SETTINGS:
                    raise ConfigError(unknown_name("setting of --model_args", name, SETTINGS))
            if "run" not in settings:
                raise ConfigError("no run is named. Give one: --model_args run=RUN.")
            self.answers = open_answers(batch_size=batch_size, device=device, **settings)

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            """Return log-likelihood and greediness of each (context, continuation)."""
            return self._answered("loglikelihood", requests, self._likelihoods)

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            """Return the log-likelihood of each whole text."""
            return self._answered("loglikelihood_rolling", requests, self._whole_texts)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            """Return how each (context, settings) is continued."""
            return self._answered("generate_until", requests, self._continuations)

        def _likelihoods(self, asked: list[tuple[Any, ...]], first: int) -> list[Any]:
            return self.answers.loglikelihoods(asked)

        def _whole_texts(self, asked: list[tuple[Any, ...]], first: int) -> list[Any]:
            found = self.answers.loglikelihoods([("", text) for (text,) in asked])
            return [likelihood for likelihood, _ in found]

        def _continuations(self, asked: list[tuple[Any, ...]], first: int) -> list[Any]:
            wanted = [(context, Continuing.of(settings)) for context, settings in asked]
            return self.answers.continuations(wanted, first=first)

        def _answered(self, kind: str, requests: Sequence[Any], answer: Any) -> list[Any]:
            """Answer part after part, so that a bar moves and the harness's cache keeps each."""
            found: list[Any] = []
            size = PART * self.answers.batch_size
            with bars.tqdm(total=len(requests), desc=kind) as bar:
                for first in range(0, len(requests), size):
                    asked = [request.args for request in requests[first : first + size]]
                    for arguments, value in zip(asked, answer(asked, first), strict=True):
                        self.cache_hook.add_partial(kind, arguments, value)
                        found.append(value)
                    bar.update(len(asked))
            return found

    registry.register_model(NAME)(InklingsLM)


def main(arguments: Sequence[str]) -> int:
    """Run the harness's own command with the model `inklings`; return the exit code."""
    try:
        register()
        command = import_extra("lm_eval.__main__", WHAT, "lm-eval")
        sys.argv = ["lm_eval", *filled_in(arguments)]
        command.cli_evaluate()
    except InklingsError as error:
        sys.stderr.write(f"inklings: {error}\n")
        return error.exit_code
    return 0


def filled_in(arguments: Sequence[str]) -> list[str]:
    """Return the flags of the harness with the model; batch size and device where none is given.

    Raises:
        ConfigError: they name another model.
    """
    given = list(arguments)
    if not given or given[0] in ("ls", "validate", "-h", "--help"):
        return given
    if _names(given, "--model", "-M"):
        raise ConfigError(
            f"the model is {NAME} here, and cannot be another. Leave --model out, or call lm_eval"
            " itself."
        )
    given = given[1:] if given[0] == "run" else given
    own = [] if _names(given, "--batch_size", "-b") else ["--batch_size", str(BATCH_SIZE)]
    own += [] if _names(given, "--device") else ["--device", "auto"]
    return ["--model", NAME, *own, *given]


def _names(arguments: Sequence[str], *flags: str) -> bool:
    return any(argument.partition("=")[0] in flags for argument in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
