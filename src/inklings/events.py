"""Events of long work, as listeners hear them and `metrics.jsonl` keeps them.

An event is a dictionary, which is a line of JSON as it is; these types say which keys it has.
"""

from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypedDict, final


class EventOrigin(TypedDict, total=False):
    """Which run an event is of, where several report to one listener; never in `metrics.jsonl`."""

    run: str
    arm: str
    seed: int | None
    factor: float
    tries: str
    """What a run of a search tries, in words."""


@final
class StartEvent(EventOrigin):
    """A session of training begins, or goes on from a checkpoint (listeners hear `start` then)."""

    event: Literal["start", "resume"]
    step: int
    steps: int
    parameters: int
    receptive_field: int | None
    tokens_per_step: int
    epoch_tokens: int
    """Targets of the training part; 0 where there are none to count."""
    runtime: dict[str, Any]
    notes: list[str]


class StepFigures(EventOrigin, total=False):
    """Figures of a step of a text GAN, beside the loss of its critic."""

    generator_loss: float
    critic_gap: float
    penalty: float
    critic_gradient_norm: float
    entropy: list[float]


@final
class StepEvent(StepFigures):
    """Some steps were made; `loss` is their mean."""

    event: Literal["step"]
    step: int
    loss: float
    learning_rate: float
    gradient_norm: float | None
    tokens: int
    seconds: float


class EvaluationFigures(EventOrigin, total=False):
    """Figures of an evaluation beside its loss; which ones depends on the kind of the generator."""

    perplexity: float | None
    bits_per_byte: float | None
    accuracy: float | None
    top5_accuracy: float | None
    macro_f1: float | None
    train_loss: float | None
    train_accuracy: float | None
    divergences: list[float]
    share_unique: float
    mean_length: float
    alarm: list[str]


@final
class EvaluationEvent(EvaluationFigures):
    """The validation split was scored."""

    event: Literal["evaluation"]
    step: int
    tokens: int
    seconds: float
    loss: float
    unit: str
    """What the loss is counted in; lines of older runs do not say it."""
    best: bool


@final
class SampleEvent(EventOrigin):
    """Texts were sampled during training."""

    event: Literal["sample"]
    step: int
    texts: list[str]


@final
class CheckpointEvent(EventOrigin):
    """A checkpoint is written next."""

    event: Literal["checkpoint"]
    step: int


@final
class DivergedEvent(EventOrigin):
    """The loss or the gradient is no longer finite."""

    event: Literal["diverged"]
    step: int
    message: str


@final
class EndEvent(EventOrigin):
    """A session of training ended."""

    event: Literal["end"]
    step: int
    tokens: int
    seconds: float
    stopped: Literal["budget", "patience", "interrupted"]


LoggedEvent = (
    StartEvent
    | StepEvent
    | EvaluationEvent
    | SampleEvent
    | CheckpointEvent
    | DivergedEvent
    | EndEvent
)
"""A line of `metrics.jsonl`."""


@final
class NoteEvent(EventOrigin):
    """Something that a user should know, in a sentence."""

    event: Literal["note"]
    text: str


@final
class StageEvent(EventOrigin):
    """Something that takes a while begins, and cannot tell how far it is."""

    event: Literal["stage"]
    text: str


class WorkItem(TypedDict):
    """A piece of long work: a run, or a search with several trials."""

    run: str
    """The `run` of its events."""
    arm: str
    stage: str
    """What it is, in a word."""
    weight: float
    """How long it takes, in whole runs of its arm."""
    trials: int
    """How many runs it makes, one after the other."""


@final
class WorkEvent(EventOrigin):
    """All that a comparison or a sweep is going to do, in this order."""

    event: Literal["work"]
    items: list[WorkItem]
    workers: int


@final
class PrepareEvent(EventOrigin):
    """How far a text is read, in characters or tokens; the total may not be known yet."""

    event: Literal["prepare"]
    stage: str
    done: int
    total: int | None
    left_out: NotRequired[dict[str, Any] | None]


@final
class RangeTestEvent(EventOrigin):
    """A step of a learning-rate range test."""

    event: Literal["find_lr"]
    step: int
    steps: int
    learning_rate: float
    loss: float


@final
class ProbeEvent(EventOrigin):
    """Some steps of a probe's training."""

    event: Literal["probe"]
    task: str
    step: int
    steps: int
    loss: float


@final
class RateEvent(EventOrigin):
    """A trial of a search for the learning rate ended."""

    event: Literal["rate"]
    status: str
    losses: list[float]
    message: str | None
    loss: float | None


@final
class ResultEvent(EventOrigin):
    """A run of a comparison or a sweep was scored, or a search is over (`loss` None)."""

    event: Literal["result"]
    loss: float | None


Event = (
    LoggedEvent
    | NoteEvent
    | StageEvent
    | WorkEvent
    | PrepareEvent
    | RangeTestEvent
    | ProbeEvent
    | RateEvent
    | ResultEvent
)
"""Every event that training, a comparison or a sweep tells a listener of."""

OnEvent = Callable[[Event], None]

TRACKERS_FOLDER = "trackers"
"""The folder, beside a run or in that of many, where trackers keep what they are told."""


def note(text: str) -> NoteEvent:
    """Make a note event of a sentence."""
    return {"event": "note", "text": text}


def stage(text: str) -> StageEvent:
    """Make a stage event of what is done now."""
    return {"event": "stage", "text": text}


def silent(event: Event) -> None:
    """Ignore the event: the listener where nobody listens."""
