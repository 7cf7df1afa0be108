"""What the page is made of, and what it is told of the runs.

Facts, curves, audits and verdicts, as they are just now.
"""

from __future__ import annotations

import importlib.resources
import itertools
import json
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from inklings.auditing.findings import Finding
from inklings.cli.reference import open_run
from inklings.generation.engine.request import Card
from inklings.lab.comparison.comparison_file import write_comparison
from inklings.lab.comparison.plan import ArmPlan, Plan
from inklings.lab.comparison.result import ArmResult, Comparison, RunResult, Verdict
from inklings.runs.directory import RunDirectory
from inklings.runs.lock import locked
from inklings.serving.api import errors as errors_as_json
from inklings.serving.page.routes import PLACES, REPORT_POLICY, page_files, page_routes
from inklings.serving.page.run_facts import CURVE_POINTS, RunLocation, compared_with, run_facts

CARD = Card(
    name="mine",
    run="runs/mine",
    architecture="gpt",
    parameters=1,
    vocab_size=2,
    context_length=3,
    receptive_field=None,
    predicts=True,
    hidden_size=4,
    branches=("attention",),
    memory=None,
    unit="bits of divergence",
    remembers=False,
    precision="float32",
    threads=1,
    created=0,
)


@dataclass(frozen=True)
class Model:
    card: Card
    run: RunDirectory


