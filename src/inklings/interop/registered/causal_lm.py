"""A model of ours as a causal model of transformers: `generate`, `pipeline`, training, saving."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from transformers import Cache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from inklings.errors import ArchitectureError, ConfigError
from inklings.interop.registered.columns import first_columns
from inklings.interop.registered.inklings_config import InklingsConfig, built, settings_of
from inklings.interop.registered.state_cache import StateCache
from inklings.models.contract import Output, SequenceModel
from inklings.runs.tensors.ties import shared_names
from inklings.seeds import drawn_from

PREFIX = "model"
"""The attribute that holds the model, and what the names of its weights begin with."""


class InklingsForCausalLM(PreTrainedModel, GenerationMixin):
    """A streaming model with a likelihood, of any architecture, under transformers' methods."""

    config_class = InklingsConfig
    config: InklingsConfig
    model: SequenceModel
    base_model_prefix = PREFIX
    main_input_name = "input_ids"
    own_architecture: ClassVar[type[SequenceModel] | None] = None
    """The class of the model, where it is code beside the weights; None asks the registry."""

    def __init__(self, config: InklingsConfig) -> None:
        super().__init__(config)
        # transformers builds on a device without memory and fills in what a checkpoint has; our
        # models compute tables as they are built
        device = torch.get_default_device()
        with torch.device("cpu" if device.type == "meta" else device):
            self.model = built(config, self.own_architecture)
        self._tied_weights_keys = {
            f"{PREFIX}.{name}": f"{PREFIX}.{first}"
            for name, first in shared_names(self.model.state_dict()).items()
        }
        self._is_built = False
        self.post_init()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self._is_built = True

    def forward(
        self,
        input_ids: Int[Tensor, "B T"] | None = None,
        attention_mask: Num[Tensor, "B S"] | None = None,
        position_ids: Int[Tensor, "_ P"] | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Float[Tensor, "B T C"] | None = None,
        labels: Int[Tensor, "B T"] | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Return the logits after each column, and the loss where labels are given.

        Auxiliary losses of the model are part of the loss in training mode.

        Args:
            input_ids: tokens.
            attention_mask: zeros where a row is padded on the left; S counts the columns that the
                cache has read too.
            position_ids: a text begins wherever they are zero; other values mean nothing here.
            past_key_values: the cache to go on from.
            inputs_embeds: refused.
            labels: tokens, shifted by transformers' loss; -100 where none is scored.
            use_cache: whether a cache is returned; by default one is where nothing is trained.
            output_hidden_states: whether what the head reads is returned, the only layer there is.
            return_dict: False for a tuple.
            others: handed to the loss.

        Raises:
            ConfigError: something was given that such a model does not take.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ConfigError("a model of Inklings reads tokens: give input_ids, no inputs_embeds.")
        if use_cache is None:
            use_cache = past_key_values is not None or (labels is None and not self.training)
        cache = _checked_cache(past_key_values)
        begins = first_columns(
            attention_mask,
            position_ids,
            read=0 if cache is None else cache.get_seq_length(),
            shape=(input_ids.shape[0], input_ids.shape[1]),
        )
        output: Output
        if use_cache:
            cache = StateCache() if cache is None else cache
            output = cache.go_on(self.model, input_ids, begins)
        elif cache is not None:
            raise ConfigError("past_key_values were given, and use_cache=False. Give one of them.")
        else:
            output = self.model(input_ids, starts=begins)
        loss = None
        if labels is not None:
            size = self.config.vocab_size
            loss = self.loss_function(output.logits, labels, vocab_size=size, **others)
            if self.training:
                loss = loss + sum(output.losses.values())
        result = CausalLMOutputWithPast(
            loss=loss,
            logits=output.logits,
            past_key_values=cache,
            hidden_states=(output.hidden,) if output_hidden_states else None,
        )
        return result.to_tuple() if return_dict is False else result

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *others: Any, **more: Any
    ) -> bool:
        """Put our own cache where `generate` would put one for attention."""
        if generation_config.cache_implementation is not None:
            raise ConfigError(
                f"cache_implementation={generation_config.cache_implementation!r} is a cache for"
                " attention; a model of Inklings carries its own state. Leave it out."
            )
        if generation_config.use_cache is not False:
            cache = _checked_cache(model_kwargs.get("past_key_values"))
            cache = StateCache() if cache is None else cache  # an empty one is false
            if getattr(generation_config, "is_assistant", False):
                cache.activate_past_recording()
            model_kwargs["past_key_values"] = cache
        return True

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Give what a checkpoint does not hold the values of a fresh model.

        Those are tables that are computed, and weights that are missing.
        """
        if not self._is_built:
            return  # the weights were drawn as the model was built
        with drawn_from(0):
            fresh = built(self.config, self.own_architecture)
        for of_fresh, own in (
            (fresh.named_parameters(), dict(self.model.named_parameters())),
            (fresh.named_buffers(), dict(self.model.named_buffers())),
        ):
            for name, tensor in of_fresh:
                if not getattr(own[name], "_is_hf_initialized", False):
                    own[name].copy_(tensor)

    @property
    def device(self) -> torch.device:
        """The device of the weights, or of the tables of a model without weights."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """What weights are stored as."""
        tensors = itertools.chain(self.model.parameters(), self.model.buffers())
        return next(tensor.dtype for tensor in tensors if tensor.is_floating_point())

    def get_input_embeddings(self) -> nn.Module | None:  # type: ignore[override]
        """Return the layer that turns tokens into vectors; None where there is none alone."""
        return self.model.input_embedding

    def get_output_embeddings(self) -> None:
        """Return None: heads differ."""

    def resize_token_embeddings(self, *_: Any, **__: Any) -> nn.Embedding:
        """Refuse.

        Raises:
            ArchitectureError: always.
        """
        raise ArchitectureError(
            "the vocabulary of a model of Inklings is not extended here. Train a run with the"
            " larger one that begins with this one's weights (`inklings train ARM --from RUN`), and"
            " export that."
        )


def as_transformers(model: SequenceModel) -> InklingsForCausalLM:
    """Return a copy of a model as one of transformers, in evaluation mode.

    Raises:
        ArchitectureError: its class has no name in the registry.
    """
    with drawn_from(0):
        made = InklingsForCausalLM(InklingsConfig(**settings_of(model)))
    made.model.load_state_dict(model.state_dict())
    made.train(False)
    return made


def _checked_cache(given: Any) -> StateCache | None:
    """Return the cache that was given.

    Raises:
        ConfigError: it is one of another kind, which could not hold a state.
    """
    if given is None or isinstance(given, StateCache):
        return given
    raise ConfigError(
        f"past_key_values is a {type(given).__name__}; a model of Inklings keeps its state in an"
        " inklings.interop.transformers.StateCache(). Give that, or nothing."
    )
