"""The files of the specification are what the code says, and valid by the rules of their formats."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_overloads, get_type_hints

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.specification import contracts, files
from gateway.specification.asyncapi import to_draft_7
from gateway.specification.schemas import components, document
from gateway.specification.table import CHANNELS, OPERATIONS, examples
from ledger.contracts.failures import FailureCode
from ledger.contracts.jobs import Job
from producer.client import Client
from tests.support.node import NODE_MODULES

ROOT = Path(__file__).parents[3]
CONTENTS = files.contents()
SCHEMAS = files.all_schemas()
ASYNCAPI_RULES = NODE_MODULES / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
GOLDEN = sorted(path for pattern in ("job_*.json", "report_*.json") for path in (ROOT / "tests/golden").glob(pattern))
EXAMPLES = sorted(examples.FOLDER.glob("*.json"))
NAMES = {tag: kind.__name__ for kind, tag in contracts.TAGS.items()}


@cache
def schemas_of_payloads() -> dict[str, Any]:
    return components([*contracts.JOBS, *contracts.REPORTS])


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    """Return the validator of the payloads of a kind, whose schema is valid."""
    schema = document(NAMES[kind], schemas_of_payloads())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@cache
def check_schema(schema: str) -> None:
    """Refuse an invalid schema. Most are parts of many documents, and are checked once."""
    jsonschema.Draft202012Validator.check_schema(json.loads(schema))


def written(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CONTENTS, ids=lambda path: path.name)
def test_a_file_is_what_the_code_says(path: Path) -> None:
    again = "write it again: python -m gateway.specification"
    assert path.read_text(encoding="utf-8") == CONTENTS[path], again


def test_there_is_no_file_of_a_type_that_is_no_more() -> None:
    assert set((files.FOLDER / "schemas").iterdir()) == {path for path in CONTENTS if path.parent.name == "schemas"}


def test_the_openapi_document_is_valid() -> None:
    OpenAPIV31SpecValidator(written(files.FOLDER / "openapi.json")).validate()


@pytest.mark.skipif(not ASYNCAPI_RULES.exists(), reason="needs @asyncapi/specs from npm: see .ci/run")
def test_the_asyncapi_document_is_valid() -> None:
    found = written(files.FOLDER / "asyncapi.json")
    errors = jsonschema.Draft7Validator(written(ASYNCAPI_RULES)).iter_errors(found)
    assert [(list(error.path), error.message[:200]) for error in errors] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_and_complete_in_itself(name: str) -> None:
    schema = document(name, SCHEMAS)
    definitions = schema.pop("$defs", {})
    for part in (schema, *definitions.values()):
        check_schema(json.dumps(part))
    for target in re.findall(r'"\$ref": "([^"]*)"', json.dumps([schema, definitions])):
        assert target == "#" or target.removeprefix("#/$defs/") in definitions


@pytest.mark.parametrize("path", [*GOLDEN, *EXAMPLES], ids=lambda path: path.name)
def test_a_payload_that_the_code_reads_is_valid_by_its_schema(path: Path) -> None:
    payload = written(path)
    validator(payload["kind"]).validate(payload)


@pytest.mark.parametrize("kind", contracts.PUBLIC_JOBS, ids=lambda kind: kind.__name__)
def test_every_kind_of_job_has_an_example_that_is_shown(kind: type[Any]) -> None:
    tag = contracts.TAGS[kind]
    (operation,) = (each for each in OPERATIONS if each.name == "submitJob")
    assert operation.examples[tag]["kind"] == tag
    assert SCHEMAS[kind.__name__]["examples"] == [operation.examples[tag]]


def test_what_a_schema_refuses_the_code_refuses() -> None:
    """A few faults of each keyword, for which both must agree; `test_fuzzed_requests` draws thousands."""
    card = written(examples.FOLDER / "predict_card.json")
    schema = document("PredictCard", SCHEMAS)
    faults: list[dict[str, Any]] = [
        {"card_id": ""},
        {"card_id": None},
        {"event_start": "tomorrow"},
        {"fights": []},
        {"fights": card["fights"] * 65},
        {"stake_share": 1.5},
        {"devig_method": "guess"},
        {"max_quote_age_seconds": 0},
        {"contributions": 1},
        {"schema_version": 2},
    ]
    checker = jsonschema.FormatChecker()
    for fault in faults:
        payload = card | fault
        assert not jsonschema.Draft202012Validator(schema, format_checker=checker).is_valid(payload), fault
        if "schema_version" not in fault:  # which is checked after reading
            with pytest.raises(msgspec.ValidationError):
                msgspec.json.decode(json.dumps(payload), type=Job)


def test_the_reports_of_the_jobs_are_those_of_the_python_client() -> None:
    answered: dict[type[Any], type[Any]] = {}
    for overload in get_overloads(Client.enqueue):
        hints = get_type_hints(overload)
        (report,) = get_args(hints["return"])
        for kind in get_args(hints["job"]) or (hints["job"],):
            if kind in contracts.JOBS and isinstance(report, type):
                answered[kind] = report
    assert answered.items() <= contracts.REPORT_OF.items()
    assert answered.keys() == set(contracts.PUBLIC_JOBS)


def test_a_pair_keeps_its_meaning_in_the_dialect_of_asyncapi() -> None:
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "string"}], "items": False}
    older = jsonschema.Draft7Validator(to_draft_7(pair))
    assert older.is_valid(["a", "b"])
    assert not older.is_valid(["a", 1])
    assert not older.is_valid(["a", "b", "c"])


def test_operations_have_names_and_examples_of_their_own() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(names)
    for operation in OPERATIONS:
        shown = set(re.findall(r"{(\w+)}", operation.path))
        assert shown == {each.name for each in operation.parameters if each.place == "path"}, operation.name


def test_the_page_of_reference_needs_nothing_from_elsewhere() -> None:
    page = (files.FOLDER / "reference.html").read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|link|img|iframe|object|form)\b| on\w+=|style=", page) == []
    assert re.findall(r'(?:href|src)="(?!#|/)[^"]*"', page) == []
    assert "url(" not in page


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = (files.FOLDER / "reference.html").read_text(encoding="utf-8")
    anchors = re.findall(r'id="([^"]+)"', page)
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r'href="#([^"]+)"', page)) - set(anchors) == set()
    assert {f"problem-{code.value}" for code in FailureCode} <= set(anchors)
    for name in re.findall(r'href="/schemas/([^"]+)"', page):
        assert (files.FOLDER / "schemas" / name).exists()


def test_channels_have_their_operation() -> None:
    """The address of an event stream is that of an operation, which describes its request."""
    paths = {operation.path for operation in OPERATIONS}
    assert {channel.address for channel in CHANNELS if channel.address is not None} <= paths