def client_of(run: RunDirectory, card: Card = CARD) -> TestClient:
    app = FastAPI(docs_url=None)
    app.include_router(page_routes([Model(card, run)]))
    errors_as_json.install(app)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A copy of the run that ships with the package, in the folder of a comparison to come."""
    path = tmp_path / "out" / "runs" / "gpt" / "seed-0"
    shutil.copytree(open_run("builtin:reference").path, path)
    return RunDirectory.open(path)


def events_of(run: RunDirectory) -> list[dict[str, Any]]:
    return [dict(event) for event in run.metrics()]


def write_events(run: RunDirectory, events: list[dict[str, Any]]) -> None:
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def compare(run: RunDirectory) -> Path:
    """A comparison around the run."""
    out = run.path.parents[2]
    findings = [Finding(check="causality", status="pass", summary="the future stays out of view")]
    plan = Plan(
        arms=[ArmPlan(label="gpt", config={}, steps=1)], seeds=[0], data={}, budget="1-steps"
    )
    arm = ArmResult(
        label="gpt",
        architecture="gpt",
        kind="trained",
        audit=findings,
        runs=[RunResult(seed=0, status="done", run="runs/gpt/seed-0")],
    )
    comparison = Comparison(
        plan=plan,
        created="2026",
        command=None,
        status="complete",
        split="test",
        unit="nats per token",
        environment={},
        text={},
        arms=[arm],
        verdict=Verdict(headline="No claim.", sentences=["One seed says nothing."]),
    )
    write_comparison(out, comparison)
    return out


def test_every_file_of_the_page_is_given_as_it_is_in_the_package(run: RunDirectory) -> None:
    client = client_of(run)
    folder = importlib.resources.files("inklings.serving.page") / "static"
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    assert {*PLACES, "style.css", "app.js", "icon.svg"} <= set(names) == set(page_files())
    kinds = {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
    for name in names:
        place = PLACES.get(name, f"/page/{name}")
        answer = client.get(place)
        assert answer.content == (folder / name).read_bytes()
        assert answer.headers["content-type"].split(";")[0] == kinds[name.rpartition(".")[2]]
        assert client.head(place).headers["etag"] == answer.headers["etag"]


def test_a_file_that_the_browser_has_is_not_sent_again(run: RunDirectory) -> None:
    client = client_of(run)
    first = client.get("/")
    again = client.get("/", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"If-None-Match": '"other"'}).content == first.content
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache", (
        "a new version is seen at once"
    )


def test_the_files_name_no_other_host_and_need_no_inline_script_or_style() -> None:
    for name, file in page_files().items():
        text = file.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "//cdn" not in text, name
    for name, script in (("index.html", "app.js"), ("docs.html", "docs.js")):
        page = page_files()[name].content.decode()
        assert "style=" not in page and "onclick" not in page and "<style" not in page
        assert page.count("<script") == 1
        assert f'<script type="module" src="/page/{script}"></script>' in page


@pytest.mark.parametrize(
    "path",
    [
        "/page/../page_routes.py",
        "/page/%2e%2e/jobs.py",
        "/page/",
        "/page/nothing.js",
        "/page//etc/passwd",
        "/page/style.css/",
    ],
)
def test_nothing_else_can_be_read(run: RunDirectory, path: str) -> None:
    assert client_of(run).get(path, follow_redirects=False).status_code in (404, 307)


def test_a_run_tells_its_facts_and_its_card(run: RunDirectory) -> None:
    client = client_of(run)
    assert [card["name"] for card in client.get("/v1/runs").json()["data"]] == ["mine"]
    body = client.get("/v1/runs/mine").json()
    facts, events = body["facts"], events_of(run)
    evaluations = [event for event in events if event["event"] == "evaluation"]
    assert (
        body["facts"]["unit"] == CARD.unit
        and body["card"]["branches"] == ["attention"]
        and body["audit_command"] == f"inklings audit {run.path}"
        and body["compared"] is None
    )
    assert (facts["text"], facts["budget"], facts["state"]) == (
        "builtin:unicode-names",
        "4M-tokens",
        "done",
    )
    assert (facts["step"], facts["steps"]) == (3906, 3906)
    assert [point["loss"] for point in facts["validation"]] == [
        event["loss"] for event in evaluations
    ]
    assert facts["best_loss"] == min(event["loss"] for event in evaluations)
    assert (
        facts["scores"]["accuracy"] == evaluations[-1]["accuracy"]
        and "step" not in facts["scores"]
        and "best" not in facts["scores"]
    )
    assert facts["samples"][0] == {
        "step": 3906,
        "texts": [event for event in events if event["event"] == "sample"][-1]["texts"],
    }


def test_the_step_of_a_run_that_is_trained_is_told_as_long_as_it_trains(run: RunDirectory) -> None:
    newest = replace(CARD, weights="newest", step=40, steps=1000)
    client = client_of(run, newest)

    def told() -> set[str]:
        listed = client.get("/v1/runs").json()["data"][0]
        return {listed["progress"], client.get("/v1/runs/mine").json()["card"]["progress"]}

    with locked(run.path):
        assert told() == {"step 40 of 1,000, still training"}
    assert told() == {"step 40 of 1,000"}
    assert client_of(run).get("/v1/runs").json()["data"][0]["progress"] is None


def test_the_command_of_the_audit_can_be_pasted(run: RunDirectory) -> None:
    assert (
        client_of(open_run("builtin:reference")).get("/v1/runs/mine").json()["audit_command"]
        == "inklings audit builtin:reference"
    )
    odd = run.path.rename(run.path.with_name("it's mine; rm"))
    command = client_of(RunDirectory.open(odd)).get("/v1/runs/mine").json()["audit_command"]
    assert shlex.split(command) == ["inklings", "audit", str(odd)]


def test_a_run_that_is_not_there_is_named(run: RunDirectory) -> None:
    answer = client_of(run).get("/v1/runs/yours")
    assert answer.status_code == 404 and "there are: mine" in answer.json()["error"]["message"]


def test_the_state_is_what_it_is_now(run: RunDirectory) -> None:
    events = events_of(run)
    write_events(run, events[: len(events) // 2])
    facts = run_facts(run, CARD.unit)
    assert facts.state == "stopped" and 0 < facts.step < facts.steps
    with locked(run.path):
        assert run_facts(run, CARD.unit).state == "training"
    write_events(run, [*events[:-1], {**events[-1], "stopped": "interrupted"}])
    assert run_facts(run, CARD.unit).state == "stopped", (
        "an interruption ends a session, not the run"
    )
    write_events(run, events)
    assert run_facts(run, CARD.unit).state == "done"
    run.extended(budget="8M-tokens", steps=7812, from_step=3906)
    facts = run_facts(run, CARD.unit)
    assert (facts.state, facts.steps, facts.budget) == ("stopped", 7812, "8M-tokens")


def test_a_folder_that_was_damaged_says_so_and_the_rest_stays(run: RunDirectory) -> None:
    (run.path / "metrics.jsonl").write_text("nonsense\nmore\n")
    facts = run_facts(run, CARD.unit)
    assert facts.problem is not None and "damaged in line 1" in facts.problem
    assert facts.text == "builtin:unicode-names" and facts.validation == []


def test_a_long_curve_is_thinned_to_means_that_keep_its_end(run: RunDirectory) -> None:
    line = {"event": "step", "learning_rate": 0.1, "gradient_norm": 1.0}
    count = 3 * CURVE_POINTS + 7
    write_events(
        run,
        [
            {**line, "step": i, "tokens": i * 10, "seconds": i / 10, "loss": float(i)}
            for i in range(1, count + 1)
        ],
    )
    points = run_facts(run, CARD.unit).training
    assert len(points) == CURVE_POINTS and points[-1].step == count
    assert sum(point.loss for point in points) / len(points) == pytest.approx(
        (count + 1) / 2, rel=0.01
    )
    assert all(before.step < after.step for before, after in itertools.pairwise(points))


def test_a_run_in_a_comparison_tells_its_audit_its_verdict_and_the_report(
    run: RunDirectory,
) -> None:
    out = compare(run)
    (out / "report.html").write_text("<html>the report</html>")
    (out / "figures").mkdir()
    (out / "figures" / "loss.svg").write_text("<svg/>")
    (out / "secret.txt").write_text("hidden")
    client = client_of(run)
    compared = client.get("/v1/runs/mine").json()["compared"]
    assert (compared["arm"], compared["verdicts"][0]["headline"]) == ("gpt", "No claim.")
    assert compared["findings"] == [
        {"check": "causality", "status": "pass", "summary": "the future stays out of view"}
    ]
    report = client.get(compared["report"])
    assert report.text == "<html>the report</html>"
    assert (
        report.headers["content-security-policy"] == REPORT_POLICY
        and "sandbox" in REPORT_POLICY
        and "same-origin" not in REPORT_POLICY
    )
    assert client.get("/v1/runs/mine/figures/loss.svg").headers["content-type"] == "image/svg+xml"
    for name in ("secret.txt", "../secret.txt", "%2e%2e%2fsecret.txt", "..%2Fsecret.txt"):
        assert client.get(f"/v1/runs/mine/figures/{name}").status_code == 404


def test_the_page_of_a_run_is_given_and_no_link_in_its_place(
    run: RunDirectory, tmp_path: Path
) -> None:
    client = client_of(run)
    page = run.path / "report.html"
    page.unlink(missing_ok=True)
    assert client.get("/v1/runs/mine").json()["page"] is None
    missing = client.get("/v1/runs/mine/page")
    assert missing.status_code == 404 and "inklings report" in missing.text
    page.write_text("<html>the page</html>")
    given = client.get(client.get("/v1/runs/mine").json()["page"])
    assert given.text == "<html>the page</html>"
    assert given.headers["content-security-policy"] == REPORT_POLICY
    (tmp_path / "secret.txt").write_text("hidden")
    page.unlink()
    page.symlink_to(tmp_path / "secret.txt")
    assert client.get("/v1/runs/mine").json()["page"] is None
    assert client.get("/v1/runs/mine/page").status_code == 404


def test_without_a_report_there_is_none_to_link(run: RunDirectory) -> None:
    assert client_of(run).get("/v1/runs/mine/report").status_code == 404
    compare(run)
    client = client_of(run)
    assert client.get("/v1/runs/mine").json()["compared"]["report"] is None
    assert client.get("/v1/runs/mine/report").status_code == 404


def test_a_comparison_of_other_runs_is_not_this_run_s(run: RunDirectory, tmp_path: Path) -> None:
    out = compare(run)
    place = RunLocation.of(run.path)
    assert place.comparison == out.resolve()
    assert compared_with(place, "/r") is not None
    assert compared_with(replace(place, run=tmp_path / "elsewhere"), "/r") is None
    (out / "comparison.json").write_text("{")
    assert compared_with(place, "/r") is None, "a damaged comparison takes nothing from the run"
