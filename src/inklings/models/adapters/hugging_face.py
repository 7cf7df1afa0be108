"""A causal model of `transformers`, of any architecture, on our contract.

Nothing is known of it but that it maps token ids to logits: caches, masks and positions of its own
are left alone, and windows are read anew (`rereading.py`). So it is scored, audited and generated
from as what it computes in one plain pass.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inklings.errors import ArchitectureError, InklingsError, RunError, import_extra
from inklings.models.adapters.hub_models import not_at_hand
from inklings.models.adapters.rereading import RereadingModel
from inklings.models.adapters.weight_files import (
    INDEX,
    WEIGHTS,
    has_weights,
    read_index,
    weights_of,
)
from inklings.models.opening import OpeningConfig, opened
from inklings.seeds import drawn_from

PREFIX = "hf:"
LONGEST = 1024
"""Tokens of a window where a model has no limit, or a higher one."""
_LIMITS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
"""What configurations call the number of their positions."""
NAMED = 4
"""Of many tensors so many are named."""


class HuggingFaceModel(RereadingModel):
    """A causal model of `transformers`."""

    Config = OpeningConfig
    config: OpeningConfig

    def __init__(
        self, inner: nn.Module, *, boundary_token: int = 0, opening_token: int | None = None
    ) -> None:
        settings = settings_of(inner)
        limits = [getattr(settings, name, None) for name in _LIMITS]
        config = OpeningConfig(
            vocab_size=int(settings.vocab_size),
            boundary_token=boundary_token,
            opening_token=opening_token,
            context_length=min(
                [LONGEST, *(limit for limit in limits if isinstance(limit, int) and limit > 0)]
            ),
        )
        super().__init__(config)
        self.inner = inner

    def read(
        self, tokens: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T C"]]:
        """Return the logits of one plain pass, and the last hidden states."""
        asked = {"use_cache": False, "output_hidden_states": True}
        output = self.inner(
            input_ids=opened(tokens, self.config),  # a window is of one document
            **{name: value for name, value in asked.items() if takes(self.inner, name)},
        )
        hidden = getattr(output, "hidden_states", None)
        return output.logits, output.logits if not hidden else hidden[-1]


def takes(inner: nn.Module, name: str) -> bool:
    """Return whether a model's forward pass takes an argument of that name."""
    parameters = inspect.signature(inner.forward).parameters
    everything = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return name in parameters or everything


def settings_of(inner: nn.Module) -> Any:
    """Return the configuration of its part that reads text."""
    config: Any = inner.config
    return config.get_text_config()


def fresh_weights(inner: nn.Module) -> nn.Module:
    """Return a model of the same class and configuration with weights drawn anew."""
    made: nn.Module = type(inner)(copy.deepcopy(inner.config))  # as all classes of the library
    return made


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """What a folder, or a name on the hub, holds."""

    inner: nn.Module
    """In float32, in evaluation mode."""
    is_trained: bool
    """Whether its weights were there, all of them; else all are drawn."""
    tokenizer: Any | None
    """A tokenizer of `transformers`, if there is one."""
    unread: tuple[str, ...] = ()
    """Tensors beside its weights that the model has no place for, such as another head."""


