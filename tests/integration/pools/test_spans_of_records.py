"""Spans of attempts whose start or end was not reported: made of the job's record, by the service that sends spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from tests.support.claims import FAILURE, OWNER, REPORT, claim_one
from tests.support.otlp_receiver import OtlpReceiver, tree
from workers.tracing import span_service
from workers.tracing.events import AttemptBegan, AttemptFinished
from workers.tracing.job_tracing import JobTracing
from workers.tracing.span_service import SpanService

TRACE, PARENT = "a" * 32, "b" * 16
Until = Callable[..., None]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    started = OtlpReceiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setattr(span_service, "REVIEW_SECONDS", 0.0)
    yield started
    started.close()


@pytest.fixture
def tracing(receiver: OtlpReceiver) -> JobTracing:
    found = JobTracing.from_environment()
    assert found is not None
    return found


@pytest.fixture
def service(tracing: JobTracing, ledger: Ledger) -> SpanService:
    return SpanService(tracing, "node#7f", lambda: ledger, lambda fate, spans: None)


def submit(ledger: Ledger) -> str:
    return ledger.submit(CheckHealth(), traceparent=f"00-{TRACE}-{PARENT}-01").job_id


def begin(ledger: Ledger, tracing: JobTracing) -> AttemptBegan:
    _, [event] = tracing.begin([claim_one(ledger)], OWNER)
    return event


def sent(service: SpanService, receiver: OtlpReceiver) -> list[str]:
    service.make()
    service.send()
    return [span.name for span in receiver.of_trace(TRACE)]


def test_a_child_that_dies_after_its_settlement_loses_no_span(
    ledger: Ledger, service: SpanService, tracing: JobTracing, receiver: OtlpReceiver
) -> None:
    submit(ledger)
    claim = claim_one(ledger)
    _, [began] = tracing.begin([claim], OWNER)
    service.put(began)
    assert sent(service, receiver) == ["wait predict"]
    ledger.settle(claim, FAILURE)  # and no event says so
    assert sent(service, receiver) == ["wait predict", "process predict"]
    attempt = receiver.of_trace(TRACE)[1]
    assert (attempt.failed, attempt.attributes["error.type"]) == (True, "internal")
    outcome = ledger.outcome(began.job_id)
    assert outcome is not None
    assert attempt.end == pytest.approx(outcome.settled_at.timestamp(), abs=0.002)


def test_a_child_that_dies_between_its_claim_and_its_report_loses_no_span(
    ledger: Ledger, service: SpanService, receiver: OtlpReceiver
) -> None:
    job_id = submit(ledger)
    lost = claim_one(ledger)
    assert ledger.report_worker_lost(job_id, lost.fence, "process 101 ended") == "queued"
    service.put(AttemptFinished(job_id, lost.fence, "requeued", 1.0, "process 101 ended"))
    assert sent(service, receiver) == ["wait predict", "process predict"]
    attempt = receiver.of_trace(TRACE)[1]
    assert (attempt.failed, attempt.message) == (True, "process 101 ended")
    assert tree(receiver.of_trace(TRACE), PARENT) == {"submitter": ["wait predict", "process predict"]}


def test_a_lease_that_expires_at_the_last_attempt_ends_its_span(
    hasty: Ledger, service: SpanService, receiver: OtlpReceiver, until: Until
) -> None:
    job_id = submit(hasty)
    expired: list[tuple[str, int]] = []

    def reaped() -> bool:
        found = hasty.reap().expired_leases
        expired.extend(found)
        return bool(found)

    for _ in range(hasty.settings.max_attempts):
        assert hasty.claim("predict", OWNER)
        until(reaped)  # only then: an owner that claims again before gets the same attempt
    assert hasty.status(job_id).state.final
    assert len(expired) == hasty.settings.max_attempts
    for _, fence in expired:
        service.put(AttemptFinished(job_id, fence, "requeued"))
    sent(service, receiver)
    attempts = [span for span in receiver.of_trace(TRACE) if span.name == "process predict"]
    assert [span.attributes["error.type"] for span in attempts] == ["worker_lost"] * len(expired)
    assert [span.links for span in attempts] == [(), (attempts[0].span_id,), (attempts[1].span_id,)]


def test_a_job_that_runs_is_left_open_and_one_that_is_gone_is_forgotten(
    ledger: Ledger, service: SpanService, tracing: JobTracing, receiver: OtlpReceiver
) -> None:
    job_id = submit(ledger)
    claim = claim_one(ledger)
    _, [began] = tracing.begin([claim], OWNER)
    service.put(began)
    assert sent(service, receiver) == sent(service, receiver) == ["wait predict"]
    ledger.server.execute("DEL", ledger.server.key("job", job_id))
    service.put(AttemptFinished("unknown", 1, "requeued"))
    assert sent(service, receiver) == ["wait predict"]
    assert not service._open
    ledger.settle(claim, REPORT)
