"""A gateway accepts every example of the OpenAPI document, and sends what the AsyncAPI document describes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from gateway.specification.files import FOLDER
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger

OPENAPI: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
ASYNCAPI: dict[str, Any] = json.loads((FOLDER / "asyncapi.json").read_text(encoding="utf-8"))
JSON = {"Content-Type": "application/json"}


def examples() -> Iterator[Any]:
    """Every example of a body: method, path, name, value, and the described responses."""
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for name, example in content.get("examples", {}).items():
                yield pytest.param(method, path, example["value"], operation["responses"], id=f"{path} {name}")


@pytest.mark.parametrize(("method", "path", "value", "responses"), [*examples()])
def test_an_example_is_accepted(
    method: str, path: str, value: Any, responses: dict[str, Any], http: httpx.Client, gateway_ledger: Ledger
) -> None:
    if path == "/v1/check":  # it needs a model, whose fighters need not be known
        gateway_ledger.models.register("e" * 64, {})
        gateway_ledger.aliases.set("champion", "e" * 64)
    takes_feed = path in ("/v1/feeds/odds", "/v1/check")
    query = {"price_format": "decimal"} if takes_feed else {}
    answered = http.request(method, path, params=query, content=json.dumps(value), headers=JSON)
    assert answered.status_code == (200 if path == "/v1/check" else 201), answered.text
    schema = responses[str(answered.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(answered.json(), {**schema, "components": OPENAPI["components"]})


def messages(channel: str) -> dict[str, Any]:
    """The schema of the payload of each message of a channel."""
    names = ASYNCAPI["channels"][channel]["messages"]
    found = {name: ASYNCAPI["components"]["messages"][f"{channel}.{name}"] for name in names}
    return {name: {**message["payload"], "components": ASYNCAPI["components"]} for name, message in found.items()}


def test_event_streams_send_the_messages_of_their_channels(http: httpx.Client, gateway_ledger: Ledger) -> None:
    job_id = gateway_ledger.submit(CheckHealth(nonce="examples"), key="of the examples").job_id
    claims = gateway_ledger.claim("predict", "test#1", limit=100)
    (claim,) = (each for each in claims if each.job_id == job_id)
    gateway_ledger.settle(claim, HealthReport(status="healthy", checks=(), memory_mb=1.0))
    for channel, path in (("outcomes", "/v1/outcomes/events?after=0"), ("job", "/v1/jobs/of%20the%20examples/events")):
        schemas = messages(channel)
        with http.stream("GET", path) as stream:
            lines = stream.iter_lines()
            event = next(line for line in lines if line.startswith("event: ")).removeprefix("event: ")
            data = next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")
        jsonschema.Draft7Validator(schemas[event]).validate(json.loads(data))
