"""A plain Celery app that reads our outcomes as its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from celery import Celery, states
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import ResultSet

from ledger.contracts.failures import Failure, FailureCode, JobFailedError
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport, Report
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from workers.broker.result_backend import LedgerBackend

BACKEND = "workers.broker.result_backend:LedgerBackend"
REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.5)
FAILURE = Failure(code=FailureCode.UNKNOWN_FIGHTER, message="nobody is called so", details={"name": "Zed"})


@pytest.fixture
def app(ledger_settings: LedgerSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    monkeypatch.setenv("CORNERMAN_NAMESPACE", ledger_settings.namespace)
    plain = Celery("shop", backend=f"{BACKEND}+{ledger_settings.redis_url}", set_as_current=False)
    yield plain
    plain.backend.ledger.close()


def submit(ledger: Ledger, name: str = "job") -> str:
    return ledger.submit(CheckHealth(nonce=name), key=name).job_id


def settle(ledger: Ledger, result: Report | Failure) -> None:
    (claim,) = ledger.claim("predict", "n#1/1")
    assert ledger.settle(claim, result)


def test_get_gives_the_report(app: Celery, ledger: Ledger) -> None:
    assert isinstance(app.backend, LedgerBackend)
    job_id = submit(ledger)
    settle(ledger, REPORT)
    result = app.AsyncResult(job_id)
    assert result.get(timeout=5) == REPORT
    outcome = ledger.outcome(job_id)
    assert outcome is not None
    assert (result.state, result.result, result.date_done) == (states.SUCCESS, outcome.report, outcome.settled_at)


def test_get_waits_until_the_outcome_comes(app: Celery, ledger: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(ledger)
    channel = f"{ledger.settings.namespace}:news:0:{job_id}"

    def answer() -> None:
        until(lambda: ledger.server.execute("PUBSUB", "NUMSUB", channel)[1] == 1)
        settle(ledger, REPORT)

    thread = threading.Thread(target=answer)
    thread.start()
    assert app.AsyncResult(job_id).get(timeout=20, interval=15) == REPORT
    thread.join()


def test_a_failure_is_raised_with_its_code(app: Celery, ledger: Ledger) -> None:
    job_id = submit(ledger)
    settle(ledger, FAILURE)
    result = app.AsyncResult(job_id)
    with pytest.raises(JobFailedError) as caught:
        result.get(timeout=5)
    assert caught.value.failure == FAILURE
    assert (result.state, result.failed()) == (states.FAILURE, True)
    settled_without_raising = app.AsyncResult(job_id).get(timeout=5, propagate=False)
    assert settled_without_raising.failure == FAILURE


@pytest.mark.parametrize(
    ("code", "state"), [(FailureCode.EXPIRED, states.FAILURE), (FailureCode.CANCELLED, states.REVOKED)]
)
def test_expired_and_cancelled_are_raised_too(app: Celery, ledger: Ledger, code: FailureCode, state: str) -> None:
    job_id = submit(ledger)
    settle(ledger, Failure(code=code, message="too late"))
    assert app.AsyncResult(job_id).state == state
    with pytest.raises(JobFailedError, match=code.value):
        app.AsyncResult(job_id).get(timeout=5)


def test_the_states_before_an_outcome(app: Celery, ledger: Ledger) -> None:
    assert (app.AsyncResult("never").state, app.AsyncResult("never").exists()) == (states.PENDING, False)
    job_id = submit(ledger)
    assert (app.AsyncResult(job_id).state, app.AsyncResult(job_id).exists()) == (states.PENDING, True)
    (claim,) = ledger.claim("predict", "n#1/1")
    progress = Progress(stage="trees", done=1, total=2)
    ledger.set_progress(claim, progress)
    running = app.AsyncResult(job_id)
    assert (running.state, running.info, running.ready()) == (states.STARTED, progress, False)


@pytest.mark.parametrize("job_id", ["never", "waits"])
def test_patience_ends_with_celerys_own_error(app: Celery, ledger: Ledger, job_id: str) -> None:
    submit(ledger, "waits")
    intervals = []
    with pytest.raises(CeleryTimeoutError, match=job_id):
        app.AsyncResult(job_id).get(timeout=0.05, interval=0.02, on_interval=lambda: intervals.append(1))
    assert intervals


def test_a_set_of_results(app: Celery, ledger: Ledger) -> None:
    names = [submit(ledger, name) for name in "abc"]
    for _ in names:
        settle(ledger, REPORT)
    assert ResultSet([app.AsyncResult(name) for name in names], app=app).get(timeout=5) == [REPORT] * 3


def test_an_address_is_shown_without_its_password() -> None:
    app = Celery("shop", backend=f"{BACKEND}+redis://shop:hush@host/0", set_as_current=False)
    assert "hush" not in app.backend.as_uri() + repr(app.backend) + app.conf.humanize()


def test_a_deadline_that_passed_reads_as_a_failure(app: Celery, ledger: Ledger, until: Callable[..., None]) -> None:
    soon = datetime.fromtimestamp(ledger.server.time() + 0.1, UTC)
    job_id = ledger.submit(CheckHealth(deadline=soon)).job_id
    until(lambda: ledger.reap().expired)
    with pytest.raises(JobFailedError, match="expired"):
        app.AsyncResult(job_id).get(timeout=5)


def test_get_outlives_a_silence_that_is_longer_than_its_interval(
    app: Celery, ledger: Ledger, valkey: EmbeddedServer
) -> None:
    job_id = submit(ledger)
    assert app.backend.ledger.settings.reply_timeout_seconds > 1.5

    def go_on() -> None:
        os.kill(valkey.pid, signal.SIGCONT)
        settle(ledger, REPORT)

    os.kill(valkey.pid, signal.SIGSTOP)
    threading.Timer(1.5, go_on).start()
    assert app.AsyncResult(job_id).get(timeout=20, interval=0.2) == REPORT
