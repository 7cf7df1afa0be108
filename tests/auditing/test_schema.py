"""The document of an audit has the form that its schema gives, whatever is judged."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import inklings
from inklings.auditing.audit import Audit, audit
from inklings.auditing.check import Auditable
from inklings.auditing.claims.claim_file import ClaimSubject
from inklings.auditing.findings import Finding
from inklings.auditing.hugging_face.hugging_face_subject import HuggingFaceSubject
from inklings.auditing.scorers.subject import ScorerSubject
from inklings.auditing.subjects import NoiseSubject, Subject
from tests.auditing.scorers.fixtures import example

SCHEMA = json.loads((Path(inklings.__file__).parent / "auditing" / "audit.schema.json").read_text())
KINDS: tuple[type[Auditable], ...] = (
    Subject,
    NoiseSubject,
    ScorerSubject,
    ClaimSubject,
    HuggingFaceSubject,
)


def test_the_document_is_of_the_form_that_is_promised() -> None:
    found = audit(example("does_not_begin_anew"), only=["contract", "documents", "claim"])
    document = json.loads(json.dumps(found.plain()))
    jsonschema.validate(document, SCHEMA)
    assert document["holds"] is False
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "kind": "toaster"}, SCHEMA)


def test_every_kind_and_status_is_named() -> None:
    kinds = SCHEMA["properties"]["kind"]["enum"]
    assert {kind.kind for kind in KINDS} | {"text"} == set(kinds)
    statuses = SCHEMA["properties"]["findings"]["items"]["properties"]["status"]["enum"]
    for status in statuses:
        finding = Finding(check="a", status=status, summary="b")
        plain = Audit(subject="c", kind="model", trained=False, findings=(finding,)).plain()
        jsonschema.validate(plain, SCHEMA)