def load_hugging_face(
    name: str, *, untrained: bool = False, or_drawn: bool = False, trust_code: bool = False
) -> LoadedModel:
    """Load a causal model of `transformers` and its tokenizer.

    Args:
        name: a folder, or OWNER/NAME on the hub.
        untrained: whether weights are drawn though there are some.
        or_drawn: whether weights are drawn where a folder holds a configuration and none at all.
        trust_code: whether Python code that comes with the model may be executed.

    Raises:
        MissingExtraError: `transformers` is not installed.
        ArchitectureError: there is no such model, or it cannot be loaded.
        RunError: weights are wanted, and some are missing, of another shape, or in a pickle.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # the hub would be asked to convert a pickle, and somebody's proposal be taken for the model
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    what = f"a model of `transformers` ({name})"
    transformers = import_extra("transformers", what, "transformers")
    folder = Path(name)
    if not folder.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ArchitectureError(
            f"there is no folder {name}. Give one that transformers wrote, or OWNER/NAME of a model"
            " on the hub."
        )
    bare = or_drawn and folder.is_dir() and not has_weights(folder)
    trained = not bare and not untrained
    auto = transformers.AutoModelForCausalLM
    how: dict[str, Any] = {"trust_remote_code": trust_code}
    unread: tuple[str, ...] = ()
    with (
        foreign_errors(f"{PREFIX}{name} cannot be loaded as a causal model"),
        warnings.catch_warnings(),
        quiet(transformers),
        drawn_from(0),
    ):
        warnings.simplefilter("ignore")  # of the library's own future
        try:
            config = transformers.AutoConfig.from_pretrained(name, **how)
            foreign = getattr(config, "auto_map", None) is not None
            if not foreign and type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
                raise ArchitectureError(f"{PREFIX}{name}: {no_causal(config.model_type)}")
            if trained:
                _refuse_unsafe(transformers, name, config)
                inner, unread = _with_weights(auto, name, how)
            else:
                inner = auto.from_config(config, dtype=torch.float32, **how)
        except OSError as error:
            if folder.is_dir():
                raise
            raise ArchitectureError(not_at_hand(name, error)) from error
        tokenizer = _tokenizer(transformers, name, how)
    return LoadedModel(inner=inner.eval(), is_trained=trained, tokenizer=tokenizer, unread=unread)


def _refuse_unsafe(transformers: Any, name: str, config: Any) -> None:
    """Make sure that nothing but safetensors is opened: a file may ask for something else."""
    if (other := getattr(config, "transformers_weights", None)) is not None:
        raise RunError(
            f"{PREFIX}{name}: its config.json names the file of its weights (transformers_weights"
            f" is {other!r}). Only {WEIGHTS} and its parts are read; rename the file."
        )
    if Path(name).is_dir():
        weights_of(Path(name))
    index = transformers.utils.cached_file(
        name,
        INDEX,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if index is not None:
        read_index(Path(index))


def _with_weights(auto: Any, name: str, how: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return a model with all of its weights, and the tensors that it has no place for.

    The library draws what a file lacks; a head that is tied to the embedding is not lacking.
    """
    inner, report = auto.from_pretrained(
        name,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # told below, by name
        **how,
    )
    if differing := sorted(report["mismatched_keys"]):
        first, there, here = differing[0]
        raise RunError(
            f"{PREFIX}{name} has weights of other shapes than its config.json says: {first} is"
            f" {tuple(there)}, where the model has {tuple(here)}{_and_more(differing)}."
        )
    if missing := sorted(report["missing_keys"]):
        raise RunError(
            f"{PREFIX}{name} lacks {len(missing):,} of its model's weights:"
            f" {', '.join(missing[:NAMED])}{_and_more(missing[NAMED - 1 :])}. They would be drawn"
            " at random, and what the model says would be partly noise. Save the whole model with"
            " save_pretrained, of the class that config.json describes."
        )
    return inner, tuple(sorted(report["unexpected_keys"]))


def no_causal(model_type: str) -> str:
    """Say that a type of models cannot be scored, and what can."""
    return (
        f"transformers has no causal model of the type {model_type!r}: none that predicts a token"
        " from those before it, which is what is scored here. Whatever gives such probabilities"
        " can be audited as a scorer: inklings audit FILE.py:NAME."
    )


def _and_more(found: Sequence[object]) -> str:
    return f" and {len(found) - 1:,} more" if len(found) > 1 else ""


def format_unread(unread: Sequence[str]) -> str | None:
    """Say which tensors a model has no place for; None where it reads them all."""
    if not unread:
        return None
    several = "tensors" if len(unread) > 1 else "tensor"
    return (
        f"the weights have {len(unread):,} {several} that this model does not read:"
        f" {', '.join(unread[:NAMED])}{_and_more(unread[NAMED - 1 :])}"
    )


@contextlib.contextmanager
def foreign_errors(what: str) -> Iterator[None]:
    """Turn all that others' code raises within the block into an `ArchitectureError`.

    It raises whatever comes up in a user's files; `what` says what cannot be done.
    """
    try:
        yield
    except InklingsError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise ArchitectureError(f"{what}: {type(error).__name__}: {said}") from error


def _tokenizer(transformers: Any, name: str, how: dict[str, Any]) -> Any | None:
    folder = Path(name)
    if folder.is_dir() and not any(folder.glob("*token*")):
        return None  # a configuration may name a class of tokenizers that has no files here
    try:
        return transformers.AutoTokenizer.from_pretrained(name, **how)
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Let the library say nothing of its own within the block."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()
