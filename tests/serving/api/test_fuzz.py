"""Requests made up from the API's own description, right and wrong ones.

No 500, and every answer is as described.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from inklings.runs.directory import RunDirectory
from inklings.serving.settings import ServeConfig

from ..conftest import Site, serving

EXAMPLES = 6
"""Requests of each route and kind in the fast test."""
MANY = 700

LIMITS = ServeConfig(
    rows=8, queue=8, max_prompt_tokens=50, max_new_tokens=10, max_samples=4, timeout=60.0
)


@pytest.fixture(scope="module")
def api_schema(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description of a server with a model of every kind, by the names of its models."""
    diary = RunDirectory.open(
        Path(shutil.copytree(site.runs["varda"].path, tmp_path_factory.mktemp("fuzzed") / "diary"))
    )
    beside = [site.served[name] for name in ("gpt", "wavegpt", "gan")]
    with serving(site.loop, {"diary": diary}, LIMITS, beside=beside) as url:
        described = httpx.get(f"{url}/openapi.json", timeout=60).json()
        names = ["diary", "gpt", "wavegpt", "gan"]
        for body in described["components"]["schemas"].values():
            if body.get("additionalProperties") is False and "model" in body["properties"]:
                model = body["properties"]["model"]
                model["enum"] = [*names, None] if "anyOf" in model else names
        for operations in described["paths"].values():
            for operation in operations.values():
                for parameter in operation.get("parameters", []):
                    parameter["schema"]["enum"] = names
        schema = schemathesis.openapi.from_dict(described)
        schema.config.update(base_url=url)
        # what is made up may also be larger than the server takes
        rejection = schema.config.checks.negative_data_rejection
        rejection.expected_statuses = [*rejection.expected_statuses, "413"]
        yield schema


def fuzz(schema: Any, mode: GenerationMode, examples: int) -> int:
    """Ask every route; returns how many requests that were."""
    asked = 0
    # what fits the description may still be refused: whether a model can do something is not a
    # matter of its form
    unfit = [CHECKS.get_one("positive_data_acceptance")]
    for found in schema.get_all_operations():
        operation = found.ok()
        if (
            mode is GenerationMode.NEGATIVE
            and operation.method == "get"
            and not operation.path_parameters
        ):
            continue  # there is nothing in it that could be wrong

        @settings(
            max_examples=examples,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(excluded_checks=unfit)

        ask()
    return asked


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.name.lower())
def test_some_requests(api_schema: Any, mode: GenerationMode) -> None:
    assert fuzz(api_schema, mode, EXAMPLES) > 40


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.name.lower())
def test_many_requests(api_schema: Any, mode: GenerationMode) -> None:
    assert fuzz(api_schema, mode, MANY) > 3_000
