"""`inklings serve`: what it refuses, what it prints, and how it ends.

The command runs as users run it, in processes of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main
from inklings.cli.reference import open_run
from inklings.cli.serve import KEY, Serve, name_runs, read_key
from inklings.errors import ConfigError, RunError
from inklings.serving.settings import ServeConfig

SECRET = "only-for-those-who-may"
LONG = 120
"""Seconds after which a process is taken to hang."""


class Command:
    """A running command, and what it wrote."""

    def __init__(self, arguments: tuple[str, ...], errors: Any) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop(KEY, None)
        self.errors = errors
        self.open: list[HTTPResponse | HTTPConnection] = []
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "inklings",
                "serve",
                "builtin:reference",
                "--port",
                "0",
                "--json",
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.said()
        self.document: dict[str, Any] = json.loads(line)
        self.address = self.document["url"].removeprefix("http://")

    def said(self) -> str:
        """What it wrote for people."""
        self.errors.seek(0)
        text: str = self.errors.read()
        return text

    def write(self, tokens: int, **headers: str) -> HTTPResponse:
        """Begin a text of so many tokens, as events."""
        connection = HTTPConnection(self.address, timeout=LONG)
        body = {
            "model": "reference",
            "prompt": "LATIN",
            "max_tokens": tokens,
            "stream": True,
            "ignore_eos": True,
        }
        connection.request(
            "POST",
            "/v1/completions",
            json.dumps(body),
            {"Content-Type": "application/json", **headers},
        )
        response = connection.getresponse()
        self.open += [response, connection]
        return response

    def stop(self) -> None:
        """As a service manager does: SIGTERM to all of its processes."""
        os.killpg(self.process.pid, signal.SIGTERM)

    def rest(self) -> str:
        """What else it wrote on stdout, when nobody can write there any more.

        Neither it nor a process that it started.
        """
        return self.process.communicate(timeout=LONG)[0]


@contextmanager
def serving(*arguments: str) -> Iterator[Command]:
    """A server that takes requests; killed in the end if it is still there."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        command = Command(arguments, errors)
        try:
            yield command
        finally:
            for each in command.open:
                each.close()
            command.process.kill()
            command.process.communicate()


def events(response: HTTPResponse) -> list[str]:
    """All data of a stream of events, to its end or to where it was cut off."""
    lines: list[bytes] = []
    with suppress(HTTPException, OSError):
        lines.extend(response)
    return [
        line.removeprefix(b"data: ").strip().decode()
        for line in lines
        if line.startswith(b"data: ")
    ]


# --- a life ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_a_server_finishes_what_it_is_at_and_tells_nobody_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\nand a remark\n")
    with serving("--api-key", str(tmp_path / "key")) as command:
        (model,) = command.document["models"]
        assert (model["name"], model["architecture"], model["predicts"], model["memory"]) == (
            "reference",
            "gpt",
            True,
            None,
        )
        assert (
            main(["serve", "builtin:reference", "--port", command.address.rpartition(":")[2]]) == 2
        )
        assert "is taken by another program" in capsys.readouterr().err
        refused = command.write(1, Authorization=f"Bearer {SECRET}-or-so")
        assert refused.status == 401
        response = command.write(300, Authorization=f"Bearer {SECRET}")
        first = response.readline()
        command.stop()
        answered = events(response)
        assert answered[-1] == "[DONE]"
        assert json.loads(answered[-2])["choices"][0]["finish_reason"] == "length"
        text = command.rest()
        assert command.process.returncode == 0
        said = command.said()
    for written in (
        text,
        said,
        json.dumps(command.document),
        first.decode(),
        *answered,
        refused.read().decode(),
    ):
        assert SECRET not in written
    assert text == ""
    assert "stopping: finishing 1 text" in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_tokens_of_a_chat_template_that_a_model_lacks_are_named_at_the_start(
    tmp_path: Path,
) -> None:
    template = (
        "{% for message in messages %}<|im_start|>{{ message.content }}<|im_start|>{% endfor %}"
    )
    (tmp_path / "template.jinja").write_text(template)
    with serving("--chat-template", str(tmp_path / "template.jinja")) as command:
        said = " ".join(command.said().split())
        command.stop()
        command.rest()
    told = "the chat template names <|im_start|>, which reference reads as text"
    assert said.count(told) == said.count("<|im_start|>") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_server_that_is_killed_leaves_no_process_behind() -> None:
    with serving("--max-new-tokens", str(10**9), "--workers", "2") as command:
        response = command.write(10**9)
        assert response.readline().startswith(b"data: ")
        command.process.kill()
        # the engine processes, one of them at work, have stdout too: it ends when they have
        assert command.rest() == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a process group")
def test_a_terminal_s_ctrl_c_while_models_are_loaded_ends_all_in_silence() -> None:
    arguments = [
        sys.executable,
        "-m",
        "inklings",
        "serve",
        "builtin:reference",
        "--port",
        "0",
        "--json",
        "--workers",
        "2",
    ]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert "loading reference" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=LONG) == ("", "")
        assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
