from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import ROUTES, CheckHealth, Fight, Fighter, PredictCard, Quote, Route
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings
from workers.broker.kombu_transport import DOORBELL_TASK, doorbell_message

WAIT_SECONDS = 30


def ask(ledger: Ledger, nonce: str) -> str:
    return ledger.submit(CheckHealth(nonce=nonce)).job_id


def child_of(outcome: Outcome) -> int:
    assert isinstance(outcome.report, HealthReport)
    return int(outcome.report.checks[0].detail)


def test_answers_arrive_and_each_has_one_canonical_line(ledger: Ledger, start_pool: Callable[..., Any]) -> None:
    pool = start_pool()
    job_ids = [ask(ledger, f"answer:{number}") for number in range(50)]
    outcomes = [ledger.wait(job_id, WAIT_SECONDS) for job_id in job_ids]
    assert {outcome.state for outcome in outcomes} == {JobState.SUCCEEDED}
    assert {child_of(outcome) for outcome in outcomes} <= {child.pid for child in pool.children()}
    assert pool.stop() == 0
    lines = [json.loads(line) for line in pool.log.read_text().splitlines() if line.startswith("{")]
    jobs = [line for line in lines if line["event"] == "job"]
    assert sorted(line["job_id"] for line in jobs) == sorted(job_ids)
    assert set(jobs[0]) >= {"kind", "attempt", "outcome", "model", "queue_wait_seconds", "run_seconds"}
    assert jobs[0]["peak_memory_mb"] > 0


def test_a_bad_job_becomes_a_typed_failure_and_the_child_lives_on(
    ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    pool = start_pool(concurrency=1)
    before = child_of(ledger.wait(ask(ledger, "answer:before"), WAIT_SECONDS))
    for nonce, code in {
        "raise_memory_error": FailureCode.MEMORY_LIMIT_EXCEEDED,
        "allocate": FailureCode.MEMORY_LIMIT_EXCEEDED,
        "nan": FailureCode.INTERNAL,
    }.items():
        failure = ledger.wait(ask(ledger, nonce), WAIT_SECONDS).failure
        assert failure is not None
        assert failure.code == code
    assert child_of(ledger.wait(ask(ledger, "answer:after"), WAIT_SECONDS)) == before
    assert [child.pid for child in pool.children()] == [before]


def test_a_message_on_the_list_raises_no_limit_and_calls_nothing(
    ledger: Ledger,
    ledger_settings: LedgerSettings,
    start_pool: Callable[..., Any],
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What Celery itself would obey: a real message of its own protocol, for our task and for a stranger's."""
    start_pool(concurrency=1)
    monkeypatch.setitem(ROUTES, "check_health", Route("predict", 0.5))
    created = tmp_path / "called"
    for task, arguments in ((DOORBELL_TASK, ["predict"]), ("os.system", [f"touch {created}"])):
        message = doorbell_message("predict")
        errback = {"task": "os.system", "args": [f"touch {created}"], "subtask_type": None, "immutable": True}
        message["headers"] |= {"task": task, "timelimit": [1e9, 1e9], "argsrepr": "()", "retries": -1}
        message["body"] = json.dumps([arguments, {}, {"callbacks": [errback], "errbacks": [errback]}])
        with redis.Redis.from_url(str(ledger_settings.redis_url)) as server:
            server.lpush(f"{ledger_settings.namespace}:doorbell:predict", json.dumps(message))
    late = ledger.wait(ask(ledger, "block"), WAIT_SECONDS)
    assert late.failure is not None
    assert late.failure.code is FailureCode.TIME_LIMIT_EXCEEDED
    assert late.failure.details == {"limit_seconds": 0.5}
    until(lambda: len(ledger.quarantine.items("predict")) == 2)
    assert not created.exists()


@pytest.mark.parametrize("nonce", ["block", "hold_interpreter"])
def test_a_job_over_its_limit_is_stopped_also_inside_a_c_call(
    nonce: str, ledger: Ledger, start_pool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_pool(concurrency=1)
    monkeypatch.setitem(ROUTES, "check_health", Route("predict", 0.5))
    late = ledger.wait(ask(ledger, nonce), WAIT_SECONDS)
    assert late.failure is not None
    assert (late.failure.code, late.attempt) == (FailureCode.TIME_LIMIT_EXCEEDED, 1)
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED


def test_cancelling_a_running_job_frees_its_child(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(concurrency=1)
    job_id = ask(ledger, "hold_interpreter")
    until(lambda: ledger.status(job_id).progress)
    assert ledger.cancel(job_id).state is JobState.CANCELLED
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED
    assert ledger.status(job_id).state is JobState.CANCELLED


def test_a_card_whose_prices_grew_too_old_in_the_queue_is_not_predicted(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    read = datetime.fromtimestamp(ledger.server.time(), UTC)
    quote = Quote(bookmaker="Acme", prices={"Ana": 2.0, "Bea": 2.0}, as_of=read)
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=(quote,))
    card = PredictCard(card_id="c", event_start=read + timedelta(days=1), fights=(fight,), max_quote_age_seconds=0.3)
    job_id = ledger.submit(card).job_id
    until(lambda: ledger.server.time() > read.timestamp() + 0.3)
    start_pool(concurrency=1)
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.code) == (JobState.FAILED, FailureCode.STALE_ODDS)


def test_odd_queue_items_stop_nothing_and_are_put_aside(
    ledger: Ledger, ledger_settings: LedgerSettings, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1)
    shutdown = {"method": "shutdown", "arguments": {}, "destination": None}
    stranger = {
        "body": "e30=",
        "headers": {"task": "celery.chord_unlock", "id": "x", "timelimit": [1e9, 1e9]},
        "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"},
        "content-type": "application/x-python-serialize",
    }
    odd = [b"", b"\xff\xfe\x00", b"{", b"null", b"[1, 2]", b"!!", b"x" * 100_000, b"cos\nsystem\n(S'false'\ntR."]
    odd += [json.dumps(item).encode() for item in (shutdown, stranger)]
    with redis.Redis.from_url(str(ledger_settings.redis_url)) as server:
        server.lpush(f"{ledger_settings.namespace}:doorbell:predict", *odd)
    until(lambda: len(ledger.quarantine.items("predict")) == len(odd))
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED
    assert pool.process.poll() is None
    assert "celery.chord_unlock" not in pool.log.read_text()


def test_a_running_job_is_stopped_at_its_deadline(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(concurrency=1)
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    job_id = ledger.submit(CheckHealth(nonce="block", deadline=deadline)).job_id
    until(lambda: ledger.status(job_id).progress)
    late = ledger.wait(job_id, WAIT_SECONDS)
    assert late.failure is not None
    assert (late.state, late.failure.code) == (JobState.EXPIRED, FailureCode.EXPIRED)
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED
