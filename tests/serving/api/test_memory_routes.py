"""A long-term memory over HTTP.

What is added is found, what is removed is not, and what cannot be says why.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from inklings.runs.directory import RunDirectory
from inklings.serving.settings import ServeConfig

from ..conftest import Refused, Site, error_of, serving

MEMORY = "/v1/memory/diary"
STORY = "The lamp in the harbour was lit at nine. Nobody had seen the door open since May."


@pytest.fixture(scope="module")
def diary(site: Site, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of its own to fill the memory of."""
    return RunDirectory.open(
        Path(shutil.copytree(site.runs["varda"].path, tmp_path_factory.mktemp("memory") / "diary"))
    )


@pytest.fixture(scope="module")
def client(site: Site, diary: RunDirectory) -> Iterator[httpx.Client]:
    """Of a server with that run, and one that reads no memory."""
    config = ServeConfig(rows=4, max_prompt_tokens=100)
    with (
        serving(site.loop, {"diary": diary}, config, beside=[site.served["gpt"]]) as url,
        httpx.Client(base_url=url, timeout=60) as made,
    ):
        yield made


def test_what_was_added_is_found_and_what_was_removed_is_not(
    client: httpx.Client, refused: Refused, diary: RunDirectory
) -> None:
    # one test, since the memory is one: it begins without any
    assert refused(f"{MEMORY}/search", {"text": "x"})["code"] == "empty_memory"
    assert error_of(client.get(MEMORY))["code"] == "empty_memory"
    assert refused(f"{MEMORY}/remove", {"ids": [0]})["code"] == "empty_memory"

    added = client.post(f"{MEMORY}/documents", json={"name": "story", "text": STORY}).json()
    assert added == {
        "model": "diary",
        "added": len(STORY) + 1,
        "first_id": 0,
        "last_id": len(STORY),
        "evicted": 0,
    }
    info = client.get(MEMORY).json()
    assert (info["entries"], info["clock"], info["backend"]) == (len(STORY) + 1, 1, "exact")
    assert info["documents"] == [
        {
            "name": "story",
            "tokens": len(STORY),
            "entries": len(STORY) + 1,
            "first_id": 0,
            "last_id": len(STORY),
        }
    ]

    hits = client.post(f"{MEMORY}/search", json={"text": "The lamp in the harbour", "k": 3}).json()[
        "hits"
    ]
    assert len(hits) == 3
    assert all(
        hit["document"] == "story" and STORY[hit["position"] - 1 :].startswith(hit["value"])
        for hit in hits
        if hit["value"] != "<|endoftext|>"
    )
    assert [hit["distance"] for hit in hits] == sorted(hit["distance"] for hit in hits)
    assert (
        len(client.post(f"{MEMORY}/search", json={"text": "x", "k": 1000}).json()["hits"])
        == len(STORY) + 1
    )

    body = {"model": "diary", "input": "The lamp in the harbour", "entries": 3}
    entries = [
        entry
        for token in client.post("/v1/score", json=body).json()["data"][0]["tokens"]
        for entry in token["entries"]
    ]
    assert "story" in {entry["document"] for entry in entries}

    again = refused(f"{MEMORY}/documents", {"name": "story", "text": STORY})
    assert "already" in again["message"]
    gone = [hit["id"] for hit in hits]
    assert client.post(f"{MEMORY}/remove", json={"ids": gone}).json() == {
        "model": "diary",
        "removed": gone,
    }
    left = client.post(
        f"{MEMORY}/search", json={"text": "The lamp in the harbour", "k": 1000}
    ).json()["hits"]
    assert len(left) == len(STORY) + 1 - 3
    assert not {hit["id"] for hit in left} & set(gone)
    unknown = refused(f"{MEMORY}/remove", {"ids": gone})
    for error in (again, unknown):
        assert str(diary.path) not in error["message"]


@pytest.mark.parametrize("path", ["", "/search", "/documents", "/remove"])
def test_a_model_without_memory_says_so(client: httpx.Client, path: str) -> None:
    body = {
        "/search": {"text": "x"},
        "/documents": {"name": "x", "text": "x"},
        "/remove": {"ids": [0]},
    }.get(path)
    answer = (
        client.get("/v1/memory/gpt")
        if body is None
        else client.post(f"/v1/memory/gpt{path}", json=body)
    )
    assert answer.status_code == 400
    assert "reads no memory" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/search", {"text": ""}, "text"),
        ("/search", {"text": "x", "k": 0}, "k"),
        ("/documents", {"name": "a\nb", "text": "x"}, "name"),
        ("/documents", {"name": "", "text": "x"}, "name"),
        ("/documents", {"name": "x", "text": ""}, "text"),
        ("/documents", {"name": "x", "text": "é" * 51}, "text"),
        ("/remove", {"ids": []}, "ids"),
        ("/remove", {"ids": [-1]}, "ids.0"),
        ("/remove", {"ids": ["1"]}, "ids.0"),
    ],
    ids=str,
)
def test_bodies_that_cannot_be(
    refused: Refused, path: str, body: dict[str, object], param: str
) -> None:
    assert refused(f"{MEMORY}{path}", body)["param"] == param
