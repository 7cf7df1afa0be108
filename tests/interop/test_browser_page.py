"""The page of examples/browser, opened as a file, writes what the run writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import inklings
from inklings.interop.exports.export import export_run
from inklings.runs.directory import RunDirectory
from tests.browser import FAINT, Opened, chromium, needs_chromium
from tests.built import as_sequence_model

BROWSER = Path(__file__).parents[2] / "examples" / "browser"
NODE = shutil.which("node")
LONG = 60_000
"""Milliseconds after which a page is taken to hang."""
TOKENS = 80

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (BROWSER / "node_modules" / "onnxruntime-web").is_dir(),
        reason="`make test-node` installs onnxruntime-web",
    ),
]


def make_page(folder: Path, page: Path) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    command = [NODE, str(BROWSER / "make_page.mjs"), str(folder), str(page)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Made:
    """A run, and a page that holds its export."""

    run: RunDirectory
    page: Path


ARMS = {
    "gpt2": ("gpt2:n_layer=1,n_head=2,n_embd=16,context_length=12", "char+bytes"),
    "recurrent": ("recurrent:n_embd=8,n_hidden=24", "byte"),
}


@pytest.fixture(scope="module", params=list(ARMS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    place = tmp_path_factory.mktemp("page")
    arm, tokenizer = ARMS[request.param]
    text = place / "text.txt"
    text.write_text("\n".join(f"über {n} Ω don't" for n in range(400)), encoding="utf-8")
    inklings.train(
        arm, place / "run", data=text, budget="60-steps", tokenizer=tokenizer, threads=1,
        samples=0, evaluations=1, precision="float32", show=False,
    )  # fmt: skip
    run = RunDirectory.open(place / "run")
    export_run(run, place / "über Ω", to="onnx")
    done = make_page(place / "über Ω", place / "page.html")
    assert done.returncode == 0, done.stderr
    return Made(run, place / "page.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def opened(browser: Any, made: Made) -> Opened:
    view = Opened(browser.new_page(viewport={"width": 390, "height": 700}), made.page.as_uri())
    view.page.goto(view.url)
    view.page.get_by_text("Ready.").wait_for(timeout=LONG)
    return view


def greedy(run: RunDirectory, prompt: str) -> str:
    """What the run writes, the most likely token each time, until the text ends."""
    model, tokenizer = as_sequence_model(run.load_model()), run.tokenizer()
    tokens = [tokenizer.boundary, *tokenizer.encode(prompt).tolist()]
    state, written, given = model.initial_state(1), list(tokens), tokens
    with torch.no_grad():
        for _ in range(TOKENS):
            output = model(torch.tensor([given]), state)
            state = output.state
            given = [int(output.logits[0, -1].argmax())]
            if given == [tokenizer.boundary]:
                break
            written += given
    return tokenizer.decode(written)


def write(view: Opened, prompt: str) -> str:
    view.page.fill("#prompt", prompt)
    view.page.fill("#temperature", "0")
    view.page.fill("#most", str(TOKENS))
    view.page.click("#button")
    view.page.get_by_text("a second.").wait_for(timeout=LONG)
    return str(view.page.locator("#text").text_content())


def test_it_writes_what_the_run_writes_and_asks_nobody(browser: Any, made: Made) -> None:
    view = opened(browser, made)
    for prompt in ("", "über 7", "Ω"):
        assert write(view, prompt) == greedy(made.run, prompt)
        view.page.fill("#prompt", "")
        view.page.evaluate("() => { said.textContent = ''; }")
    assert view.said == []
    assert all(url.startswith(("file:", "blob:")) for url in view.asked)
    assert view.page.title() == "über Ω"


def test_it_can_be_read_and_fits_a_phone(browser: Any, made: Made) -> None:
    for scheme in ("light", "dark"):
        view = opened(browser, made)
        view.page.emulate_media(color_scheme=scheme)
        write(view, "über")
        assert view.page.evaluate(FAINT) == []
        assert view.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_writing_can_be_stopped(browser: Any, made: Made) -> None:
    view = opened(browser, made)
    view.page.evaluate("() => { most.max = 1e9; most.value = 1e8; temperature.value = 2; }")
    # a text that would end at once is begun again
    view.page.evaluate("""() => new Promise((resume) => {
      const again = setInterval(() => {
        if (button.textContent === "Write") button.click();
        if (text.textContent.length > 8) { clearInterval(again); resume(); }
      });
    })""")
    if view.page.locator("#button").text_content() == "Stop":
        view.page.click("#button")
    view.page.get_by_text("a second.").wait_for(timeout=LONG)
    assert view.page.locator("#button").text_content() == "Write"


def test_what_a_vocabulary_lacks_is_told(browser: Any, made: Made) -> None:
    if made.run.tokenizer().spells_all:
        view = opened(browser, made)
        write(view, "\N{SNOWMAN}")
        assert "\N{SNOWMAN}" in str(view.page.locator("#text").text_content())


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json", "stream.json"])
def test_a_folder_that_lacks_something_makes_no_page(
    made: Made, tmp_path: Path, missing: str
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(made.page.with_name("über Ω"), folder)
    (folder / missing).unlink()
    done = make_page(folder, tmp_path / "page.html")
    assert done.returncode == 2 and f"there is no {missing}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_vocabulary_of_byte_pairs_makes_no_page(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(made.page.with_name("über Ω"), folder)
    rules = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(
        rules.replace('"merges": []', '"merges": [["a", "b"]]'), encoding="utf-8"
    )
    done = make_page(folder, tmp_path / "page.html")
    assert done.returncode == 2 and "characters and of bytes" in done.stderr
