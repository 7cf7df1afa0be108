"""The settings of a run.

Plain frozen dataclasses, read from TOML or a mapping, checked, and written back.

Precedence is: defaults < file < flags. An unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from inklings.errors import ConfigError
from inklings.optimizers import OPTIMIZERS, PEAK_RATES, moved_rates, peak_rates
from inklings.values import check, check_types, from_mapping, short_repr

DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?|mps")
"""How a device is named."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which text is used, and how it becomes tokens."""

    source: str = "builtin:unicode-names"
    """Where the text comes from: a path, `-`, `builtin:NAME`, a well-known name, or
    `hf:OWNER/NAME?...`.
    """
    validation: str | None = None
    """Held-out text of your own, a source like the training text; nothing of that is then held out.
    """
    test: str | None = None
    """Test text of your own, beside `validation`."""
    layout: Literal["auto", "lines", "documents"] = "auto"
    """Whether a document is a line, or a file or record."""
    document_separator: str | None = None
    """Cut every file into documents at this string."""
    document_opening: str | None = None
    """Cut every file into documents before each line that this regular expression fits as a whole,
    such as a heading.
    """
    field: str = "text"
    """Name of the field that holds the text in JSON, CSV and Parquet records."""
    skip_bad: bool = False
    """Leave out records without a text in that field, and count them; otherwise they are refused.
    """
    tokenizer: str = "auto"
    """`byte`, `char`, `char+bytes`, `word:N`, `bpe:N`, the path of a tokenizer.json or of a run
    whose vocabulary is taken, or `auto` (char below 2 MB, char+bytes where held-out text has
    characters that training lacks, bpe:4096 above).
    """
    unknown: Literal["auto", "error", "skip", "replace"] = "auto"
    """What becomes of a character that `char` lacks, or a word; `auto` replaces it if held-out text
    has one, else refuses. Where it is given, the tokenizer `auto` spells nothing in bytes.
    """
    min_known: float = 0.0
    """Least share of a document's tokens that the vocabulary has; others are dropped. 1 drops all
    with an unknown word, 0 none.
    """
    min_length: int = 0
    """Least number of tokens of a document, the end mark not counted; shorter ones are dropped."""
    max_length: int | None = None
    """Greatest number of tokens of a document, the end mark not counted; longer ones are dropped.
    """
    split: tuple[float, float, float] | None = None
    """Shares of train, validation and test; None takes what the source is known by, else 0.8, 0.1,
    0.1.
    """
    split_seed: int = 42
    """Seed of the assignment of documents to splits."""

    def __post_init__(self) -> None:
        check_types(self)
        held_out = [name for name in ("validation", "test") if getattr(self, name) is not None]
        if held_out and self.split is not None:
            raise ConfigError(
                f"data.split gives shares of one text, and data.{held_out[0]} names a text that is"
                " held out whole. Give one of them."
            )
        check(self, "min_known", 0 <= self.min_known <= 1, "a share in [0, 1]")
        check(self, "min_length", self.min_length >= 0, "0 or more")
        least = max(1, self.min_length)
        check(
            self,
            "max_length",
            self.max_length is None or self.max_length >= least,
            f"None, or at least {least} (min_length, or 1)",
        )
        check(self, "split_seed", self.split_seed >= 0, "0 or more")

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model learns: budget, batches, optimiser, schedule, and what is kept."""

    budget: str = "1M-tokens"
    """How much: a number and a unit, such as `2M-tokens`, `500-steps`, `3-min` or `5-epochs`."""
    batch_size: int = 32
    """B: rows of one optimiser step, all accumulated parts together."""
    sequence_length: int | None = None
    """T: positions of a row in training; None takes 64 or the model's context length, whichever is
    larger.
    """
    accumulate: int = 1
    """In how many equal parts a batch is computed; the gradient is that of the whole batch."""
    order: Literal["auto", "windows", "streams", "positions"] = "auto"
    """`windows` in random order, `streams` read in order (state carried), single random
    `positions`; `auto` asks the model.
    """
    optimizer: Annotated[str, OPTIMIZERS] = "muon"
    """What moves the weights: a registered name."""
    learning_rate: float = None  # type: ignore[assignment]  # settled below: a number in every instance
    """Peak rate of AdamW or SGD, 0.01; given alone, it moves Muon's in their ratio."""
    matrix_learning_rate: float = None  # type: ignore[assignment]
    """Peak rate of Muon, 0.03; given alone, it moves AdamW's in their ratio."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay of its first and second moment."""
    momentum: float = 0.0
    """SGD's momentum."""
    weight_decay: float = 0.0
    """Decoupled weight decay of matrices; vectors and embeddings are never decayed."""
    schedule: Literal["constant", "step", "linear", "cosine", "wsd"] = "wsd"
    """Of the learning rate: after the warm-up constant, divided by 10 at `decay_from`, falling, or
    constant then falling.
    """
    warmup: float = 0.02
    """Share of the steps in which the rate rises from zero; from 1 on, their number."""
    decay_from: float = 0.5
    """Share of the steps after which `step` and `wsd` decay."""
    final_rate: float = 0.0
    """Rate at which `linear`, `cosine` and `wsd` arrive with the end of the run, as a share of the
    peak.
    """
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    seed: int = 0
    """Of the weights, the batches and the dropout."""
    init_seed: int | None = None
    """Of the weights alone, where they are to differ and nothing else; None takes `seed`."""
    evaluations: int = 10
    """How often the whole validation split is scored, evenly over the run, the end included."""
    patience: int = 0
    """Stop after this many evaluations without a better validation loss; 0 never stops early."""
    samples: int = 3
    """How many texts are sampled at each evaluation."""
    keep_checkpoints: int = 2
    """How many of the latest checkpoints are kept, beside the best."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; weights stay float32."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether torch.compile is used."""
    threads: int = 0
    """CPU threads; 0 measures and chooses."""

    def __post_init__(self) -> None:
        check_types(self)
        given = {
            name: getattr(self, name) for name in PEAK_RATES if getattr(self, name) is not None
        }
        for name in given:
            check(self, name, getattr(self, name) > 0, "more than 0")
        for name, rate in moved_rates(
            peak_rates(self.optimizer), given, optimizer=self.optimizer
        ).items():
            object.__setattr__(self, name, rate)
        for name in ("batch_size", "accumulate", "evaluations"):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        for name in (
            "patience",
            "samples",
            "threads",
            "clip",
            "weight_decay",
            "momentum",
            "final_rate",
            "seed",
        ):
            check(self, name, getattr(self, name) >= 0, "0 or more")
        check(
            self, "init_seed", self.init_seed is None or self.init_seed >= 0, "None, or 0 or more"
        )
        check(self, "betas", all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")
        check(self, "momentum", self.momentum < 1, "in [0, 1)")
        check(
            self,
            "device",
            DEVICES.fullmatch(self.device) is not None,
            "auto, cpu, cuda, cuda:N or mps",
        )
        check(self, "keep_checkpoints", self.keep_checkpoints >= 1, "at least 1")
        warm = self.warmup
        check(
            self,
            "warmup",
            0 <= warm < 1 or (warm >= 1 and warm == int(warm)),
            "a share in [0, 1), or a whole number of steps",
        )
        check(self, "decay_from", 0 <= self.decay_from <= 1, "in [0, 1]")
        check(
            self,
            "sequence_length",
            self.sequence_length is None or self.sequence_length >= 1,
            "at least 1",
        )
        check(
            self,
            "accumulate",
            self.batch_size % self.accumulate == 0,
            f"a divisor of batch_size ({self.batch_size})",
        )

    def __repr__(self) -> str:
        return short_repr(self, peak_rates(self.optimizer))

    @property
    def weights_seed(self) -> int:
        """The seed that the initial weights are drawn with."""
        return self.seed if self.init_seed is None else self.init_seed


def with_source(data: DataConfig, source: str) -> DataConfig:
    """Return the settings with another text, of which parts are held out as of any."""
    return dataclasses.replace(data, source=source, validation=None, test=None)


def with_training(
    training: TrainingConfig, given: Mapping[str, Any], *, below: frozenset[str] = frozenset()
) -> TrainingConfig:
    """Return training settings with the given values laid over them.

    Where one peak rate is given, the other moves with it (`moved_rates`).

    Args:
        training: the settings below.
        given: new values, by field name.
        below: the peak rates that the layer below gave (a file, under flags).

    Raises:
        ConfigError: a value is out of range.
    """
    rates = {name: getattr(training, name) for name in PEAK_RATES}
    if rates == peak_rates(training.optimizer) and not below:
        rates = peak_rates(given.get("optimizer", training.optimizer))
    given_rates = {name: given[name] for name in PEAK_RATES if name in given}
    optimizer = given.get("optimizer", training.optimizer)
    moved = moved_rates(rates, given_rates, optimizer=optimizer, below=below)
    return dataclasses.replace(training, **{**given, **moved})


def scaled_rates(training: TrainingConfig, factor: float) -> TrainingConfig:
    """Return the settings with every peak rate multiplied by `factor`."""
    rates = {name: getattr(training, name) * factor for name in PEAK_RATES}
    return dataclasses.replace(training, **rates)


def rates_in(names: Iterable[str], *, below: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return which peak rates are among the names of settings.

    If none is, return `below`: the rates of the layer below stay in force.
    """
    return frozenset(PEAK_RATES) & frozenset(names) or below


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything a run needs to be repeated."""

    architecture: str = "gpt"
    """A registered name, or `path/to/file.py:Class`."""
    model: dict[str, Any] = field(default_factory=dict)
    """Fields of the architecture's configuration; what is absent keeps its default."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        check_types(self)

    def __repr__(self) -> str:
        return short_repr(self)


LONGEST_FILE = 1_000_000
"""Most characters of a run file: a whole text, given for one by mistake, is not read."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Raises:
        ConfigError: the file is missing, too long, or not TOML.
    """
    try:
        with path.open(encoding="utf-8") as file:  # which may be a pipe, or a device without end
            text = file.read(LONGEST_FILE + 1)
        if len(text) <= LONGEST_FILE:
            return tomllib.loads(text)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"there is no run file {path}. Examples are in configs/.") from None
    except OSError as error:
        raise ConfigError(
            f"the run file {path} cannot be read: {error.strerror or error}."
        ) from None
    except (ValueError, RecursionError) as error:  # the first is what the library raises, too
        raise ConfigError(f"{path} is not a TOML file: {error}") from None
    raise ConfigError(
        f"{path} is no run file: it has more than {LONGEST_FILE:,} characters. A text is given with"
        " --data."
    )


def load_run_config(path: Path) -> RunConfig:
    """Read a run file: `architecture`, and the tables `[model]`, `[data]` and `[training]`."""
    return from_mapping(RunConfig, read_toml(path), where=str(path))


def to_mapping(config: Any) -> dict[str, Any]:
    """Return plain values that `from_mapping` reads back to an equal configuration."""
    return dataclasses.asdict(config)
