"""The trace context of a submission is stored with the job, and comes back with its claim."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from ledger.async_ledger import AsyncLedger
from ledger.contracts.codec import encode_canonical
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import CheckHealth, ShadowCard, TrainPart
from ledger.contracts.trace_context import TraceContext
from ledger.ledger import Ledger, LedgerSettings
from tests.support.claims import OWNER, claim_one

PARENT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)
STATED = TraceContext(PARENT.trace_id, PARENT.span_id, 0, "vendor=1")


def stored(ledger: Ledger, job_id: str) -> bytes | None:
    value: bytes | None = ledger.server.execute("HGET", ledger.server.key("job", job_id), "trace")
    return value


def test_the_context_of_a_submission_comes_back_with_the_claim(ledger: Ledger) -> None:
    ledger.submit_many([CheckHealth(nonce="1"), CheckHealth(nonce="2")], traceparent=PARENT.traceparent)
    ledger.submit(CheckHealth(nonce="3"), traceparent=STATED.traceparent, tracestate=STATED.state)
    assert [claim.trace for claim in ledger.claim("predict", OWNER, 3)] == [PARENT, PARENT, STATED]


def test_a_job_without_a_context_stores_nothing(ledger: Ledger) -> None:
    job_id = ledger.submit(CheckHealth()).job_id
    assert stored(ledger, job_id) is None
    claim = claim_one(ledger)
    assert (claim.trace, claim.chain, claim.history) == (None, None, b"")


def test_a_known_job_keeps_its_first_context(ledger: Ledger) -> None:
    ledger.submit(CheckHealth(), traceparent=PARENT.traceparent)
    assert not ledger.submit(CheckHealth(), traceparent=STATED.traceparent).created
    assert claim_one(ledger).trace == PARENT


def test_all_jobs_of_a_chain_belong_to_its_trace(ledger: Ledger) -> None:
    jobs = [CheckHealth(nonce=str(number)) for number in range(2)]
    ledger.chains.submit("nightly", jobs, traceparent=PARENT.traceparent)
    assert stored(ledger, "nightly") == stored(ledger, "nightly/2") == PARENT.stored.encode()
    claim = claim_one(ledger)
    assert (claim.trace, claim.chain) == (PARENT, "1/2 nightly")


def test_parts_and_shadows_belong_to_the_trace_of_their_job(ledger: Ledger) -> None:
    part = TrainPart(
        of="job",
        prepared="0" * 64,
        name="member-0",
        fights=1,
        columns=1,
        max_memory_mb=1.0,
        max_training_time_seconds=1.0,
    )
    [receipt] = ledger.submission.submit_parts([part], trace=STATED)
    assert stored(ledger, receipt.job_id) == STATED.stored.encode()
    shadows = [ShadowCard(card=card, deadline=datetime.now(UTC) + timedelta(days=1)) for card in "ab"]
    assert ledger.submission.submit_shadows(shadows, traces=[PARENT, None]) == 2
    claims = {claim.payload: claim.trace for claim in ledger.claim("monitor", OWNER, 2)}
    assert [claims[encode_canonical(shadow)] for shadow in shadows] == [PARENT, None]


@pytest.mark.parametrize("given", ["", "00-1-2-01", f"{PARENT.traceparent}-x"])
def test_an_argument_that_is_no_context_is_refused(ledger: Ledger, given: str) -> None:
    with pytest.raises(JobRefusedError, match="traceparent"):
        ledger.submit(CheckHealth(), traceparent=given)
    assert not ledger.claim("predict", OWNER)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
def test_the_active_span_of_the_caller_is_the_context(
    ledger: Ledger, ledger_settings: LedgerSettings, *, asynchronous: bool
) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("read a feed") as span:
        if asynchronous:
            asyncio.run(_submit(ledger_settings))
        else:
            ledger.submit(CheckHealth())
        context = span.get_span_context()
    assert claim_one(ledger).trace == TraceContext(
        f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags) & 3
    )


async def _submit(settings: LedgerSettings) -> None:
    async with AsyncLedger(settings) as ledger:
        await ledger.submit(CheckHealth())


def test_an_argument_goes_before_the_active_span(ledger: Ledger) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("read a feed"):
        ledger.submit(CheckHealth(), traceparent=PARENT.traceparent)
    assert claim_one(ledger).trace == PARENT


def test_the_decision_of_the_caller_not_to_sample_and_its_state_are_kept(ledger: Ledger) -> None:
    state = TraceState([("vendor", "1")])
    context = SpanContext(int(PARENT.trace_id, 16), int(PARENT.span_id, 16), True, TraceFlags(0), state)
    with trace.use_span(trace.NonRecordingSpan(context)):
        ledger.submit(CheckHealth())
    assert claim_one(ledger).trace == STATED


def test_a_submission_needs_no_opentelemetry(ledger: Ledger) -> None:
    # Without it, because the client of the server imports it if it is installed.
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from ledger.contracts.jobs import CheckHealth\n"
        "from ledger.ledger import Ledger, LedgerSettings\n"
        f"settings = LedgerSettings(redis_url={ledger.settings.redis_url!r}, namespace={ledger.settings.namespace!r})\n"
        f"Ledger.connect(settings).submit(CheckHealth(), traceparent={PARENT.traceparent!r})\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.')]\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
    assert claim_one(ledger).trace == PARENT
