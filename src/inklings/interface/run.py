"""A run as Python has it: what it came to, writes and scores, and how it shows itself."""

from __future__ import annotations

import codecs
import dataclasses
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from inklings.auditing.audit import Audit, audit
from inklings.auditing.subjects import of_run
from inklings.config import DataConfig, RunConfig
from inklings.durable import is_file
from inklings.errors import ConfigError, unknown_name
from inklings.evaluation.likelihood.evaluate import LikelihoodResult, evaluate
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import GenerationRequest
from inklings.generation.from_noise import write
from inklings.generation.generate import generate
from inklings.generation.sampling import READ_AT, SamplingConfig
from inklings.generation.session import reraise
from inklings.interface.curve import as_image, curve_svg, learning_lines
from inklings.interface.records import Records, metric_records
from inklings.interface.text import GeneratedText, GeneratedTexts, TextToken
from inklings.models.contract import Architecture, SequenceModel, parameter_count
from inklings.models.objectives import makes_texts, predictor, predicts_tokens, refuse_silent
from inklings.runs import checkpoints
from inklings.runs.checkpoints import WEIGHTS
from inklings.runs.directory import RunDirectory
from inklings.runs.layer_shapes import layer_table
from inklings.runs.metrics import best_evaluation
from inklings.runs.open_memory import attach
from inklings.runs.own_text import like_own, own_store, training_text
from inklings.showing import html_line
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer
from inklings.training.fed_windows import fed_windows
from inklings.training.objectives.likelihood import make_batches
from inklings.training.training_result import TrainingResult, result_of

