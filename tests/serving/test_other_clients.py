"""Clients of other languages as they come.

OpenAI's for Node, Java's own, and curl where it asks for HTTP/2.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from inklings.serving.settings import ServeConfig

from .conftest import Site, serving

HERE = Path(__file__).parent
NODE, JAVA, CURL = (shutil.which(name) for name in ("node", "java", "curl"))
KEY = "a-key-of-the-tests"
LONG = 180
"""Seconds after which a client is taken to hang."""
BODY = {"model": "gpt", "prompt": "word", "max_tokens": 12, "seed": 3}


@pytest.fixture(scope="module")
def guarded(site: Site) -> Iterator[str]:
    with serving(
        site.loop, {}, ServeConfig(key=KEY, max_new_tokens=200), beside=[site.served["gpt"]]
    ) as url:
        yield url


def run(*command: str) -> str:
    """What a client printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(url: str, path: str, body: dict[str, Any]) -> Any:
    """The same, asked plainly."""
    answer = httpx.post(
        f"{url}{path}", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.slow
@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.skipif(
    not (HERE / "node" / "node_modules" / "openai").is_dir(),
    reason="`make test-node` installs OpenAI's client for Node",
)
def test_openai_s_client_for_node_chats_with_history_and_streams(guarded: str) -> None:
    found = json.loads(run(str(NODE), str(HERE / "node" / "chat.mjs"), f"{guarded}/v1", KEY))
    settings = {"model": "gpt", "max_completion_tokens": 12, "seed": 3}
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    first = ask(guarded, "/v1/chat/completions", {**settings, "messages": messages})["choices"][0][
        "message"
    ]["content"]
    messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "V"}]
    second = ask(guarded, "/v1/chat/completions", {**settings, "messages": messages})
    assert found["models"] == ["gpt"]
    assert (found["first"], found["second"]) == (first, second["choices"][0]["message"]["content"])
    assert found["streamed"] == found["second"]
    assert found["usage"] == found["whole"] == second["usage"]
    assert found["refused"] == {"kind": "BadRequestError", "status": 400, "param": "temperature"}


@pytest.mark.slow
@pytest.mark.skipif(JAVA is None, reason="java is not installed")
def test_java_s_client_that_would_rather_speak_http_2_is_understood(guarded: str) -> None:
    bodies = [
        BODY,
        {**BODY, "stream": True},
        {**BODY, "prompt": "é" * 5_000, "max_tokens": 1},
        {**BODY, "model": "nobody"},
    ]
    client = [str(JAVA), str(HERE / "java" / "Client.java"), f"{guarded}/v1/completions", KEY]
    whole, stream, long, missing = run(*client, *map(json.dumps, bodies)).splitlines()
    text = ask(guarded, "/v1/completions", BODY)["choices"][0]["text"]
    assert whole.startswith("200 ") and json.loads(whole[4:])["choices"][0]["text"] == text
    events = [part.removeprefix("data: ") for part in stream[4:].split("\\n\\n") if part]
    assert (
        events[-1] == "[DONE]"
        and "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1]) == text
    )
    assert long.startswith("200 ") and json.loads(long[4:])["usage"]["prompt_tokens"] == 10_000
    assert missing.startswith("404 ")


def speaks_http_2() -> bool:
    return (
        CURL is not None
        and "HTTP2"
        in subprocess.run([CURL, "--version"], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.skipif(not speaks_http_2(), reason="there is no curl with HTTP/2")
@pytest.mark.parametrize(
    "framing", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]]
)
def test_curl_that_asks_for_http_2_is_understood(guarded: str, framing: list[str]) -> None:
    fields = [
        "-H",
        "Content-Type: application/json",
        "-H",
        f"Authorization: Bearer {KEY}",
        *framing,
    ]
    address = f"{guarded}/v1/completions"
    asked = [
        "-sS",
        "--http2",
        "--max-time",
        str(LONG),
        *fields,
        "-d",
        json.dumps(BODY),
        "-w",
        "\n%{http_code} %{http_version}\n",
    ]
    # two requests on one connection
    answers = run(str(CURL), *asked, address, address).splitlines()
    text = ask(guarded, "/v1/completions", BODY)["choices"][0]["text"]
    assert answers[1] == answers[3] == "200 1.1"
    assert (
        json.loads(answers[0])["choices"][0]["text"]
        == json.loads(answers[2])["choices"][0]["text"]
        == text
    )
