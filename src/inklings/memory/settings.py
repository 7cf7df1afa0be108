"""The settings of a memory, and the backend that they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inklings.errors import ConfigError
from inklings.memory.backends.index import Index
from inklings.values import check, check_types

Backend = Literal["exact", "flat", "ivf", "ivfpq", "hnsw", "pgvector"]
Eviction = Literal["oldest", "least_used", "lowest_score"]
SearchedOn = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """How large a memory is, how it is searched, and which entries leave when it is full."""

    dimension: int = 768
    """Numbers in a vector."""
    capacity: int = 10_000
    """Most entries there can be."""
    backend: Backend = "exact"
    """`exact` and `flat` compare with every vector, `ivf`, `ivfpq` and `hnsw` with likely ones;
    `pgvector` is a database.
    """
    device: SearchedOn = "cpu"
    """`flat`, `ivf`: where FAISS searches; `cuda` takes a build of it for GPUs."""
    eviction: Eviction = "oldest"
    """Which entries give way to new ones in a full memory; of equal ones the oldest."""
    clusters: int = 1024
    """`ivf`, `ivfpq`: clusters at most; never more than one for every 39 vectors."""
    probes: int = 32
    """`ivf`, `ivfpq`: how many clusters a search looks into."""
    code_bytes: int = 0
    """`ivfpq`: parts of a vector, each coded in a byte; a divisor of the dimension, 0 for the
    largest up to a quarter of it.
    """
    refine: int = 8
    """`ivfpq`: how many times k candidates are measured exactly."""
    links: int = 32
    """`hnsw`: neighbours of a vector in the graph."""
    build_width: int = 100
    """`hnsw`: candidates kept while a vector is linked."""
    search_width: int = 128
    """`hnsw`: candidates kept while searching."""
    seed: int = 0
    """`ivf`, `ivfpq`: of the clusters."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in (
            "dimension",
            "capacity",
            "clusters",
            "probes",
            "refine",
            "build_width",
            "search_width",
        ):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        check(self, "links", self.links >= 2, "at least 2")
        check(self, "seed", 0 <= self.seed < 2**31, "from 0 to 2147483647")
        check(
            self,
            "device",
            self.device == "cpu" or self.backend in ("flat", "ivf"),
            f"'cpu' with the backend {self.backend!r}; flat and ivf can be searched on a GPU",
        )
        fits = self.code_bytes >= 0 and (
            self.code_bytes == 0 or self.dimension % self.code_bytes == 0
        )
        check(self, "code_bytes", fits, f"0 or a divisor of the dimension ({self.dimension})")


def make_index(config: MemoryConfig) -> Index:
    """Return an empty index of the backend that the settings name.

    Raises:
        MissingExtraError: the backend needs FAISS, which is not installed.
        ConfigError: the backend is `pgvector`, which lives in a database that only the caller
            knows, or FAISS is to search on a GPU and cannot.
    """
    room, gpu = config.capacity, config.device == "cuda"
    if config.backend == "exact":
        from inklings.memory.backends.exact import Exact

        return Exact(config.dimension, capacity=room)
    if config.backend == "pgvector":
        raise ConfigError(
            "MemoryConfig.backend is 'pgvector'; give the memory its index=PgVector(...), which"
            " knows the server and the table."
        )
    from inklings.memory.backends.faiss_index import IVF, IVFPQ
    from inklings.memory.backends.flat import Flat
    from inklings.memory.backends.hnsw import HNSW

    if config.backend == "flat":
        return Flat(config.dimension, gpu=gpu)
    if config.backend == "hnsw":
        widths = {"build_width": config.build_width, "search_width": config.search_width}
        return HNSW(config.dimension, links=config.links, capacity=room, **widths)
    if config.backend == "ivf":
        return IVF(
            config.dimension,
            clusters=config.clusters,
            probes=config.probes,
            seed=config.seed,
            capacity=room,
            gpu=gpu,
        )
    return IVFPQ(
        config.dimension,
        code_bytes=config.code_bytes,
        refine=config.refine,
        clusters=config.clusters,
        probes=config.probes,
        seed=config.seed,
        capacity=room,
    )
