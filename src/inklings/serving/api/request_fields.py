"""Fields that the bodies of requests share: their types and limits."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

LONGEST_STOP = 256
"""Most characters of a stop string."""
MOST_STOPS = 32
MOST_ALTERNATIVES = 20
MOST_ENTRIES = 32
MOST_MESSAGES = 1024

WholeNumber = Annotated[int, Field(ge=0, lt=2**31)]
Stop = Annotated[str, Field(max_length=LONGEST_STOP)]
Token = Annotated[int, Field(ge=0, lt=2**31)]
Texts = (
    str
    | Annotated[list[Token], Field(min_length=1)]
    | Annotated[list[str], Field(min_length=1)]
    | Annotated[list[list[Token]], Field(min_length=1)]
)
"""A text, the numbers of its tokens, or several of either."""
Factors = dict[str, Annotated[float, Field(ge=0, le=100)]]
EMPTY: tuple[Any, ...] = (None, [], {}, "")
"""Values of a field that ask for nothing."""
Unused = Annotated[Any, Field(description="Refused unless empty.", examples=[None])]
"""A field of OpenAI's that asks for what is not here; clients send all fields of a schema, empty.
"""
Ignored = Annotated[Any, Field(description="Taken and ignored.", examples=[None])]


class Body(BaseModel):
    """A request: its fields have exactly the types that are stated, and no other fields are taken.

    Every field that may be left out may also be null, which says the same.
    """

    model_config = ConfigDict(extra="forbid", strict=True)


class ModelBody(Body):
    """A request to a model."""

    model: Annotated[
        str, Field(max_length=512, description="One of those that `/v1/models` lists.")
    ]
    user: Annotated[str | None, Field(description="Taken and ignored.")] = None


class InsideBody(ModelBody):
    """What may be asked of the inside of a model; additions of ours."""

    entries: Annotated[
        int | None,
        Field(
            ge=0,
            le=MOST_ENTRIES,
            description=(
                "Of a model with a memory: so many of the entries that each token took"
                " something of."
            ),
        ),
    ] = None
    branches: Annotated[
        Factors | None,
        Field(
            max_length=64,
            description=(
                "Factors that the outputs of named branches are multiplied by: 0 knocks a branch"
                " out."
            ),
            examples=[{}],
        ),
    ] = None

    @property
    def factors(self) -> tuple[tuple[str, float], ...]:
        """The branches and their factors, sorted by name."""
        return tuple(sorted((self.branches or {}).items()))
