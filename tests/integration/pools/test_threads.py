"""Every thread of a pool's processes: what it depends on ends it with a reason, what only observes it ends nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.job_history import JobEventKind
from ledger.ledger import Ledger, LedgerSettings
from tests.support.endpoints import HASTY, get
from workers.pool.vital_threads import NEEDS_RESTART

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60
Until = Callable[..., None]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def run_pool(settings: LedgerSettings, **variables: str) -> tuple[int, list[dict[str, Any]]]:
    """Run a pool until it ends; return its exit code and its log."""
    names = {"PYTHONPATH": str(ROOT), "CORNERMAN_REDIS_URL": str(settings.redis_url)}
    ended = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parents[2] / "support" / "probe_worker.py"),
            "--pool",
            "predict",
            "--concurrency",
            "1",
        ],
        env={**os.environ, **names, "CORNERMAN_NAMESPACE": settings.namespace, **variables},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    return ended.returncode, lines(ended.stderr)


@pytest.mark.parametrize(
    ("thread", "method"),
    [
        ("supervisor", "workers.supervisor.supervisor:Supervisor.tick"),
        ("memory_monitor", "workers.supervisor.memory_monitor:MemoryMonitor.tick"),
    ],
)
def test_a_pool_whose_supervisor_or_memory_monitor_dies_ends_with_the_reason(
    thread: str, method: str, ledger_settings: LedgerSettings
) -> None:
    code, log = run_pool(ledger_settings, PROBE_DIES_IN=method)
    (line,) = (line for line in log if line["level"] == "critical")
    assert (code, line["thread"]) == (NEEDS_RESTART, thread)
    assert "SystemExit: as the test wishes" in line["why"]


@pytest.mark.parametrize(
    ("thread", "method", "event"),
    [
        ("supervisor", "workers.supervisor.supervisor:Supervisor.tick", "supervisor loop failed"),
        ("memory_monitor", "workers.supervisor.memory_monitor:MemoryMonitor.tick", "memory monitor failed"),
    ],
)
def test_one_that_only_fails_logs_it_once_and_ends_the_pool_after_its_timeout(
    thread: str, method: str, event: str, ledger_settings: LedgerSettings
) -> None:
    patience = {"CORNERMAN_LIVENESS_PROBE_SECONDS": "0.2", "CORNERMAN_LIVENESS_TIMEOUT_SECONDS": "1"}
    code, log = run_pool(ledger_settings, PROBE_FAILS_IN=method, **patience)
    (line,) = (line for line in log if line["level"] == "critical")
    assert (code, line["thread"]) == (NEEDS_RESTART, thread)
    assert [line["event"] for line in log].count(event) == 1


def test_a_child_without_the_thread_that_settles_its_batches_ends_and_its_pool_goes_on(
    ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    pool = start_pool(concurrency=1, PROBE_ENDS_SETTLING="1")
    job_id = ledger.submit(CheckHealth(nonce="block")).job_id
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert outcome.failure is not None
    assert outcome.failure.code is FailureCode.WORKER_LOST
    attempts = ["claimed", "worker_lost"] * ledger.settings.max_attempts
    events = ledger.job_histories.get(job_id).events
    assert [event.event.value for event in events] == ["submitted", *attempts, "failed"]
    dead = [line for line in lines(pool.log.read_text()) if line["level"] == "critical"]
    assert {line["thread"] for line in dead} == {"batch"}
    workers = [event.worker for event in events if event.event is JobEventKind.CLAIMED]
    assert [str(worker).rpartition("/")[2] for worker in workers] == [str(line["pid"]) for line in dead]
    assert pool.process.poll() is None


def test_a_child_that_cannot_run_jobs_claims_none(ledger: Ledger, start_pool: Callable[..., Any], until: Until) -> None:
    broken = start_pool(concurrency=1, PROBE_FAILS_IN="workers.child.executor:Executor.__init__")
    job_id = ledger.submit(CheckHealth(nonce="answer")).job_id
    until(lambda: "ZeroDivisionError" in broken.log.read_text())
    assert ledger.status(job_id).state is JobState.QUEUED
    start_pool(concurrency=1)
    assert ledger.wait(job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
    events = [event.event for event in ledger.job_histories.get(job_id).events]
    assert events == [JobEventKind.SUBMITTED, JobEventKind.CLAIMED, JobEventKind.SUCCEEDED]


def test_a_child_without_a_store_runs_jobs_without_a_model(ledger: Ledger, start_pool: Callable[..., Any]) -> None:
    start_pool(concurrency=1, PROBE_FAILS_IN="workers.models.model_store:Store.from_settings")
    assert ledger.wait(ledger.submit(CheckHealth()).job_id, WAIT_SECONDS).state is JobState.SUCCEEDED


NOT_SERVED = "metrics not served: set CORNERMAN_HTTP_HOST and CORNERMAN_HTTP_PORT"
OBSERVERS = {
    "monitor loop failed": "workers.observability.pool_monitor:PoolMonitor._query_ledger",
    "event not counted": "workers.observability.metrics:Metrics.observe",
    "alerts not evaluated": "workers.alerts.evaluation:AlertEvaluator.evaluate",
    "request for metrics or health failed": "workers.observability.http_server:ObservabilityServer.respond",
    "ended jobs not logged or counted": "workers.logs.job_lines:JobLineWriter.write",
    NOT_SERVED: "workers.observability.http_server:_Server.server_bind",
    "alert not posted": "workers.alerts.webhook:Webhook._send",
}


@pytest.mark.parametrize("event", OBSERVERS)
def test_what_goes_wrong_in_observing_is_said_once_and_keeps_no_job_from_its_answer(
    event: str, ledger: Ledger, start_pool: Callable[..., Any], until: Until
) -> None:
    alerts = {"CORNERMAN_ALERTS": "DeadLetters=0/0,HighErrorRate=1/0", "CORNERMAN_WEBHOOK_URL": "http://127.0.0.1:9/"}
    pool = start_pool(concurrency=1, PROBE_FAILS_IN=OBSERVERS[event], **alerts, **HASTY)
    answered = [ledger.submit(CheckHealth(nonce=f"answer:{number}")).job_id for number in range(5)]
    dead = ledger.submit(CheckHealth(nonce="kill_itself")).job_id  # which fires one alert
    assert {ledger.wait(job_id, WAIT_SECONDS).state for job_id in answered} == {JobState.SUCCEEDED}
    assert ledger.wait(dead, WAIT_SECONDS).state is JobState.FAILED
    if event.startswith("request"):
        assert [get(ledger.pools.alive()[0]["http"], "/healthz")[0] for _ in range(3)] == [500] * 3

    def said() -> list[tuple[str, str | None]]:
        return [(line["pid"], line.get("alert")) for line in lines(pool.log.read_text()) if line["event"] == event]

    until(said, WAIT_SECONDS)
    again = [ledger.submit(CheckHealth(nonce=f"again:{number}")).job_id for number in range(5)]
    assert {ledger.wait(job_id, WAIT_SECONDS).state for job_id in again} == {JobState.SUCCEEDED}
    assert len(said()) == len(set(said())), "once a process, and of each alert"
    assert pool.stop() == 0


def test_a_pool_answers_without_a_log_file_and_without_a_port(
    ledger: Ledger, start_pool: Callable[..., Any], until: Until, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("no folder")
    first = start_pool(concurrency=1, CORNERMAN_HTTP_PORT="0", **HASTY)
    until(lambda: ledger.pools.alive() and ledger.pools.alive()[0]["http"])
    port = ledger.pools.alive()[0]["http"].rpartition(":")[2]
    variables = {"CORNERMAN_HTTP_PORT": port, "CORNERMAN_LOG_FILE": str(tmp_path / "logs" / "pool.jsonl")}
    second = start_pool(concurrency=1, **{**HASTY, **variables})
    first.stop()
    job_ids = [ledger.submit(CheckHealth(nonce=f"answer:{number}")).job_id for number in range(20)]
    assert {ledger.wait(job_id, WAIT_SECONDS).state for job_id in job_ids} == {JobState.SUCCEEDED}
    for event in ("log not written", NOT_SERVED):
        said = [line["pid"] for line in lines(second.log.read_text()) if line["event"] == event]
        assert len(said) == len(set(said)) > 0
    (tmp_path / "logs").unlink()
    ledger.wait(ledger.submit(CheckHealth(nonce="answer:at last")).job_id, WAIT_SECONDS)
    until((tmp_path / "logs" / "pool.jsonl").exists)
