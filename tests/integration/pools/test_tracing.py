"""Spans of jobs: sent by the pool's main process, one tree from the caller to the outcome, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.job_history import JobEventKind
from ledger.ledger import Ledger
from tests.integration.pools.test_faults import running_child
from tests.support.endpoints import HASTY, get, scrape, value
from tests.support.otlp_receiver import OtlpReceiver, tree
from tests.support.pools import PoolProcess, StartPool

WAIT_SECONDS = 30
PARENT = "00f067aa0ba902b7"
Until = Callable[..., None]


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    started = OtlpReceiver()
    yield started
    started.close()


@pytest.fixture
def start_traced(start_pool: StartPool, receiver: OtlpReceiver) -> StartPool:
    def start(**variables: str | int | bool) -> PoolProcess:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        return start_pool(**{**HASTY, **traced, "concurrency": 1, **variables})

    return start


def header(trace_id: str, flags: str = "01") -> str:
    return f"00-{trace_id}-{PARENT}-{flags}"


def test_a_killed_child_leaves_no_hole_in_the_tree(
    ledger: Ledger, start_traced: StartPool, receiver: OtlpReceiver, until: Until
) -> None:
    pool = start_traced(OTEL_SERVICE_NAME="odds")
    with TracerProvider().get_tracer("test").start_as_current_span("read a feed") as span:
        job_id = ledger.submit(CheckHealth(nonce="block_at_first"), correlation_id="ticket 7", caller="east").job_id
        context = span.get_span_context()
    trace_id, submitter = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    child = running_child(ledger, job_id, until)
    os.kill(child, signal.SIGKILL)
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert (outcome.state, outcome.attempt) == (JobState.SUCCEEDED, 2)
    until(lambda: len(receiver.of_trace(trace_id)) >= 5)
    assert pool.stop() == 0
    spans = receiver.of_trace(trace_id)
    assert tree(spans, submitter) == {
        "submitter": ["wait predict", "process predict", "wait predict", "process predict"],
        "process predict": ["settle predict"],
    }
    waited, lost, waited_again, answered, settled = spans
    assert (lost.failed, lost.attributes["error.type"]) == (True, "worker_lost")
    assert f"process {child} ended in the middle of the job" in lost.message
    assert (answered.failed, answered.links) == (False, (lost.span_id,))
    assert waited.end == lost.start
    assert (
        waited.start <= waited.end <= lost.end <= answered.start <= settled.start <= settled.end <= answered.end + 1e-6
    )
    history = ledger.job_histories.get(job_id).events
    times = [event.at.timestamp() for event in history]  # submitted, claimed, lost, claimed, succeeded
    assert [waited.start, waited.end, waited_again.start, waited_again.end] == pytest.approx(times[:4], abs=0.002)
    assert answered.end == pytest.approx(times[4], abs=0.5)
    assert answered.attributes == {
        "messaging.system": "cornerman",
        "messaging.destination.name": "predict",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": job_id,
        "messaging.message.conversation_id": "ticket 7",
        "messaging.client.id": history[3].worker,
        "cornerman.caller": "east",
        "cornerman.job.kind": "check_health",
        "cornerman.job.attempt": 2,
        "cornerman.job.outcome": "succeeded",
        "cornerman.model": "champion",
    }
    assert answered.resource["service.name"] == "odds"
    assert str(history[3].worker).startswith(answered.resource["service.instance.id"])
    lines = [line for line in pool.log.read_text().splitlines() if '"event": "job"' in line]
    assert all(trace_id in line for line in lines)
    assert answered.span_id in lines[-1]


def test_a_job_without_a_trace_begins_one(
    ledger: Ledger, start_traced: StartPool, receiver: OtlpReceiver, until: Until
) -> None:
    start_traced()
    before = len(receiver.spans)
    ledger.chains.submit("nightly", [CheckHealth(nonce="1"), CheckHealth(nonce="2")])
    single = ledger.submit(CheckHealth(nonce="nan")).job_id
    for job_id in ("nightly", "nightly/2", single):
        ledger.wait(job_id, WAIT_SECONDS)
    until(lambda: len(receiver.spans) - before >= 11)
    spans = receiver.spans[before:]
    roots = [span for span in spans if not span.parent_id]
    assert [span.name for span in roots] == ["create predict"] * 2
    by_job = {span.attributes["messaging.message.id"]: span.trace_id for span in spans}
    assert by_job["nightly"] == by_job["nightly/2"] != by_job[single]
    for root in roots:
        found = [span for span in receiver.of_trace(root.trace_id) if span is not root and span.parent_id]
        jobs = 2 if root.trace_id == by_job["nightly"] else 1
        children = tree(found, root.span_id)
        assert sorted(children["submitter"]) == ["process predict"] * jobs + ["wait predict"] * jobs
        assert children["process predict"] == ["settle predict"] * jobs
    [failed] = [span for span in spans if span.failed]
    assert failed.attributes["error.type"] == failed.attributes["cornerman.job.outcome"] == "internal"


def test_what_is_not_sampled_is_not_sent(
    ledger: Ledger, start_traced: StartPool, receiver: OtlpReceiver, until: Until
) -> None:
    pool = start_traced(OTEL_TRACES_SAMPLER="parentbased_always_off")
    before = len(receiver.spans)
    ledger.wait(ledger.submit(CheckHealth(nonce="1")).job_id, WAIT_SECONDS)
    ledger.wait(ledger.submit(CheckHealth(nonce="2"), traceparent=header("a" * 32, "00")).job_id, WAIT_SECONDS)
    ledger.wait(
        ledger.submit(CheckHealth(nonce="3"), traceparent=header("b" * 32), tracestate="v=1").job_id, WAIT_SECONDS
    )
    until(lambda: len(receiver.of_trace("b" * 32)) == 3)
    assert pool.stop() == 0
    assert {(span.trace_id, span.state) for span in receiver.spans[before:]} == {("b" * 32, "v=1")}


def test_a_pool_that_was_killed_is_spoken_for_by_another(
    ledger: Ledger, start_traced: StartPool, receiver: OtlpReceiver, until: Until
) -> None:
    first = start_traced(CORNERMAN_LEASE_SECONDS="1")
    job_id = ledger.submit(CheckHealth(nonce="block_at_first"), traceparent=header("c" * 32)).job_id
    running_child(ledger, job_id, until)
    os.killpg(first.pid, signal.SIGKILL)
    start_traced(CORNERMAN_LEASE_SECONDS="1")
    assert ledger.wait(job_id, WAIT_SECONDS).attempt == 2
    until(lambda: len(receiver.of_trace("c" * 32)) == 5)
    spans = receiver.of_trace("c" * 32)
    lost, answered = (span for span in spans if span.name == "process predict")
    assert (lost.failed, lost.message) == (True, "no worker renewed the lease")
    assert answered.links == (lost.span_id,)
    assert len(tree(spans, PARENT)["submitter"]) == 4


def test_a_child_that_stands_still_after_its_claim_ends_no_span_twice(
    ledger: Ledger, start_traced: StartPool, receiver: OtlpReceiver, until: Until
) -> None:
    pool = start_traced(PROBE_STOPS="1")
    job_id = ledger.submit(CheckHealth(), traceparent=header("e" * 32)).job_id
    until(lambda: '"released"' in pool.log.read_text())
    [child] = pool.children()
    child.resume()
    assert ledger.wait(job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
    assert pool.stop() == 0
    spans = [span for span in receiver.spans if span.trace_id == "e" * 32]
    assert Counter(span.name for span in spans) == {"wait predict": 2, "process predict": 2, "settle predict": 1}
    outcomes = [span.attributes["cornerman.job.outcome"] for span in spans if span.name == "process predict"]
    assert outcomes == ["released", "succeeded"]
    assert '"refused"' in pool.log.read_text(), "the child has reported the end of the first claim, too"


@pytest.mark.parametrize("fault", ["refuses", "answers nothing", "is away"])
def test_no_job_waits_for_the_collector(fault: str, ledger: Ledger, start_traced: StartPool, until: Until) -> None:
    collector = OtlpReceiver()
    if fault == "refuses":
        collector.status = 400
    elif fault == "answers nothing":
        collector.silent.set()
    else:
        collector.close()
    pool = start_traced(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        OTEL_BSP_MAX_QUEUE_SIZE="5",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="5",
        PROBE_COMPANY="1",
    )
    # The third batch is of sixteen jobs: its first takes so long that the child gives back those that wait behind it.
    nonces = ["take:0:0.5:1" if number == 5 else str(number) for number in range(50)]
    job_ids = [receipt.job_id for receipt in ledger.submit_many([CheckHealth(nonce=nonce) for nonce in nonces])]
    for job_id in job_ids:
        assert ledger.wait(job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
    events = Counter(event.event for job_id in job_ids for event in ledger.job_histories.get(job_id).events)
    [address] = [known["http"] for known in ledger.pools.alive() if known["pid"] == pool.pid]

    def dropped() -> float:
        values = scrape(str(address))
        assert value(values, "cornerman_spans_total", fate="sent") == 0
        return sum(value(values, "cornerman_spans_total", fate=fate) for fate in ("not_sent", "queue_full"))

    # Create and settle of each job, wait and process of each claim, also of one that was given back.
    assert events[JobEventKind.RELEASED] > 0
    until(lambda: dropped() == 2 * len(job_ids) + 2 * events[JobEventKind.CLAIMED])
    assert pool.stop() == 0
    assert pool.log.read_text().count("spans not sent") == 1
    if fault != "is away":
        collector.close()


def test_histograms_have_exemplars_for_those_who_can_read_them(
    ledger: Ledger, start_traced: StartPool, receiver: OtlpReceiver, until: Until
) -> None:
    pool = start_traced()
    job_id = ledger.submit(CheckHealth(), traceparent=header("d" * 32)).job_id
    ledger.wait(job_id, WAIT_SECONDS)
    [address] = [str(known["http"]) for known in ledger.pools.alive() if known["pid"] == pool.pid]
    openmetrics = {"Accept": "application/openmetrics-text; version=1.0.0"}
    exemplar = 'trace_id="' + "d" * 32

    until(lambda: exemplar in get(address, "/metrics", **openmetrics)[1])
    until(lambda: any(span.name == "settle predict" for span in receiver.of_trace("d" * 32)))
    text = get(address, "/metrics", **openmetrics)[1]
    families = {family.name: family for family in openmetrics_families(text)}
    attempts = {span.span_id for span in receiver.of_trace("d" * 32) if span.name == "process predict"}
    for name in ("cornerman_queue_wait_seconds", "cornerman_run_seconds"):
        # A child that stands still for over a second after its claim loses it: then two attempts end.
        found = [sample.exemplar.labels for sample in families[name].samples if sample.exemplar is not None]
        assert {labels["trace_id"] for labels in found} == {"d" * 32}
        assert {labels["span_id"] for labels in found} <= attempts
    assert exemplar not in get(address, "/metrics")[1]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "only http/protobuf is spoken"),
    ],
)
def test_settings_that_cannot_work_are_named_and_keep_no_pool_from_its_jobs(
    ledger: Ledger, start_traced: StartPool, variables: dict[str, str], reason: str
) -> None:
    pool = start_traced(**variables)
    assert ledger.wait(ledger.submit(CheckHealth()).job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
    assert reason in pool.log.read_text()
