"""An exported folder goes to a hub whole: a small hub on loopback keeps what it is sent."""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import inklings
from inklings.interop.exports.verdict_lines import verdict_lines

pytest.importorskip("transformers")

COMPARISON = Path(__file__).parents[1] / "fixtures" / "formats" / "comparison"
PUSHED = """\
import sys
import inklings.interop.transformers
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM
HfApi().upload_folder(folder_path=sys.argv[1], repo_id="somebody/mine")
AutoModelForCausalLM.from_pretrained(sys.argv[1]).push_to_hub("somebody/mine")
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers what an upload asks, and keeps the files of each commit."""

    commits: list[dict[str, bytes]]

    def do_GET(self) -> None:
        self._answer({"error": "no such file"}, 404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        here = f"http://{self.headers['Host']}/somebody/mine"
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            found = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for one in asked
            ]
            self._answer({"files": found})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            self.commits.append(
                {
                    line["value"]["path"]: base64.b64decode(line["value"]["content"])
                    for line in lines
                    if line["key"] == "file"
                }
            )
            self._answer({"commitUrl": f"{here}/commit/1", "commitOid": "1"})
        else:
            self._answer({"errors": [], "warnings": [], "url": here, "name": "mine"})

    def _answer(self, content: object, code: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        if code == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[http.server.ThreadingHTTPServer]:
    Hub.commits = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_hub_gets_every_file_of_a_folder(
    hub: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    text = tmp_path / "lines.txt"
    text.write_text("\n".join(f"line {number}" for number in range(2000)))
    inklings.train(
        "recurrent:n_layer=1,n_embd=8,n_hidden=12", tmp_path / "run", data=text, budget="1-steps",
        tokenizer="char", threads=1, samples=0, batch_size=2, evaluations=1, show=False,
    )  # fmt: skip
    folder = tmp_path / "mine"
    inklings.export(tmp_path / "run", folder)
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_TOKEN": "anything",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
    }
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", PUSHED, str(folder)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    uploaded, pushed = Hub.commits
    assert uploaded == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "generation_config.json"} <= pushed.keys()
    assert json.loads(pushed["config.json"])["architecture"] == "recurrent"


def test_a_card_has_the_verdict_of_the_comparison_of_the_run() -> None:
    said = json.loads((COMPARISON / "comparison.json").read_text())
    arm = said["arms"][0]
    lines = verdict_lines(COMPARISON / arm["runs"][1]["run"])
    assert lines[0] == said["verdict"]["headline"] and said["verdict"]["sentences"][0] in lines
    assert f"this run is the arm {arm['label']} with seed 1." in lines[-1]
    assert verdict_lines(COMPARISON / "runs" / "another") == []
    assert verdict_lines(Path("/nowhere/run")) == []
