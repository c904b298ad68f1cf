"""Chains of jobs over HTTP, and jobs that wait or supersede others."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ledger.contracts.chains import ChainState, ChainStatus
from ledger.contracts.job_state import JobState, JobStatus
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard
from ledger.contracts.reports import CardReport
from ledger.ledger import Ledger

GOLDEN = Path(__file__).parents[2] / "golden"
CARD_REPORT = msgspec.json.decode((GOLDEN / "report_card.json").read_bytes(), type=CardReport)
START = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def name() -> str:
    return f"chain@{uuid.uuid4().hex}"


def jobs(count: int = 2) -> list[Any]:
    return [msgspec.to_builtins(CheckHealth(model=uuid.uuid4().hex, nonce=str(number))) for number in range(count)]


def test_a_chain_is_submitted_read_and_cancelled(http: httpx.Client, name: str) -> None:
    body = jobs()
    first, again = (http.post(f"/v1/chains/{name}", json=body) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200), first.text
    assert [receipt["job_id"] for receipt in first.json()["receipts"]] == [name, f"{name}/2"]
    chain = msgspec.json.decode(http.get(f"/v1/chains/{name}").content, type=ChainStatus)
    assert (chain.state, chain.step) == (ChainState.RUNNING, 1)
    assert [job.state for job in chain.jobs] == [JobState.QUEUED, JobState.WAITING]
    ended = msgspec.json.decode(http.post(f"/v1/chains/{name}/cancel").content, type=ChainStatus)
    assert [job.state for job in ended.jobs] == [JobState.CANCELLED, JobState.CANCELLED]


def test_what_is_refused_has_a_problem(http: httpx.Client, name: str) -> None:
    assert http.get(f"/v1/chains/{name}").status_code == 404
    assert http.post(f"/v1/chains/{name}/cancel").status_code == 404
    for body in ({}, [], [1], [{"kind": "train_part"}], jobs(51)):
        problem = http.post(f"/v1/chains/{name}", json=body)
        assert (problem.status_code, problem.json()["code"]) == (422, "invalid_input")
    assert http.post("/v1/chains/a%2Fb", json=jobs()).status_code == 422
    late = http.post(f"/v1/chains/{name}", json=jobs(), params={"after": "missing"})
    assert (late.status_code, late.json()["code"]) == (409, "predecessor_failed")
    assert late.json()["details"] == {"after": "missing", "state": "unknown"}


def test_a_card_waits_and_supersedes(http: httpx.Client, name: str) -> None:
    def submit(key: str, minute: int, **parameters: Any) -> httpx.Response:
        fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")))
        read_at = datetime(2098, 12, 31, 0, minute, tzinfo=UTC)
        card = PredictCard(card_id=name, event_start=START, fights=(fight,), priced_at=read_at)
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"{name} {key}"}
        return http.post("/v1/jobs", content=msgspec.json.encode(card), headers=headers, params=parameters)

    begin = datetime.now(UTC) + timedelta(hours=1)
    assert submit("old", 1, not_before=begin.isoformat()).status_code == 201
    status = msgspec.json.decode(http.get(f"/v1/jobs/{name} old").content, type=JobStatus)
    assert status.state is JobState.WAITING
    assert status.not_before is not None
    assert f"{name} old" in [job["job_id"] for job in http.get("/v1/jobs?state=waiting").json()["jobs"]]
    assert submit("new", 3, supersede="true").status_code == 201
    outcome = http.get(f"/v1/jobs/{name} old/outcome").json()
    assert outcome["failure"]["code"] == "superseded"
    assert outcome["superseded_by"] == f"{name} new"
    late = submit("late", 2, supersede="true")
    assert (late.status_code, late.json()["code"]) == (409, "superseded")
    assert submit("naive", 4, not_before="2098-01-01T00:00:00").status_code in (400, 422)


def test_pages_say_what_is_superseded(http: httpx.Client, gateway_ledger: Ledger, name: str) -> None:
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")))
    card = PredictCard(card_id=name, event_start=START, fights=(fight,))
    moved = PredictCard(card_id=f"{name} moved", event_start=START + timedelta(days=1), fights=(fight,))
    gateway_ledger.submit(card, key=f"{name} old")
    (claim,) = gateway_ledger.claim("predict", "test#1/1")
    gateway_ledger.settle(claim, msgspec.structs.replace(CARD_REPORT, card_id=name))
    before = gateway_ledger.submit(CheckHealth(nonce=name)).job_id
    gateway_ledger.submit(moved, key=f"{name} new", supersedes=name, after=before)
    page = http.get(f"/cards/{name}?answer={name} old", headers={"Accept": "text/html"}).text
    assert "Superseded by" in page
    listed = http.get(f"/operations/jobs/{name} old", headers={"Accept": "text/html"}).text
    assert f"{name} new" in listed
    waits = http.get(f"/operations/jobs/{name} new", headers={"Accept": "text/html"}).text
    assert "After" in waits
    assert "waiting" in waits
    overview = http.get("/operations", headers={"Accept": "text/html"}).text
    assert "/operations/jobs?state=waiting" in overview