NATS = checkpoints.TrainerState.unit
"""The unit of a run that has a likelihood."""
SHOWN = 3
"""Samples that a run shows."""
SHOWN_LENGTH = 300
"""Characters of a sample that are shown."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Run(TrainingResult):
    """A run: the result of its training, and everything to be done with it.

    `inklings.train` and `inklings.load` make one. Its model is loaded when it is first used: the
    best weights, with the run's long-term memory if it has one.
    """

    trust_code: bool = False
    """Whether the run's Python code may be run although another user or machine made it."""

    @classmethod
    def open(cls, path: Path, *, trust_code: bool = False) -> Run:
        """Open a run on disk.

        Raises:
            RunError: there is none, or it is damaged.
        """
        directory = RunDirectory.open(path)
        if checkpoints.checkpoint_steps(path):
            step, _ = checkpoints.latest_sound_checkpoint(path)
            progress = checkpoints.read_progress(checkpoints.checkpoint_path(path, step))
            complete = directory.record.is_complete(progress)
            result = result_of(path, progress, interrupted=not complete)
            return cls.of(result, trust_code=trust_code)
        best = best_evaluation(directory.metrics())  # a run that came without checkpoints
        return cls(
            run=path,
            steps=directory.record.steps,
            tokens=directory.record.steps * directory.record.tokens_per_step,
            seconds=0.0 if best is None else best["seconds"],
            best_validation_loss=None if best is None else best["loss"],
            best_step=None if best is None else best["step"],
            final_validation_loss=None if best is None else best["loss"],
            unit=NATS,
            stopped="budget",
            advice=None,
            trust_code=trust_code,
        )

    @classmethod
    def of(cls, result: TrainingResult, *, trust_code: bool = False) -> Run:
        """Return the run that a training was of."""
        return cls(**vars(result), trust_code=trust_code)

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.run

    @cached_property
    def directory(self) -> RunDirectory:
        """The run on disk: its settings, checkpoints and events."""
        return RunDirectory.open(self.run)

    @property
    def config(self) -> RunConfig:
        """Its settings, with nothing left open."""
        return self.directory.config

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that it was trained with."""
        return self.directory.tokenizer()

    @cached_property
    def model(self) -> Architecture:
        """The model with its best weights, on the CPU, in evaluation mode."""
        model = self.directory.load_model(trust_code=self.trust_code)
        if predicts_tokens(model):
            attach(self.directory, model, weights="best")
        return model

    @property
    def metrics(self) -> Records:
        """All figures of its training, a record for each step and evaluation that was logged.

        Every record has the same keys, `split` (train or validation), `step`, `tokens`, `seconds`
        and `loss` first.
        """
        return metric_records(self.directory.metrics())

    @property
    def layers(self) -> Records:
        """Its layers with their shapes, for a small batch: see `inklings models RUN --shapes`."""
        return Records(map(dataclasses.asdict, layer_table(self.model).layers))

    def windows(self, count: int = 4) -> list[tuple[str, str]]:
        """Return the first rows that it was trained on: what is read, and what is to be predicted.

        Token by token, one below the other; `¶` is the end of a document, a dot what is not part of
        the loss.
        """
        model = predictor(self.model, "a look at windows")
        batch = make_batches(model, self.text.split("train"), self.config.training).batch(0)
        return [window.lines() for window in fed_windows(batch, self.tokenizer, count)]

    @property
    def samples(self) -> list[str]:
        """The texts that were sampled at its last evaluation."""
        return next(reversed(self.directory.samples().values()), [])

    @overload
    def generate(
        self, prompt: str = "", *, samples: None = None, max_new_tokens: int = 200, **sampling: Any
    ) -> GeneratedText: ...

    @overload
    def generate(
        self, prompt: str = "", *, samples: int, max_new_tokens: int = 200, **sampling: Any
    ) -> GeneratedTexts: ...

    def generate(
        self,
        prompt: str = "",
        *,
        samples: int | None = None,
        max_new_tokens: int = 200,
        stop: str | Sequence[str] = (),
        across_documents: bool = False,
        style_seed: int | None = None,
        **sampling: Any,
    ) -> GeneratedText | GeneratedTexts:
        """Write a text that goes on from the prompt, or several.

        Args:
            prompt: what the text begins with.
            samples: how many texts; None is one, as a text and not as a list.
            max_new_tokens: how many tokens are drawn at most.
            stop: end the text before this string, or any of these.
            across_documents: whether to go on after the end of a document.
            style_seed: of a generator that makes texts out of noise: all samples share the noise
                that is global to a text.
            sampling: fields of `SamplingConfig`: temperature (0.8 if not given), seed, top_k,
                top_p, min_p and the penalties.

        Raises:
            ConfigError: a value is out of range, or the model cannot use it.
            TokenizerError: the tokenizer lacks a character of the prompt.
        """
        known = {field.name for field in dataclasses.fields(SamplingConfig)}
        refuse_unknown("sampling setting", sampling, known)
        count = 1 if samples is None else samples
        if makes_texts(self.model):
            given = {"stop": stop, "across_documents": across_documents, **sampling}
            made = self._out_of_noise(prompt, count, max_new_tokens, style_seed, given)
        else:
            model = predictor(self.model, "going on from a prompt")
            if style_seed is not None:
                raise ConfigError(
                    f"style_seed is {style_seed}; {self.run} predicts token by token and has no"
                    " noise that a text shares. Leave it out."
                )
            made = self._predicted(
                model,
                prompt,
                count,
                max_new_tokens,
                (stop,) if isinstance(stop, str) else tuple(stop),
                across_documents,
                SamplingConfig(**{"temperature": READ_AT, **sampling}),
            )
        return made[0] if samples is None else made

    def evaluate(
        self,
        split: SplitName = "validation",
        *,
        data: str | Path | DataConfig | None = None,
        batch_size: int = 64,
    ) -> LikelihoodResult:
        """Score a whole split of the text that the run was trained on, or of another.

        Args:
            split: `train`, `validation` or `test`.
            data: another text, which is read with the run's tokenizer.
            batch_size: rows at a time; the result does not depend on it.

        Raises:
            InputError: the text or the split cannot be used, or the run has no likelihood.
        """
        refuse_silent(self.model, "an evaluation")
        if makes_texts(self.model):
            raise ConfigError(
                f"{self.run} makes texts out of noise and has no likelihood. Its samples can be"
                f" measured: inklings evaluate {self.run} --split {split}."
            )
        if split not in ("train", "validation", "test"):
            raise ConfigError(f"split is {split!r}; it must be 'train', 'validation' or 'test'.")
        store = self.text if data is None else self._other_text(data)
        return evaluate(
            predictor(self.model, "an evaluation"),
            store.split(split),
            batch_size=batch_size,
            lossless=store.lossless(split),
        )

    def audit(self) -> Audit:
        """Check that it is what it claims to be, with its own weights and text."""
        subject = of_run(
            str(self.run), self.directory, self.text, split="validation", trust_code=self.trust_code
        )
        return audit(subject)

    @cached_property
    def text(self) -> TokenStore:
        """The text that it was trained on, in tokens."""
        return own_store(self.directory)

    def _other_text(self, data: str | Path | DataConfig) -> TokenStore:
        if not isinstance(data, DataConfig):
            data = like_own(self.directory, str(data), training_text(self.directory))
        return prepare(data, tokenizer=self.tokenizer)

    def _out_of_noise(
        self,
        prompt: str,
        count: int,
        length: int,
        style_seed: int | None,
        given: dict[str, Any],
    ) -> GeneratedTexts:
        model = self.model
        assert makes_texts(model)
        useless = [name for name, value in given.items() if value and name != "seed"]
        if prompt or useless:
            raise ConfigError(
                f"{', '.join([*(['prompt'] if prompt else []), *useless])}: {self.run} makes whole"
                " texts out of noise; it cannot go on from a prompt, and no word is drawn from"
                " probabilities that could be changed. Leave that out; seed and style_seed choose"
                " the text."
            )
        made = write(
            model,
            self.tokenizer,
            count,
            seed=given.get("seed", 0),
            style_seed=style_seed,
            length=min(length, model.config.context_length),
        )
        return GeneratedTexts(
            GeneratedText.of("", one.text, finished=one.finished, score=None) for one in made
        )

    def _predicted(
        self,
        model: SequenceModel,
        prompt: str,
        count: int,
        length: int,
        stop: tuple[str, ...],
        across_documents: bool,
        sampling: SamplingConfig,
    ) -> GeneratedTexts:
        made = generate(
            model,
            self.tokenizer,
            prompt,
            max_new_tokens=length,
            sampling=sampling,
            samples=count,
            stop=stop,
            stop_at_boundary=not across_documents,
        )
        begun = self.tokenizer.encode(prompt).tolist()
        return GeneratedTexts(
            GeneratedText.of(
                prompt,
                one.text,
                finished=one.finished,
                score=lambda one=one: _scored(  # type: ignore[misc]  # mypy cannot infer the lambda
                    model, self.tokenizer, [*begun, *one.tokens], len(prompt + one.text)
                ),
            )
            for one in made
        )

    def __repr__(self) -> str:
        return f"Run({str(self.run)!r}: {self._about()})"

    def _about(self) -> str:
        """Return what the run is and came to, in a line."""
        config = self.config
        parts = [f"{config.architecture} on {config.data.source}", f"{self.steps:,} steps"]
        if self.tokens:
            parts.append(f"{self.tokens:,} tokens")
        if self.best_validation_loss is not None and math.isfinite(self.best_validation_loss):
            parts.append(f"validation {self.best_validation_loss:.4f} {self.unit}")
        if self.stopped != "budget":
            parts.append("interrupted" if self.stopped == "interrupted" else "stopped early")
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        """Return the run as a notebook shows it: what it came to, its curve, and three samples."""
        directory = self.directory
        lines = learning_lines(self.metrics)
        if self.unit != NATS:  # the loss of a critic is of another kind than what is validated
            lines = [line for line in lines if line.name == "validation"]
        size = ""
        if is_file(self.run / WEIGHTS):
            built = directory.build_model(trust_code=self.trust_code)
            size = f"{parameter_count(built):,} parameters"
        faint = " · ".join(part for part in (size, f"{self.seconds:.1f} s", str(self.run)) if part)
        parts = [html_line(self._about(), bold=True), html_line(faint, faint=True)]
        if self.doubt:
            parts.append(html_line(f"Doubtful: {self.doubt}."))
        if self.advice:
            parts.append(html_line(f"Go on with: {self.advice}"))
        if any(len(line.xs) > 1 for line in lines):
            parts.append(as_image(curve_svg(lines, unit=self.unit), "learning curve"))
        for text in self.samples[:SHOWN]:
            cut = text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + " ..."
            parts.append(
                '<pre style="white-space:pre-wrap;margin:4px 0;padding-left:8px;'
                f'border-left:2px solid rgba(128,128,128,.4)">{html.escape(cut)}</pre>'
            )
        return "".join(parts)


def refuse_unknown(kind: str, given: dict[str, Any], known: set[str]) -> None:
    """Raise a `ConfigError` for a keyword that is no setting; the nearest is named.

    Args:
        kind: what the names stand for.
        given: the keywords.
        known: the names that there are.
    """
    for name in given:
        if name not in known:
            raise ConfigError(unknown_name(kind, name, known))


def _scored(
    model: SequenceModel, tokenizer: Tokenizer, tokens: list[int], length: int
) -> list[TextToken]:
    """Return the tokens of a text with the probability that the model gives each."""
    engine = Engine(model, tokenizer, rows=1, failure=reraise)
    engine.submit(
        GenerationRequest(
            number=0, client="", prompt=(tokenizer.boundary, *tokens), prompt_alternatives=0
        )
    )
    scored = [one for delta in engine.deltas() for one in delta.prompt or ()]
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    found, previous = [], tokenizer.boundary
    for token in scored:
        data = (
            b"\n"
            if token.token == tokenizer.boundary
            else tokenizer.bytes_after(previous, token.token)
        )
        piece = decoder.decode(data)[:length]  # a stop string is not part of the text
        length -= len(piece)
        found.append(TextToken(piece, math.exp(token.logprob)))
        previous = token.token
    return found
