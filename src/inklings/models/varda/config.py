"""Configuration of `varda`: the backbone, and what is remembered how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inklings.memory.settings import Backend, Eviction
from inklings.models.contract import (
    ModelConfig,
    require,
)


@dataclass(frozen=True, kw_only=True)
class VardaConfig(ModelConfig):
    """The backbone, and what is remembered how."""

    beginnings: ClassVar[tuple[str, ...]] = ("sharpness", "share", "nearness")

    backbone: str = "gpt2"
    """NAME[:field=value,...] or FILE.py:CLASS[:field=value,...]; within an ARM in brackets:
    backbone=[gpt:n_layer=2].
    """
    freeze_backbone: bool = False
    """Whether the backbone keeps its weights, and only what reads and writes the memory learns."""
    reader: Literal["mixture", "attention", "concat"] = "mixture"
    """What becomes of the entries found; see the module."""
    num_search_results: int = 32
    """Entries that a position may find in a memory."""
    sharpness: float = 15.0
    """`mixture`, `attention`: at first, by how many nats an entry loses for each unit of squared
    distance (unit vectors).
    """
    share: float = 0.2
    """`mixture`: at first, the memory's part in a prediction; with `nearness` above 0, where the
    nearest entry is at distance 0.
    """
    nearness: float = 0.0
    """`mixture`: at first, by how many nats the odds of the memory's part fall for each unit of
    squared distance of the nearest entry. 0: the part is the same at any distance.
    """
    gist: float = 0.0
    """`mixture`, `attention`: how much the gist of what was read before counts in what is written
    and searched with, where the position's own vector counts 1.
    """
    gist_length: int = 50
    """Tokens after which a vector's part in the gist has fallen to about a third."""
    write: Literal["all", "random", "surprisal", "learned"] = "all"
    """Which positions are remembered."""
    write_budget: float = 0.5
    """The share of positions that is remembered, unless it is `all` of them."""
    segment: int = 64
    """Positions that are written at once; nothing is found by the segment that it was written in.
    """
    memory_size: int = 10_000
    """Most entries of a row's memory."""
    memory_dim: int | None = None
    """Size of what is remembered: a linear map of the hidden vector. None: the hidden vector
    itself.
    """
    index_type: Backend = "exact"
    """How a row's memory is searched."""
    num_clusters: int = 1024
    """`ivf`, `ivfpq`: clusters at most."""
    eviction: Eviction = "oldest"
    """Which entries give way in a full memory."""
    forgetfulness_factor: float = 0.0
    """The probability with which each entry is forgotten whenever a segment is written."""
    decay: float = 1.0
    """What scores are multiplied by whenever a segment is written."""
    delete_within: float = 0.0
    """L2 distance from a position's deletable vector within which it may delete what it found; 0
    turns deleting off.
    """
    clear_at: Literal["document", "epoch"] = "document"
    """When a row's memory is emptied. Evaluation begins every document with an empty one in any
    case.
    """
    frozen: bool = False
    """Whether rows remember nothing, so that a long-term memory is all there is."""
    gate_weight: float = 1.0
    """Weight of what keeps the learned gates within their budget: the squared distance of their
    mean from it.
    """
    memory_seed: int = 0
    """Seed of random writing and forgetting."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "num_search_results", self.num_search_results >= 1, "at least 1")
        require(self, "sharpness", self.sharpness > 0, "above 0")
        require(self, "share", 0 < self.share < 1, "above 0 and below 1")
        require(self, "nearness", self.nearness >= 0, "0 or more")
        require(self, "gist", self.gist >= 0, "0 or more")
        require(
            self,
            "gist",
            self.gist == 0 or self.reader != "concat",
            "0 with the reader 'concat', which searches before anything has read the text",
        )
        require(self, "gist_length", self.gist_length >= 2, "at least 2")
        require(self, "write_budget", 0 < self.write_budget <= 1, "above 0 and up to 1")
        require(self, "segment", self.segment >= 1, "at least 1")
        require(
            self,
            "memory_size",
            self.memory_size >= self.segment,
            f"at least a segment of {self.segment}",
        )
        require(
            self,
            "memory_dim",
            self.memory_dim is None or self.memory_dim >= 1,
            "at least 1, or none",
        )
        require(
            self, "index_type", self.index_type != "pgvector", "exact, flat, ivf, ivfpq or hnsw"
        )
        require(self, "num_clusters", self.num_clusters >= 1, "at least 1")
        for name in ("forgetfulness_factor", "decay"):
            require(self, name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        require(self, "delete_within", self.delete_within >= 0, "0 or more")
        require(self, "gate_weight", self.gate_weight >= 0, "0 or more")
        require(self, "memory_seed", self.memory_seed >= 0, "0 or more")
