"""Jobs over HTTP: submitted, read, waited for, cancelled and replayed."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import msgspec
import pytest

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import JobStatus, Outcome, Receipt
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger

JSON = {"Content-Type": "application/json"}
REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)


def health_check() -> bytes:
    """A job that no other test submits."""
    return msgspec.json.encode(CheckHealth(model=uuid.uuid4().hex))


def submit(http: httpx.Client, job: bytes, **headers: str) -> httpx.Response:
    return http.post("/v1/jobs", content=job, headers={**JSON, **headers})


def settle_next(ledger: Ledger, result: HealthReport | Failure = REPORT) -> str:
    [claim] = ledger.claim("predict", "test#1")
    assert ledger.settle(claim, result)
    return claim.job_id


def test_a_job_is_made_once_and_known_after_that(http: httpx.Client) -> None:
    job = health_check()
    first, second = submit(http, job), submit(http, job)
    assert (first.status_code, second.status_code) == (201, 200)
    made = msgspec.json.decode(first.content, type=Receipt)
    assert made.created
    assert msgspec.json.decode(second.content, type=Receipt) == msgspec.structs.replace(made, created=False)
    assert first.headers["location"] == f"/v1/jobs/{made.job_id}"
    status = msgspec.json.decode(http.get(first.headers["location"]).content, type=JobStatus)
    assert (status.job_id, status.state, status.kind) == (made.job_id, "queued", "check_health")


@pytest.mark.parametrize("key", ["plain", "a/b", "a%2Fb", "ü ?#&", "..", "//", "%"])
def test_the_idempotency_key_is_the_id_whatever_its_characters(http: httpx.Client, key: str) -> None:
    key = f"{key}{uuid.uuid4().hex}" if key != ".." else key
    made = http.post(
        "/v1/jobs",
        content=health_check(),
        headers=[(b"Content-Type", b"application/json"), (b"Idempotency-Key", key.encode())],
    )
    assert made.status_code == 201, made.text
    assert made.json()["job_id"] == key
    assert made.headers["location"] == f"/v1/jobs/{quote(key, safe='')}"


def test_a_key_of_another_content_is_refused(http: httpx.Client) -> None:
    key = uuid.uuid4().hex
    assert submit(http, health_check(), **{"Idempotency-Key": key}).status_code == 201
    refused = submit(http, health_check(), **{"Idempotency-Key": key})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "invalid_input"
    assert key in refused.json()["detail"]


def test_the_outcome_is_waited_for(http: httpx.Client, gateway_ledger: Ledger) -> None:
    job_id = submit(http, health_check(), **{"X-Correlation-ID": "order 7"}).json()["job_id"]
    early = http.get(f"/v1/jobs/{job_id}/outcome")
    assert early.status_code == 202
    assert early.json()["state"] == "queued"
    settled: list[str] = []

    def settle_all() -> None:
        while job_id not in settled:
            settled.append(settle_next(gateway_ledger))

    worker = threading.Timer(0.3, settle_all)
    worker.start()
    reply = http.get(f"/v1/jobs/{job_id}/outcome", params={"wait": 20})
    worker.join()
    assert reply.status_code == 200
    outcome = msgspec.json.decode(reply.content, type=Outcome)
    assert (outcome.report, outcome.correlation_id) == (REPORT, "order 7")
    assert http.get(f"/v1/jobs/{job_id}/outcome").json() == reply.json()


def test_the_request_id_is_the_correlation_id_unless_one_is_given(http: httpx.Client, gateway_ledger: Ledger) -> None:
    made = submit(http, health_check(), **{"X-Request-ID": "req-42"})
    assert made.headers["x-request-id"] == "req-42"
    http.post(f"/v1/jobs/{made.json()['job_id']}/cancel")
    outcome = http.get(f"/v1/jobs/{made.json()['job_id']}/outcome").json()
    assert (outcome["state"], outcome["correlation_id"]) == ("cancelled", "req-42")


def test_an_unknown_job_is_404_everywhere(http: httpx.Client) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/outcome"),
        ("GET", "/outcome?wait=1"),
        ("POST", "/cancel"),
        ("POST", "/replay"),
    ):
        reply = http.request(method, f"/v1/jobs/nobody{path}")
        assert reply.status_code == 404, path
        assert "nobody" in reply.json()["detail"]


def test_a_replay_needs_an_outcome(http: httpx.Client) -> None:
    job_id = submit(http, health_check()).json()["job_id"]
    assert http.post(f"/v1/jobs/{job_id}/replay").status_code == 409
    http.post(f"/v1/jobs/{job_id}/cancel")
    made = http.post(f"/v1/jobs/{job_id}/replay")
    assert made.status_code == 201
    assert made.json()["job_id"] != job_id


def card(**changes: object) -> bytes:
    fight = Fight(id="1", fighters=(Fighter(name="Ann"), Fighter(name="Bea")))
    start = datetime.now(UTC) + timedelta(hours=1)
    return msgspec.json.encode(
        msgspec.structs.replace(PredictCard(card_id="night", event_start=start, fights=(fight,)), **changes)
    )


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "valid JSON"),
        (b"{", 422, "valid JSON"),
        (b'{"kind":"nothing"}', 422, "nothing"),
        (b'{"kind":"check_health","schema_version":99}', 422, "99"),
        (b'{"kind":"train_part"}', 422, ""),
        (card(event_start=datetime(2020, 1, 1, tzinfo=UTC)), 422, "deadline"),
        (b"x" * 1_000_002, 413, ""),
    ],
)
def test_a_bad_body_is_refused_with_the_reason(http: httpx.Client, body: bytes, status: int, words: str) -> None:
    reply = submit(http, body)
    assert reply.status_code == status, reply.text
    assert words in reply.json()["detail"]
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


def test_a_body_that_is_no_json_by_its_type_is_415(http: httpx.Client) -> None:
    reply = http.post("/v1/jobs", content=health_check(), headers={"Content-Type": "text/plain"})
    assert reply.status_code == 415


def test_a_failure_is_an_outcome_with_200(http: httpx.Client, gateway_ledger: Ledger) -> None:
    job_id = submit(http, health_check()).json()["job_id"]
    failure = Failure(code=FailureCode.MODEL_NOT_FOUND, message="no such model")
    while settle_next(gateway_ledger, failure) != job_id:
        pass
    reply = http.get(f"/v1/jobs/{job_id}/outcome")
    assert reply.status_code == 200
    assert reply.json()["failure"] == {"code": "model_not_found", "message": "no such model"}


def test_jobs_are_listed_a_page_at_a_time(http: httpx.Client, gateway_ledger: Ledger) -> None:
    caller_mark = datetime.now(UTC).isoformat()
    made = [submit(http, health_check()).json()["job_id"] for _ in range(5)]
    http.post(f"/v1/jobs/{made[2]}/cancel")
    found: list[str] = []
    cursor = None
    while True:
        query = {"since": caller_mark, "limit": 2, "kind": "check_health"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/jobs", params=query).json()
        found += [job["job_id"] for job in page["jobs"]]
        if (cursor := page.get("cursor")) is None:
            break
    assert found == made[::-1]
    states = {"since": caller_mark, "state": ["cancelled", "failed"]}
    assert [job["job_id"] for job in http.get("/v1/jobs", params=states).json()["jobs"]] == [made[2]]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("state=unknown", 422),
        ("state=x", 400),
        ("kind=x", 422),
        ("limit=0", 400),
        ("cursor=x", 422),
        ("stat=queued", 400),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(http: httpx.Client, query: str, status: int) -> None:
    reply = http.get(f"/v1/jobs?{query}")
    assert reply.status_code == status
    assert reply.json()["status"] == status


def test_the_history_of_a_job_names_who_did_what(http: httpx.Client, gateway_ledger: Ledger) -> None:
    job_id = submit(http, health_check()).json()["job_id"]
    while settle_next(gateway_ledger) != job_id:
        pass
    history = http.get(f"/v1/jobs/{job_id}/history").json()
    assert [event["event"] for event in history["events"]] == ["submitted", "claimed", "succeeded"]
    assert history["events"][0]["caller"] == "local"
    assert http.get("/v1/jobs/no-such-job/history").status_code == 404


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "v=1"}, True),
        ({"traceparent": "00-nonsense-01"}, False),
        ({}, False),
    ],
    ids=["valid", "invalid", "none"],
)
def test_the_header_traceparent_is_the_trace_of_the_job(
    http: httpx.Client, gateway_ledger: Ledger, header: dict[str, str], *, known: bool
) -> None:
    assert submit(http, health_check(), **header).status_code == 201  # whatever the header is
    [claim] = gateway_ledger.claim("predict", "test#1")
    assert (claim.trace is not None) == known
    if claim.trace is not None:
        assert {"traceparent": claim.trace.traceparent, "tracestate": claim.trace.state} == header
    assert gateway_ledger.settle(claim, REPORT)
