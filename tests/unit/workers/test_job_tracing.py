"""Whether a pool sends spans, and what it sends them for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from ledger.contracts.trace_context import TraceContext
from ledger.ledger import Claim
from workers.tracing.identity import attempt_span_id, own_trace
from workers.tracing.job_tracing import JobTracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
PARENT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1, "vendor=1")
SUBMITTED = datetime(2026, 1, 1, tzinfo=UTC)
CLAIMED_MS = "1767225602000"


def claim(**fields: Any) -> Claim:
    common: dict[str, Any] = {
        "job_id": "job", "kind": "check_health", "payload": b"{}", "attempt": 1, "fence": 7, "queue": "predict",
        "time_limit_seconds": 1.0, "submitted_at": SUBMITTED, "claimed_at": SUBMITTED + timedelta(seconds=2),
        "deadline": None, "correlation_id": None,
    }  # fmt: skip
    return Claim(**(common | fields))


def line(event: str, fence: int, at_ms: str = CLAIMED_MS) -> str:
    return f"{event}\t{at_ms}\t1\t{fence}\tnode#1/1\t"


@pytest.fixture
def tracing() -> JobTracing:
    found = JobTracing.from_environment(ENDPOINT)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "odds", "OTEL_TRACES_SAMPLER": "always_on"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "True"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_tracing_is_off_unless_it_is_asked_for(environment: dict[str, str]) -> None:
    with capture_logs() as lines:
        assert JobTracing.from_environment(environment) is None
    assert lines == []


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "/v1"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no URL"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': only http/proto"),
    ],
)
def test_what_cannot_work_is_named(environment: dict[str, str], reason: str) -> None:
    with capture_logs() as lines:
        assert JobTracing.from_environment(environment) is None
    [logged] = lines
    assert logged["event"] == "no spans are sent"
    assert logged["reason"].startswith(reason)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> JobTracing:
        raise ModuleNotFoundError("No module named 'opentelemetry.exporter'")

    monkeypatch.setattr(JobTracing, "_imported", missing)
    with capture_logs() as lines:
        assert JobTracing.from_environment(ENDPOINT) is None
    assert "install cornerman[tracing]" in lines[0]["reason"]


def test_an_attempt_is_a_child_of_the_span_that_submitted_the_job(tracing: JobTracing) -> None:
    [begun], [event] = tracing.begin([claim(trace=PARENT)], "node#1/1")
    assert begun.span == TraceContext(PARENT.trace_id, attempt_span_id("job", 7), 1, "vendor=1")
    assert (event.span, event.parent_id) == (begun.span.stored, PARENT.span_id)
    assert (event.waits_since_ms, event.claimed_ms) == (SUBMITTED.timestamp() * 1000, int(CLAIMED_MS))
    assert (event.begins_ms, event.previous_fence) == (None, None)


def test_a_job_without_a_trace_begins_one_at_its_first_attempt(tracing: JobTracing) -> None:
    histories = ("", line("queued", 0), "\n".join([line("claimed", 5), line("undelivered", 5)]))
    for history in histories:  # what no worker has heard of is no attempt
        _, [event] = tracing.begin([claim(history=history.encode())], "node#1/1")
        assert event.begins_ms == SUBMITTED.timestamp() * 1000
        assert event.parent_id == own_trace("job", event.begins_ms).span_id
    history = "\n".join([line("claimed", 5), line("worker_lost", 5, "1767225601000")])
    _, [later] = tracing.begin([claim(history=history.encode())], "node#1/1")
    assert (later.begins_ms, later.previous_fence, later.waits_since_ms) == (None, 5, 1767225601000)


def test_jobs_of_a_chain_share_a_trace_that_begins_with_its_first(tracing: JobTracing) -> None:
    jobs = [claim(job_id=f"night/{number}", chain=f"{number}/2 night") for number in (1, 2)]
    begun, events = tracing.begin(jobs, "node#1/1")
    traces = {each.span.trace_id for each in begun if each.span is not None}
    assert traces == {own_trace("night", SUBMITTED.timestamp() * 1000).trace_id}
    assert [event.begins_ms is not None for event in events] == [True, False]


def test_what_is_not_sampled_has_no_event_and_says_so_to_its_parts(tracing: JobTracing) -> None:
    unsampled = msgspec.structs.replace(PARENT, flags=0)
    [begun], events = tracing.begin([claim(trace=unsampled)], "node#1/1")
    assert events == []
    assert begun.span is not None
    assert not begun.span.sampled
