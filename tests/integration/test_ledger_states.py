"""The ledger against a model of it: whatever callers and workers do in whatever order, both agree."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ledger.book import Claim, Ledger, LedgerSettings
from ledger.embedded import EmbeddedServer
from ledger.failures import Failure, FailureCode
from ledger.jobs import CheckHealth
from ledger.outcomes import State
from ledger.reports import HealthReport

MAX_ATTEMPTS = 2
DEADLINES = {"a": None, "b": 2099, "c": None, "d": 2098, "e": 2099}
RESULTS = (
    HealthReport(status="healthy", checks=(), memory_mb=1.0),
    Failure(code=FailureCode.INTERNAL, message="it broke"),
)


@dataclass
class Entry:
    """One job in the model."""

    age: int
    urgency: tuple[int, int]
    state: State = State.QUEUED
    attempt: int = 0
    solo: bool = False
    alone: bool = False
    claim: Claim | None = None
    owner: str = ""
    settled: object = None

    def requeue(self, *, charged: bool) -> None:
        self.state, self.owner = State.QUEUED, ""
        self.attempt -= not charged

    def lose(self) -> None:
        if not self.alone:
            self.solo = True
            self.requeue(charged=False)
        elif self.attempt < MAX_ATTEMPTS:
            self.requeue(charged=True)
        else:
            self.state = State.FAILED


class Life(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        namespace = f"life-{uuid.uuid4().hex}"
        self.ledger = Ledger.connect(
            LedgerSettings(redis_url=self.url, namespace=namespace, max_attempts=MAX_ATTEMPTS, lease_seconds=3600)
        )
        self.jobs: dict[str, Entry] = {}
        self.claims: list[Claim] = []

    def teardown(self) -> None:
        self.ledger.close()

    def holder(self, claim: Claim) -> Entry | None:
        entry = self.jobs[claim.job_id]
        return entry if entry.state is State.RUNNING and entry.claim == claim else None

    def pick(self, data: st.DataObject) -> Claim | None:
        return data.draw(st.sampled_from(self.claims)) if self.claims else None

    @rule(name=st.sampled_from(sorted(DEADLINES)))
    def submit(self, name: str) -> None:
        year = DEADLINES[name]
        deadline = datetime(year, 1, 1, tzinfo=UTC) if year else None
        assert self.ledger.submit(CheckHealth(nonce=name, deadline=deadline), key=name).created == (
            name not in self.jobs
        )
        if name not in self.jobs:
            self.jobs[name] = Entry(len(self.jobs), (year or 9999, len(self.jobs)))

    @rule(owner=st.sampled_from(["n#1/1", "n#1/11", "n#2/1"]), limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> None:
        for entry in self.jobs.values():
            if entry.state is State.RUNNING and entry.owner == owner:
                entry.lose()
        waiting = sorted((entry.urgency, name) for name, entry in self.jobs.items() if entry.state is State.QUEUED)
        expected: list[str] = []
        for _, name in waiting[:limit]:
            if self.jobs[name].solo and expected:
                break
            expected.append(name)
            if self.jobs[name].solo:
                break
        claims = self.ledger.claim("predict", owner, limit)
        assert [claim.job_id for claim in claims] == expected
        for claim in claims:
            entry = self.jobs[claim.job_id]
            entry.state, entry.owner, entry.claim, entry.alone = State.RUNNING, owner, claim, len(claims) == 1
            entry.attempt += 1
            assert claim.attempt == entry.attempt <= MAX_ATTEMPTS
        self.claims += claims

    @rule(data=st.data(), result=st.sampled_from(RESULTS))
    def settle(self, data: st.DataObject, result: HealthReport | Failure) -> None:
        if claim := self.pick(data):
            entry = self.holder(claim)
            told_again = self.jobs[claim.job_id].settled == (claim.fence, result)
            assert self.ledger.settle(claim, result) == (entry is not None or told_again)
            if entry:
                entry.state = State.FAILED if isinstance(result, Failure) else State.SUCCEEDED
                entry.settled = (claim.fence, result)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if claim := self.pick(data):
            entry = self.holder(claim)
            assert self.ledger.release(claim) == (entry is not None)
            if entry:
                entry.requeue(charged=False)

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        if claim := self.pick(data):
            entry = self.holder(claim)
            if entry:
                entry.lose()
            assert self.ledger.lose(claim.job_id, claim.fence) == (entry.state if entry else None)

    @rule(name=st.sampled_from(sorted(DEADLINES)))
    def cancel(self, name: str) -> None:
        entry = self.jobs.get(name)
        if entry and not entry.state.final:
            entry.state = State.CANCELLED
        assert self.ledger.cancel(name).state is (entry.state if entry else State.UNKNOWN)

    @rule()
    def renew_and_reap(self) -> None:
        gone = {claim.job_id for claim in self.claims if not self.holder(claim)}
        assert self.ledger.renew((claim.job_id, claim.fence) for claim in self.claims) == gone
        reaped = self.ledger.reap()
        assert (reaped.requeued, reaped.lost, reaped.expired) == (0, 0, 0)

    @invariant()
    def both_agree(self) -> None:
        states = Counter(entry.state for entry in self.jobs.values())
        assert self.ledger.queue_depths()["predict"] == states[State.QUEUED]
        held = {(held.job_id, held.owner) for held in self.ledger.held_by()}
        running = {(name, entry.owner) for name, entry in self.jobs.items() if entry.state is State.RUNNING}
        assert held == running
        for name, entry in self.jobs.items():
            status = self.ledger.status(name)
            assert (status.state, status.attempt) == (entry.state, entry.attempt)
        final = {name for name, entry in self.jobs.items() if entry.state.final}
        stream = self.ledger._call("XRANGE", f"{self.ledger.settings.namespace}:outcomes", "-", "+")
        settled = Counter(fields[b"job"].decode() for _, fields in stream)
        assert settled == Counter(final), "an outcome is missing, or stands twice"


@pytest.mark.timeout(120)
def test_the_ledger_lives_as_its_model(valkey: EmbeddedServer) -> None:
    Life.url = valkey.url
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