@pytest.mark.parametrize(("grace", "signals"), [("0.3", 1), ("86400", 2)])
def test_what_takes_longer_than_the_grace_time_or_a_second_signal_is_ended(
    grace: str, signals: int
) -> None:
    with serving("--max-new-tokens", str(10**9), "--grace", grace, "--timeout", "86400") as command:
        response = command.write(10**9)
        assert response.readline().startswith(b"data: ")
        command.stop()
        if signals == 2:
            while "stopping" not in command.said():
                assert response.readline()  # the text goes on
            command.stop()
        answered = events(response)
        assert not any('"finish_reason":"' in event for event in answered)
        if signals == 1:
            assert any("the server is being stopped" in event for event in answered)
        assert command.rest() == ""
        assert command.process.returncode == 0
        assert "Traceback" not in command.said()


# --- what it is told ------------------------------------------------------------------------------


def refuses(capsys: pytest.CaptureFixture[str], *arguments: str, saying: str) -> str:
    """The command fails as it should, with one message that holds `saying`."""
    capsys.readouterr()
    code = main(["serve", *arguments])
    out, err = capsys.readouterr()
    said = " ".join((out + err).split())
    assert code == 2, said
    assert saying in said
    assert "Traceback" not in said
    return said


def test_flags_are_the_settings_of_a_server() -> None:
    flags = Serve()
    shared = {name: value for name, value in vars(ServeConfig()).items() if name != "key"}
    assert {name: getattr(flags, name) for name in shared} == shared


def test_names_are_those_of_the_folders_or_as_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = open_run("builtin:reference").path
    monkeypatch.chdir(tmp_path)
    for name in ("a/mine", "b/mine", "c=d", "two words"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).symlink_to(reference, target_is_directory=True)
    assert list(name_runs(["builtin:reference", "x=a/mine/", "y=builtin:reference"])) == [
        "reference",
        "x",
        "y",
    ]
    assert str(name_runs(["x=a/mine"])["x"].path) == "a/mine"
    with pytest.raises(
        ConfigError, match=r"a/mine and b/mine would both be called mine\..*mine-2=b/mine"
    ):
        name_runs(["mine=a/mine", "mine=b/mine"])
    with pytest.raises(ConfigError, match="'two words' cannot be the name"):
        name_runs(["two words=a/mine"])
    with pytest.raises(ConfigError, match="'' cannot be the name"):
        name_runs(["=a/mine"])
    with pytest.raises(RunError, match="there is no run absent"):
        name_runs(["x=absent"])
    with pytest.raises(ConfigError, match="no run is given"):
        name_runs([])


def test_what_is_no_run_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    refuses(capsys, str(tmp_path), "--port", "0", saying="is not a run")
    refuses(capsys, str(tmp_path / "absent"), "--port", "0", saying="there is no run")
    refuses(capsys, "--port", "0", saying="no run is given")


def test_other_machines_need_a_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    refuses(capsys, "builtin:reference", "--host", "0.0.0.0", saying="--api-key FILE")
    monkeypatch.setenv(KEY, SECRET)
    assert read_key(None) == SECRET
    (tmp_path / "key").write_text(f"  {SECRET}2 \nmore")
    assert read_key(str(tmp_path / "key")) == f"{SECRET}2"
    assert SECRET not in repr(ServeConfig(key=SECRET))


def test_a_key_given_as_it_is_is_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for given in (SECRET, f"/{SECRET}/{SECRET}", SECRET * 200, f"{SECRET}\0"):
        said = refuses(
            capsys, "builtin:reference", "--api-key", given, saying="takes the name of a file"
        )
        assert SECRET not in said
    (tmp_path / "short").write_text("sesame\n")
    assert "sesame" not in refuses(
        capsys,
        "builtin:reference",
        "--api-key",
        str(tmp_path / "short"),
        saying="at least 8 characters",
    )
    (tmp_path / "empty").write_text("\nsesame")
    assert "sesame" not in refuses(
        capsys, "builtin:reference", "--api-key", str(tmp_path / "empty"), saying="is empty"
    )


def test_pages_of_other_sites_are_let_in_by_name_and_all_of_them_with_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    refuses(
        capsys,
        "builtin:reference",
        "--allow-origin",
        "localhost:3000",
        saying="such as https://example.org",
    )
    refuses(
        capsys,
        "builtin:reference",
        "--allow-origin",
        "http://a.example",
        "*",
        saying="leave the other origins out",
    )
    refuses(capsys, "builtin:reference", "--receive-timeout", "0", saying="more than 0 seconds")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refuses(
            capsys,
            "builtin:reference",
            "--port",
            port,
            "--allow-origin",
            "*",
            saying="every page that is opened",
        )
        assert "is taken" in said
        said = refuses(
            capsys,
            "builtin:reference",
            "--port",
            port,
            "--allow-origin",
            "http://a.example",
            "http://b.example:8080",
            saying="is taken",
        )
        assert "every page" not in said


def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "inklings.serving.process.server", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "inklings.serving.process.server")
    refuses(capsys, "builtin:reference", saying="pip install 'inklings[serve]'")
