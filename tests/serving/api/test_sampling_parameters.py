"""A sampling parameter is a field of `SamplingConfig`, which requests and flags are read into."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

import pytest
from openai.types import completion_create_params as text_parameters
from openai.types.chat import completion_create_params as chat_parameters

from inklings.cli.arguments import parse
from inklings.cli.generate import Generate
from inklings.cli.main import main
from inklings.cli.reference import open_run
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.models.objectives import predictor
from inklings.serving.api.requests import DrawingBody
from inklings.serving.api.sampling_parameters import ASKED, sampling_of

OTHER: dict[str, Any] = {
    "repetition_penalty": 1.5,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "temperature": 0.7,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.1,
    "ban_boundary": True,
    "seed": 5,
}
"""A value of each field that is not its default."""


def test_what_a_request_names_reaches_the_sampler() -> None:
    for field in ASKED:
        body = DrawingBody.model_validate({"model": "m", "seed": 5, field.name: OTHER[field.name]})
        assert sampling_of(body) == SamplingConfig(**{"seed": 5, field.name: OTHER[field.name]})


def test_what_openai_names_is_a_field_of_a_request() -> None:
    openais = {
        *text_parameters.CompletionCreateParamsBase.__annotations__,
        *chat_parameters.CompletionCreateParamsBase.__annotations__,
    }
    assert {f.name for f in fields(SamplingConfig)} & openais <= {f.name for f in ASKED}


@pytest.mark.parametrize("field", fields(SamplingConfig), ids=lambda field: field.name)
def test_every_field_is_a_flag(field: Field[Any]) -> None:
    name = field.name
    flag, value = f"--{name.replace('_', '-')}", OTHER[name]
    given = [flag] if value is True else [f"{flag}={value}"]
    flags = parse(Generate, ["run", *given], verb="generate", description="")
    assert flags.sampling == SamplingConfig(**{"temperature": 0.8, name: value})


def test_penalties_of_the_command_line_change_what_is_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = open_run("builtin:reference")
    model, tokenizer = predictor(run.load_model(), "writing"), run.tokenizer()
    texts = []
    penalties: list[dict[str, Any]] = [{}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0}]
    for penalty in penalties:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in penalty.items()]
        words = ["generate", "builtin:reference", "LATIN", "--max-new-tokens", "30", *flags]
        assert main(words) == 0
        sampling = SamplingConfig(temperature=0.8, **penalty)
        (wanted,) = generate(model, tokenizer, "LATIN", max_new_tokens=30, sampling=sampling)
        texts.append(wanted.text)
        assert capsys.readouterr().out == f"LATIN{wanted.text}\n"
    assert len(set(texts)) == 3
