"""Loading a run to serve it: its model, as it is fastest here, its tokenizer and its memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from inklings.device import Runtime, choose_device
from inklings.errors import ConfigError
from inklings.generation.decoder import choose_decoder
from inklings.generation.engine.engine import Engine
from inklings.generation.engine.request import Card
from inklings.generation.from_noise import write
from inklings.generation.generate import Generation
from inklings.generation.inference import inference
from inklings.memory.persistence import MANIFEST, Manifest, read_manifest
from inklings.models.branches import modules_of
from inklings.models.contract import Architecture, SequenceModel, parameter_count
from inklings.models.objectives import (
    makes_texts,
    objective_of,
    predictor,
    predicts_tokens,
    refuse_silent,
)
from inklings.models.remembering import Remembering
from inklings.runs.directory import RunDirectory
from inklings.runs.memory import STORE, Addition, Hit, MemoryInfo, RunMemory
from inklings.runs.open_memory import FOLDER, changing, create_memory, has_memory, open_memory
from inklings.serving.process.current_weights import load_current
from inklings.text.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that an engine process needs at its start: plain data."""

    name: str
    run: str
    """The directory of the run."""
    rows: int
    precision: Literal["auto", "float32", "bfloat16"]
    workers: int
    """Processes of this model, this one included."""
    trust_code: bool
    memory: bool = True
    """Whether the run's long-term memory is read."""
    device: str = "cpu"
    """Where the model computes."""


