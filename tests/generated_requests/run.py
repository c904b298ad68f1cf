"""Requests generated from the OpenAPI document, sent to a real gateway, each answered as the document says.

Half of the requests follow the schemas and half break them. Parameters that name a job name a real one half of the
time; one request in eight has a token that nobody made. No answer may be a 500, take longer than TIMEOUT_SECONDS, have
a status that the operation does not list, or have a body or a header that is not valid by the schemas.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.specification.files import FOLDER
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings
from tests.support.gateways import running_gateway

TIMEOUT_SECONDS = 20
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
EVENT_STREAM = "text/event-stream"
UNAVAILABLE = 503  # documented, and no fault: a ledger whose queue is full


@dataclass
class Counts:
    """What was sent, and what went wrong."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    slowest: str = ""


@dataclass
class Target:
    """The gateway under test, the ids of some of its jobs, and the counts so far."""

    address: str
    job_ids: list[str]
    session: requests.Session
    counts: Counts


def run(cases: int, first_seed: int, document: dict[str, Any] | None = None) -> Counts:
    """Send about as many requests as `cases`, shared out evenly among the operations of the document."""
    counts = Counts()
    schema = schemathesis.openapi.from_dict(document or read_document())
    operations = [found.ok() for found in schema.get_all_operations()]
    with _gateway() as (address, job_ids), requests.Session() as session:
        each = -(-cases // (2 * len(operations)))
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _send_many(operation, mode, each, first_seed, Target(address, job_ids, session, counts))
    return counts


def read_document() -> dict[str, Any]:
    """Return the OpenAPI document of the package."""
    found: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    return found


@contextmanager
def _gateway() -> Iterator[tuple[str, list[str]]]:
    """Run a gateway with a server of its own; yield its address and the ids of some jobs."""
    with tempfile.TemporaryDirectory(prefix="cornerman-requests-") as name, EmbeddedServer(Path(name)) as server:
        named = LedgerSettings(redis_url=server.url, namespace="requests")
        ledger = Ledger.connect(named)
        job_ids = [ledger.submit(CheckHealth(nonce=str(number))).job_id for number in range(4)]
        with running_gateway(named, Path(name), new_interpreter=True, gateway_max_wait_seconds=0.05) as gateway:
            yield gateway.url, job_ids
        ledger.close()


def _send_many(operation: Any, mode: GenerationMode, cases: int, first_seed: int, target: Target) -> None:
    """Send requests of one operation."""
    strategy = operation.as_strategy(generation_mode=mode)

    @seed(first_seed)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, job_id=st.sampled_from([None, *target.job_ids]), with_token=st.integers(0, 7))
    def send(case: Any, job_id: str | None, with_token: int) -> None:
        if job_id is not None and "job_id" in (case.path_parameters or {}):
            case.path_parameters["job_id"] = job_id
        _send(case, with_token == 0, target)

    # An operation without parameters cannot be broken.
    with suppress(Unsatisfiable):
        send()


def _send(case: Any, with_token: bool, target: Target) -> None:
    counts = target.counts
    started = time.monotonic()
    what = f"{case.operation.method.upper()} {case.operation.path}"
    request = case.as_transport_kwargs(base_url=target.address)
    if not with_token:
        request["headers"].pop("Authorization", None)
    try:
        with target.session.request(**request, timeout=TIMEOUT_SECONDS, stream=True) as response:
            if response.headers.get("content-type", "").startswith(EVENT_STREAM):
                next(response.iter_content(64))  # the stream has begun; it may have no end
                response._content = b""
            else:
                assert response.content is not None
    except (requests.Timeout, requests.ConnectionError) as error:
        counts.faults.append(f"{what}: {type(error).__name__}: {case.as_curl_command()}")
        return
    except (requests.exceptions.InvalidHeader, UnicodeError):
        return  # cannot be sent
    took = time.monotonic() - started
    counts.requests += 1
    counts.statuses[response.status_code] += 1
    if took > counts.slowest_seconds:
        counts.slowest_seconds, counts.slowest = took, what
    checks = CHECKS if response.status_code == UNAVAILABLE else [*CHECKS, not_a_server_error]
    try:
        case.validate_response(response, checks=checks)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        reasons = "; ".join(str(each) for each in getattr(error, "exceptions", [error]))
        counts.faults.append(f"{what}: {response.status_code}: {reasons}\n{response.text[:300]}")
