"""One pass of `Varda` over a batch: backbone, search, reader, and what is written."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from inklings.memory.entries import Hits
from inklings.memory.streams import on_cpu
from inklings.models.contract import Output, State
from inklings.models.remembering import Recollection
from inklings.models.varda.gist import with_gist
from inklings.models.varda.joining import (
    PENDING,
    array_of,
    full_precision,
    joined,
    row_of,
    side_by_side,
    state_below,
)
from inklings.models.varda.readers import Concatenation, Mixture, Recalled
from inklings.models.varda.recall import Recall, search_outside
from inklings.models.varda.rows import Found, Pending

if TYPE_CHECKING:
    from inklings.models.varda.model import Varda

BACKBONE = "backbone."
"""Prefix of the names of the backbone's own state."""


@dataclass(frozen=True)
class Decisions:
    """Decisions from the hidden vectors for the memory; None where the model does not decide."""

    keys: Float[Tensor, "B T D"]
    log_gates: Float[Tensor, "B T"] | None
    """Logarithm of the gates of writing."""
    deletable: Float[Tensor, "B T D"] | None
    delete_gates: Float[Tensor, "B T k"] | None


class Pass:
    """One forward pass; `run` is called once."""

    def __init__(
        self,
        model: Varda,
        tokens: Tensor,
        state: State | None,
        starts: Tensor | None,
        memory_input: Tensor | None,
    ) -> None:
        self._model = model
        self._tokens = tokens
        self._numbers = tokens.cpu().numpy()
        self._starts = starts
        self._marks = np.zeros(tokens.shape, np.bool_) if starts is None else starts.cpu().numpy()
        self._memory_input = (
            None if memory_input is None else F.normalize(memory_input.float(), dim=-1)
        )
        given = State(*model.own_state(len(tokens))) if state is None else state
        self._next = given.tensors.get("next")
        self._gist = given.tensors.get("gist")
        self._backbone = None if state is None else state_below(BACKBONE, state)
        in_place = state is None or not torch.is_grad_enabled()
        self._recall = Recall(
            model.habits,
            [row_of(given, row, in_place=in_place) for row in range(len(tokens))],
            tokens.shape[1],
            control=model.control,
            window=model.backbone.config.context_length,
            # A mixture needs distances and values alone, and vectors are most of what is copied.
            need_vectors=not isinstance(model.reader, Mixture) or model.queries_learn,
        )
        self._decisions: list[Decisions] = []
        self._queries: list[Float32[np.ndarray, "B T D"]] = []
        self._shares: list[Float[Tensor, "B T k"]] = []
        self._outside: list[Found] = []

    def run(self) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T C"]]:
        """Run the pass; return logits, and the backbone's hidden vectors."""
        length = self._tokens.shape[1]
        if not isinstance(self._model.reader, Concatenation):
            return self._read_then_recall(length)
        # what a segment wrote is found by the tokens of the next, whose vectors depend on it: piece
        # by piece, then
        cuts = {0, length}
        for row in range(len(self._tokens)):
            cuts.update(first for first, _ in self._recall.spans(row, self._marks, 0, length))
        # Several pieces are read one after the other, so the backbone must carry a state.
        if len(cuts) > 2 and self._backbone is None:
            self._backbone = self._model.backbone.initial_state(len(self._tokens))
        pieces = [
            self._recall_then_read(first, last) for first, last in itertools.pairwise(sorted(cuts))
        ]
        return torch.cat([logits for logits, _ in pieces], 1), torch.cat(
            [hidden for _, hidden in pieces], 1
        )

    def decisions(self) -> Decisions:
        """Return all decisions of the pass."""
        whole = {
            field.name: joined([getattr(part, field.name) for part in self._decisions])
            for field in fields(Decisions)
        }
        assert whole["keys"] is not None
        return Decisions(
            whole["keys"], whole["log_gates"], whole["deletable"], whole["delete_gates"]
        )

    def queries(self) -> Float32[np.ndarray, "B T D"]:
        """Return the vectors that were searched with."""
        return np.concatenate(self._queries, axis=1)

    def state(self) -> State:
        """Return the state after the pass."""
        rows, device = self._recall.rows, self._tokens.device
        assert self._backbone is not None
        tensors = {f"{BACKBONE}{name}": tensor for name, tensor in self._backbone.tensors.items()}
        for name, numbers in {
            "memory": [row.stream.number for row in rows],
            "version": [row.stream.version for row in rows],
            "position": [row.position for row in rows],
            "document": [row.document for row in rows],
        }.items():
            tensors[name] = torch.tensor(numbers, device=device)
        if self._next is not None:
            tensors["next"] = self._next
        if self._gist is not None:
            tensors["gist"] = self._gist
        for field in fields(Pending):
            arrays = [getattr(row.pending, field.name) for row in rows]
            if arrays[0] is not None:
                tensors[f"{PENDING}{field.name}"] = torch.from_numpy(np.stack(arrays)).to(device)
        stores = {row.stream.number: row.stream for row in rows}
        return State(tensors, {**stores, **(self._backbone.stores)})

    def recollections(self) -> list[Recollection]:
        """Return, for each row, what it found and the shares of that in its predictions."""
        found = [self._recall.found, *([] if not self._outside else [side_by_side(self._outside)])]
        shares = torch.cat(self._shares, 1).detach().cpu().numpy()
        made = []
        for row in range(len(self._tokens)):
            columns = {
                field.name: np.concatenate([getattr(part, field.name)[row] for part in found], -1)
                for field in fields(Hits)
            }
            width = self._recall.habits.k
            outside = np.broadcast_to(np.arange(shares.shape[-1]) >= width, shares.shape[1:])
            made.append(Recollection(Hits(**columns), shares[row], outside.copy()))
        return made

    def _read_then_recall(self, length: int) -> tuple[Tensor, Tensor]:
        """Run a reader that comes behind the backbone, which reads all positions at once."""
        output = self._model.backbone(self._tokens, self._backbone, starts=self._starts)
        self._backbone = output.state
        with full_precision(self._tokens):
            self._decide(output, 0)
            queries = self._decisions[0].keys if self._memory_input is None else self._memory_input
            made = array_of(torch.nan_to_num(queries))
            arrays = self._arrays(output, 0, length)
            with on_cpu():
                for row in range(len(self._tokens)):
                    for first, last in self._recall.spans(row, self._marks, 0, length):
                        self._open_and_search(row, first, made[row, first:last])
                        self._append(row, arrays, first, last, 0, made)
            recalled = self._recalled(queries, made, 0, length)
            assert not isinstance(self._model.reader, Concatenation)
            logits, shares = self._model.reader(output.logits, output.hidden, recalled)
        self._queries.append(made)
        self._shares.append(shares)
        return logits, output.hidden

    def _recall_then_read(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Run the reader ahead of the backbone, on positions within which no row writes."""
        model, part = self._model, np.s_[:, first:last]
        reader, embedding = model.reader, model.embedding
        assert isinstance(reader, Concatenation)
        with full_precision(self._tokens):
            vectors = embedding(self._tokens[part])
            queries = (
                reader.query(vectors) if self._memory_input is None else self._memory_input[part]
            )
            made = array_of(torch.nan_to_num(queries))
            with on_cpu():
                for row in range(len(self._tokens)):
                    self._open_and_search(row, first, made[row])
            vectors, shares = reader(vectors, self._recalled(queries, made, first, last))
        output = self._read_vectors(vectors, first, last)
        self._backbone = output.state
        with full_precision(self._tokens):
            self._decide(output, first)
            arrays = self._arrays(output, first, last)
            for row in range(len(self._tokens)):
                self._append(row, arrays, first, last, first, made)
        self._queries.append(made)
        self._shares.append(shares)
        return output.logits, output.hidden

    def _read_vectors(self, vectors: Float[Tensor, "B T E"], first: int, last: int) -> Output:
        """Run the backbone with these vectors in place of its tokens' embeddings."""

        def replaced(module: object, inputs: object, output: Tensor) -> Tensor:
            assert output.shape == vectors.shape, (
                "the backbone read something else than the new tokens"
            )
            return vectors.to(output.dtype)

        starts = None if self._starts is None else self._starts[:, first:last]
        if self._model.begins_anew:
            starts = self._windows(first, last)
        # The contract has no way in but tokens: the embedding's output is exchanged under it.
        handle = self._model.embedding.register_forward_hook(replaced)
        try:
            output: Output = self._model.backbone(
                self._tokens[:, first:last], self._backbone, starts=starts
            )
        finally:
            handle.remove()
        return output

    def _windows(self, first: int, last: int) -> Tensor | None:
        """Return the positions where the backbone begins anew.

        These are the documents' first tokens, and wherever its context is full. What lies before is
        the memory's.
        """
        marks = self._marks[:, first:last].copy()
        for row, begun in zip(self._recall.rows, marks, strict=True):
            position = row.position
            for at in range(len(begun)):
                position = 0 if begun[at] else position
                begun[at] |= (
                    position > 0 and position % self._model.backbone.config.context_length == 0
                )
                position += 1
        return torch.from_numpy(marks).to(self._tokens.device) if marks.any() else None

    def _decide(self, output: Output, first: int) -> None:
        """Compute the decisions from the hidden vectors.

        With the next token known, that includes the surprisal of the last position of the pass
        before.
        """
        made, config = self._model.decisions(output.hidden), self._model.config
        if self._gist is not None:
            keys, self._gist = with_gist(
                made.keys, self._gist, self._starts, weight=config.gist, length=config.gist_length
            )
            made = replace(made, keys=keys)
        self._decisions.append(made)
        if self._next is not None:
            for number, row in enumerate(self._recall.rows):
                if row.position:
                    last = (row.position - 1) % self._recall.habits.segment
                    row.pending.priority[last] = -float(
                        self._next[number, self._numbers[number, first]]
                    )

    def _arrays(self, output: Output, first: int, last: int) -> dict[str, np.ndarray]:
        """Return what is to be remembered of positions first to last, with the batch first."""
        made = self._decisions[-1]
        arrays = {"keys": array_of(torch.nan_to_num(made.keys))}
        arrays["tokens"] = self._numbers[:, first:last]
        arrays["priority"] = np.zeros(arrays["tokens"].shape, np.float32)
        if made.log_gates is not None:
            arrays["priority"] = array_of(torch.nan_to_num(made.log_gates))
        if self._next is not None:
            log_probabilities = F.log_softmax(output.logits.detach().float(), dim=-1)
            following = self._tokens[:, first + 1 : last, None]
            arrays["priority"][:, :-1] = -array_of(
                log_probabilities[:, :-1].gather(-1, following).squeeze(-1)
            )
            self._next = log_probabilities[:, -1].clone()
        if made.deletable is not None and made.delete_gates is not None:
            arrays["deletable"], arrays["delete_gates"] = (
                array_of(torch.nan_to_num(made.deletable)),
                array_of(made.delete_gates),
            )
        return arrays

    def _open_and_search(self, row: int, first: int, queries: Float32[np.ndarray, "n D"]) -> None:
        self._recall.open(
            row,
            int(self._numbers[row, first]),
            bool(self._marks[row, first]),
            first,
            deletes=self._deletes(),
        )
        self._recall.search(row, first, queries)

    def _append(
        self,
        row: int,
        arrays: dict[str, np.ndarray],
        first: int,
        last: int,
        offset: int,
        queries: np.ndarray,
    ) -> None:
        of = slice(first - offset, last - offset)
        columns = {name: array[row, of] for name, array in arrays.items()}
        if "deletable" in columns:
            columns["queries"] = queries[row, of]
        self._recall.append(row, columns)

    def _deletes(self) -> tuple[Tensor, Tensor] | None:
        """Return the decisions that deleting depends on, where gradients are kept."""
        if (
            not self._model.config.delete_within
            or not torch.is_grad_enabled()
            or not self._decisions
        ):
            return None
        made = self.decisions()
        assert made.deletable is not None and made.delete_gates is not None
        return made.deletable, made.delete_gates

    def _recalled(
        self,
        queries: Float[Tensor, "B T D"],
        made: Float32[np.ndarray, "B T D"],
        first: int,
        last: int,
    ) -> Recalled:
        """Return the hits of some positions as tensors.

        The row's own, then the long-term memory's.
        """
        with on_cpu():
            found = self._found(made, first, last)
        device = self._tokens.device
        whole = {
            name: (
                torch.cat(
                    [torch.from_numpy(getattr(part, name)[:, at]) for part, _, at in found], 2
                ).to(device)
            )
            for name in ("distances", "values", "vectors")
        }
        edges = [
            torch.from_numpy(part.edges[:, at]).unsqueeze(-1).expand(-1, -1, part.ids.shape[2])
            for part, _, at in found
        ]
        log_scores = torch.cat([scores for _, scores, _ in found], 2).to(device)
        distances = whole["distances"]
        if self._model.queries_learn and torch.is_grad_enabled():
            # the same distances, with a gradient for what was searched with
            measured = (whole["vectors"] - queries[:, :, None]).square().sum(-1)
            distances = torch.where(torch.isfinite(distances), measured, distances)
        vectors = whole["vectors"] if whole["vectors"].shape[2] else None
        return Recalled(
            distances,
            torch.cat(edges, 2).to(device),
            log_scores,
            whole["values"].clamp(min=0),
            vectors,
        )

    def _found(
        self, made: Float32[np.ndarray, "B T D"], first: int, last: int
    ) -> list[tuple[Found, Tensor, slice]]:
        """Return the hits of each memory and their log-scores (B, T, k).

        The third part says which positions of the memory they are.
        """
        log_gates = (
            self.decisions().log_gates if self._decisions and torch.is_grad_enabled() else None
        )
        found = [
            (
                self._recall.found,
                self._recall.log_scores(first, last, log_gates),
                slice(first, last),
            )
        ]
        if self._model.long_term is not None and self._recall.control != "off":
            vectors = self._recall.found.vectors.shape[2] > 0
            outside = search_outside(
                self._model.long_term, made, self._recall.habits.k, vectors=vectors
            )
            with np.errstate(divide="ignore"):
                found.append((outside, torch.from_numpy(np.log(outside.scores)), slice(None)))
            self._outside.append(outside)
        return found