class ServedModel:
    """A model within its engine process, and what can be asked of it beside generation requests.

    Processes of one model share only the disk.
    """

    def __init__(self, spec: Spec) -> None:
        """Load the run, its code, its weights and its memory.

        Raises:
            InklingsError: the run, its code, its weights or its memory cannot be used.
        """
        self.spec = spec
        self.run = RunDirectory.open(Path(spec.run))
        self.tokenizer: Tokenizer = self.run.tokenizer()
        self.current = load_current(self.run, trust_code=spec.trust_code)
        place, _ = choose_device(spec.device)
        self.model: Architecture = self.current.model.to(place)
        refuse_silent(self.model, "serving")
        self.reading: SequenceModel | None = None
        """The model as the engine reads it: perhaps a copy with other weights, but with the same
        long-term memory.
        """
        self.runtime = Runtime(device=str(self.model.device))
        self.memory: RunMemory | None = None
        self._manifest: Manifest | None = None
        """Manifest of the memory on disk, when we opened or saved it."""
        if predicts_tokens(self.model):
            self._open_memory(self.model)
            decoder = choose_decoder(self.model, rows=spec.rows, precision=spec.precision)
            self.reading, self.runtime = decoder.model, decoder.runtime

    def engine(self) -> Engine | None:
        """Return a fresh engine; None for a model that makes its texts out of noise."""
        if self.reading is None:
            return None
        return Engine(self.reading, self.tokenizer, rows=self.spec.rows, memory=self.memory)

    def card(self) -> Card:
        """Return the card of the loaded model."""
        model = self.model
        return Card(
            name=self.spec.name,
            run=self.spec.run,
            architecture=self.run.config.architecture,
            parameters=parameter_count(model),
            vocab_size=model.config.vocab_size,
            context_length=model.config.context_length,
            receptive_field=model.receptive_field,
            predicts=predicts_tokens(model),
            hidden_size=_hidden_size(model),
            branches=tuple(branch for branch in model.traits.branches if modules_of(model, branch)),
            memory=None if self.memory is None else len(self.memory),
            unit=objective_of(model).unit,
            remembers=self.spec.memory and isinstance(model, Remembering),
            precision=self.runtime.precision,
            threads=self.runtime.threads,
            created=self.current.written,
            weights=self.current.weights,
            step=self.current.step,
            steps=self.run.record.steps,
        )

    def make(
        self, samples: int, seed: int, style_seed: int | None, length: int | None
    ) -> list[Generation]:
        """Write texts out of noise (see `generation.from_noise.write`).

        Args:
            samples: how many.
            seed: of all noise.
            style_seed: of the noise that is global to a text; None draws it with the rest.
            length: most tokens of a text; None is as many as the model was made for.

        Raises:
            ConfigError: the length is not one that the model can make, or the model predicts token
                by token.
        """
        if not makes_texts(self.model):
            raise ConfigError(
                f"{self.spec.name} predicts token by token and makes no texts out of noise; give it"
                " a prompt to go on from."
            )
        return write(
            self.model, self.tokenizer, samples, seed=seed, style_seed=style_seed, length=length
        )

    def memory_info(self) -> MemoryInfo:
        """Return what its long-term memory is.

        Raises:
            ArchitectureError: the model reads no memory.
            RunError: there is none yet, or it is damaged.
        """
        return self._memory().info()

    def memory_search(self, text: str, k: int) -> list[Hit]:
        """Return the k entries nearest to what the model would search with at the end of a text.

        Nearest first; it changes nothing.
        """
        return self._memory().search(text, k)

    def memory_add(self, name: str, text: str) -> Addition:
        """Add a document and save; the first one makes the memory.

        Errors as `RunMemory.add`, and of `changing`.
        """
        model = self._changeable()
        with changing(self.run):
            memory = self._memory() if has_memory(self.run) else create_memory(self.run, model)
            try:
                return memory.add([(name, text)])
            finally:
                self._settle(memory)

    def memory_remove(self, ids: Sequence[int]) -> None:
        """Forget entries and save. Errors as `RunMemory.remove`, and of `changing`."""
        self._changeable()
        with changing(self.run):
            memory = self._memory()
            try:
                memory.remove(ids)
            finally:
                self._settle(memory)

    def _open_memory(self, model: SequenceModel) -> None:
        """Give the model the memory that is on disk, if it reads one and there is one."""
        wanted = self.spec.memory and self.current.weights == "best"
        if wanted and isinstance(model, Remembering) and has_memory(self.run):
            self._manifest = self._manifest_on_disk()
            self._use(open_memory(self.run, model))

    def _use(self, memory: RunMemory) -> None:
        self.memory = memory
        models: tuple[object, ...] = (self.model, self.reading)
        for model in models:
            if isinstance(model, Remembering):
                model.long_term = memory.memory

    def _memory(self) -> RunMemory:
        """Return the memory that is on disk now: another command may have changed it."""
        model = self._reader()
        manifest = self._manifest_on_disk()
        if self.memory is None or manifest != self._manifest:
            self._use(open_memory(self.run, model))
            self._manifest = manifest
        assert self.memory is not None
        return self.memory

    def _settle(self, memory: RunMemory) -> None:
        """Note after a change that what is held is what is on disk.

        Where saving failed, the disk is read again when it is needed next.
        """
        saved = self._manifest_on_disk()
        same = saved is not None and (saved.next_id, saved.count) == (
            memory.memory.next_id,
            len(memory),
        )
        self._manifest = saved if same else None
        if same:
            self._use(memory)

    def _manifest_on_disk(self) -> Manifest | None:
        """Return the manifest, if there is one: opening the memory says that it is lost."""
        store = self.run.path / FOLDER / STORE
        return read_manifest(store) if os.path.lexists(store / MANIFEST) else None

    def _reader(self) -> SequenceModel:
        """Return the model, if it may read a memory."""
        if not self.spec.memory:
            raise ConfigError(
                f"{self.spec.name} is served without its memory (--no-memory); start the server"
                " without that flag."
            )
        if self.current.weights == "newest":
            raise ConfigError(
                f"{self.spec.name} is served with the newest checkpoint of a run that is not done,"
                " and a long-term memory belongs to the best weights. Serve it anew when it has"
                " been trained."
            )
        return predictor(self.model, "a memory")

    def _changeable(self) -> SequenceModel:
        model = self._reader()
        if self.spec.workers > 1:
            raise ConfigError(
                f"{self.spec.name} is served by {self.spec.workers} processes, and the others would"
                " not see what one of them changes in the memory. Serve it with --workers 1 to"
                " change its memory while it is served."
            )
        return model


def _hidden_size(model: Architecture) -> int:
    """Return the last dimension of its hidden vectors.

    What is counted, and not learned, has none.
    """
    if not predicts_tokens(model) or objective_of(model).one_pass:
        return 0
    with inference(model.modules()):
        output = model(torch.tensor([[model.config.boundary_token]], device=model.device))
    return int(output.hidden.shape[-1])
