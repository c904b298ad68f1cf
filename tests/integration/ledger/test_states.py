"""The ledger against a model of it: whatever callers and workers do in whatever order, both agree.

Between any two steps a fault may come: a call that was executed, but whose answer got lost. Whoever called does not
know what it did, and calls again or goes on without.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ledger.contracts.failures import Failure, FailureCode, JobRefusedError, LedgerError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.jobs.dead_letters import requeued_job_id
from ledger.ledger import Claim, Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from tests.support.job_index import check_index
from tests.support.loop_ledger import LoopLedger

MAX_ATTEMPTS = 2
MAX_QUEUE_LENGTH = 4
NEVER = 9999
DEADLINES = {"a": None, "b": 2099, "c": None, "d": 2098, "e": 2099}
CALLERS = {"a": "", "b": "x", "c": "x", "d": "", "e": "y"}
NAMES = st.sampled_from(sorted(DEADLINES))
RESULTS = (
    HealthReport(status="healthy", checks=(), memory_mb=1.0),
    Failure(code=FailureCode.INTERNAL, message="it broke"),
)


@dataclass
class Entry:
    """One job in the model."""

    urgency: tuple[int, int]
    caller: str
    state: JobState = JobState.QUEUED
    attempt: int = 0
    solo: bool = False
    alone: bool = False
    claim: Claim | None = None
    owner: str = ""
    unheard: int = 0
    settled: object = None
    left: tuple[object, ...] = ()
    died: bool = False

    def requeue(self, *, charged: bool) -> None:
        self.state, self.owner = JobState.QUEUED, ""
        self.attempt -= not charged

    def lose(self) -> None:
        if self.attempt < MAX_ATTEMPTS:
            self.solo = self.solo or not self.alone
            self.requeue(charged=True)
        else:
            self.state, self.died = JobState.FAILED, True

    def lose_unheard(self) -> None:
        self.unheard += 1
        if self.unheard > MAX_ATTEMPTS:
            self.lose()
        else:
            self.requeue(charged=False)


class Turns:
    """Whose jobs a claim looks at: callers take turns, '' being those without a caller.

    A caller's turn lasts until a claim finds that none of its jobs waits; it may have come back until then.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._last = 0
        self._now_at = 0
        self._handed_out: Counter[str] = Counter()

    @property
    def ring(self) -> list[str]:
        """The callers by their turn."""
        return sorted(self._numbers, key=lambda caller: (self._numbers[caller], caller))

    def join(self, caller: str) -> None:
        """Let a caller have the next turn, before those who had theirs."""
        self._numbers.setdefault(caller, self._now_at)

    def choose(self, waiting: dict[str, list[tuple[tuple[int, int], str]]], limit: int) -> list[str]:
        """The jobs that a claim looks at, from those that wait, by caller and urgency."""
        if not self._numbers:
            return self._of_one("", waiting.get("", []), limit)
        if "" in waiting and "" not in self._numbers:
            self._last += 1
            self._numbers[""] = self._last
        while gone := [caller for caller in self.ring[:limit] if caller not in waiting]:
            for caller in gone:
                self._leave(caller)
        line, shares, order = self.ring[:limit], Counter[str](), list[str]()
        while line and len(order) < limit:
            caller = line.pop(0)
            shares[caller] += 1
            order.append(caller)
            if shares[caller] < len(waiting[caller]):
                line.append(caller)
        chosen = {caller: self._of_one(caller, waiting[caller], share) for caller, share in shares.items()}
        return [chosen[caller].pop(0) for caller in order]

    def end(self, callers: list[str]) -> None:
        """Move the callers of claimed jobs behind the others."""
        by_last_turn = list(dict.fromkeys(reversed(callers)))[::-1]
        if by_last_turn:
            self._now_at = max(self._numbers[caller] for caller in by_last_turn)
        for caller in by_last_turn:
            self._last += 1
            if (caller, len(self._numbers)) == ("", 1):
                self._leave(caller)
            else:
                self._numbers[caller] = self._last

    def _of_one(self, caller: str, waiting: list[tuple[tuple[int, int], str]], limit: int) -> list[str]:
        """The jobs of one caller: by deadline, and one of five of those without, while both wait."""
        chosen, behind = waiting[:limit], waiting[limit:]
        patient = [entry for entry in behind if entry[0][0] == NEVER]
        if chosen and patient and chosen[-1][0][0] != NEVER:
            before = self._handed_out[caller]
            self._handed_out[caller] = now = before + len(chosen)
            chosen = (patient[: now // 5 - before // 5] + chosen)[:limit]
        return [name for _, name in chosen]

    def _leave(self, caller: str) -> None:
        del self._numbers[caller]
        if caller:
            del self._handed_out[caller]


class Life(RuleBasedStateMachine):
    url: str
    ledger_type: type[Ledger]

    def __init__(self) -> None:
        super().__init__()
        namespace = f"life-{uuid.uuid4().hex}"
        self.ledger = self.ledger_type.connect(
            LedgerSettings(
                redis_url=self.url,
                namespace=namespace,
                max_attempts=MAX_ATTEMPTS,
                max_queue_length=MAX_QUEUE_LENGTH,
                lease_seconds=3600,
            )
        )
        self.jobs: dict[str, Entry] = {}
        self.claims: list[Claim] = []
        self.purged: set[str] = set()
        self.turns = Turns()

    def teardown(self) -> None:
        check_index(self.ledger)
        self.ledger.close()

    def holder(self, claim: Claim) -> Entry | None:
        entry = self.jobs[claim.job_id]
        return entry if entry.state is JobState.RUNNING and entry.claim == claim else None

    def letters(self) -> set[str]:
        return {name for name, entry in self.jobs.items() if entry.died} - self.purged

    def pick(self, data: st.DataObject) -> Claim | None:
        return data.draw(st.sampled_from(self.claims)) if self.claims else None

    def join(self, entry: Entry) -> None:
        if entry.state is JobState.QUEUED and (entry.caller or self.turns.ring):
            self.turns.join(entry.caller)

    def accept(self, name: str, year: int | None) -> bool:
        """Whether the ledger must take a job now; in the model it then does."""
        if name in self.jobs:
            return True
        if sum(entry.state is JobState.QUEUED for entry in self.jobs.values()) >= MAX_QUEUE_LENGTH:
            return False
        self.jobs[name] = Entry((year or NEVER, len(self.jobs)), CALLERS[name[0]])
        self.join(self.jobs[name])
        return True

    def waiting(self) -> dict[str, list[tuple[tuple[int, int], str]]]:
        """The queued jobs of each caller that has any, by urgency."""
        found: dict[str, list[tuple[tuple[int, int], str]]] = {}
        for name, entry in sorted(self.jobs.items(), key=lambda job: job[1].urgency):
            if entry.state is JobState.QUEUED:
                found.setdefault(entry.caller, []).append((entry.urgency, name))
        return found

    @rule(name=NAMES, answer_lost=st.booleans())
    def submit(self, name: str, answer_lost: bool) -> None:
        year, known = DEADLINES[name], name in self.jobs
        job = CheckHealth(nonce=name, deadline=datetime(year, 1, 1, tzinfo=UTC) if year else None)
        caller = CALLERS[name] or None
        if self.accept(name, year):
            assert self.ledger.submit(job, key=name, caller=caller).created is not known
            if answer_lost:
                assert self.ledger.submit(job, key=name, caller=caller).created is False
        else:
            with pytest.raises(JobRefusedError) as refused:
                self.ledger.submit(job, key=name, caller=caller)
            assert refused.value.failure.details["waiting"] >= MAX_QUEUE_LENGTH

    @rule(owner=st.sampled_from(["n#1/1", "n#1/11"]), limit=st.integers(1, 3), answer_lost=st.booleans())
    def claim(self, owner: str, limit: int, answer_lost: bool) -> None:
        for _, entry in sorted(self.jobs.items()):
            if entry.state is JobState.RUNNING and entry.owner == owner:
                entry.lose_unheard()
                self.join(entry)
        waiting = self.waiting()
        expected: list[str] = []
        for name in self.turns.choose(waiting, limit):
            if self.jobs[name].solo and expected:
                break
            expected.append(name)
            if self.jobs[name].solo:
                break
        if self.turns.ring:
            self.turns.end([self.jobs[name].caller for name in expected])
        claims = self.ledger.claim("predict", owner, limit)
        assert [(claim.job_id, claim.caller or "") for claim in claims] == [
            (name, self.jobs[name].caller) for name in expected
        ]
        for claim in claims:
            entry = self.jobs[claim.job_id]
            entry.state, entry.owner, entry.claim, entry.alone = JobState.RUNNING, owner, claim, len(claims) == 1
            entry.attempt += 1
            assert claim.attempt == entry.attempt <= MAX_ATTEMPTS
        if not answer_lost:
            self.claims += claims

    @rule(data=st.data(), result=st.sampled_from(RESULTS), answer_lost=st.booleans())
    def settle(self, data: st.DataObject, result: HealthReport | Failure, answer_lost: bool) -> None:
        if claim := self.pick(data):
            entry = self.holder(claim)
            told_again = self.jobs[claim.job_id].settled == (claim.fence, result)
            accepted = entry is not None or told_again
            assert self.ledger.settle(claim, result) == accepted
            if answer_lost:
                assert self.ledger.settle(claim, result) == accepted
            if entry:
                entry.state = JobState.FAILED if isinstance(result, Failure) else JobState.SUCCEEDED
                entry.settled = (claim.fence, result)

    @rule(data=st.data(), answer_lost=st.booleans(), solo=st.booleans())
    def release(self, data: st.DataObject, answer_lost: bool, solo: bool) -> None:
        if claim := self.pick(data):
            entry = self.holder(claim)
            accepted = entry is not None or self.jobs[claim.job_id].left == ("release", claim.fence)
            assert self.ledger.release(claim, exclusive=solo) == accepted
            if answer_lost:
                assert self.ledger.release(claim) == accepted
            if entry:
                entry.solo = entry.solo or solo
                entry.requeue(charged=False)
                self.join(entry)
                entry.unheard, entry.left = 0, ("release", claim.fence)

    @rule(data=st.data(), answer_lost=st.booleans())
    def lose(self, data: st.DataObject, answer_lost: bool) -> None:
        if claim := self.pick(data):
            entry = self.holder(claim)
            if entry:
                entry.lose()
                self.join(entry)
                entry.left = ("lose", claim.fence, entry.state)
            left = self.jobs[claim.job_id].left
            state = left[2] if left[:2] == ("lose", claim.fence) else None
            for _ in range(1 + answer_lost):
                assert self.ledger.report_worker_lost(claim.job_id, claim.fence) == state

    @rule(name=NAMES, answer_lost=st.booleans())
    def cancel(self, name: str, answer_lost: bool) -> None:
        entry = self.jobs.get(name)
        if entry and not entry.state.final:
            entry.state = JobState.CANCELLED
        for _ in range(1 + answer_lost):
            assert self.ledger.cancel(name).state is (entry.state if entry else JobState.UNKNOWN)

    @rule(data=st.data(), answer_lost=st.booleans())
    def requeue_dead(self, data: st.DataObject, answer_lost: bool) -> None:
        if not self.jobs:
            return
        name = data.draw(st.sampled_from(sorted(self.jobs)))
        again, known = requeued_job_id(name), requeued_job_id(name) in self.jobs
        year = DEADLINES[name[0]]
        if self.jobs[name].died and self.accept(again, year):
            for created in [not known, False][: 1 + answer_lost]:
                receipt = self.ledger.dead_letters.requeue(name)
                assert (receipt.job_id, receipt.created) == (again, created)
            self.purged.add(name)
        else:
            with pytest.raises(LedgerError):
                self.ledger.dead_letters.requeue(name)

    @rule(data=st.data())
    def purge_dead(self, data: st.DataObject) -> None:
        if self.jobs:
            name = data.draw(st.sampled_from(sorted(self.jobs)))
            assert self.ledger.dead_letters.purge(name) == (name in self.letters())
            if self.jobs[name].died:
                self.purged.add(name)

    @rule()
    def renew_and_reap(self) -> None:
        gone = {claim.job_id for claim in self.claims if not self.holder(claim)}
        assert self.ledger.renew((claim.job_id, claim.fence) for claim in self.claims) == gone
        reaped = self.ledger.reap()
        assert (reaped.requeued, reaped.lost, reaped.expired) == (0, 0, 0)

    @invariant()
    def both_agree(self) -> None:
        states = Counter(entry.state for entry in self.jobs.values())
        assert self.ledger.queue_stats.depths()["predict"] == states[JobState.QUEUED]
        held = {(held.job_id, held.owner) for held in self.ledger.running_jobs()}
        running = {(name, entry.owner) for name, entry in self.jobs.items() if entry.state is JobState.RUNNING}
        assert held == running
        for name, entry in self.jobs.items():
            status = self.ledger.status(name)
            assert (status.state, status.attempt) == (entry.state, entry.attempt)
        assert {job.job_id: job.state for job in self.ledger.job_index.jobs()} == {
            name: entry.state for name, entry in self.jobs.items()
        }
        final = {name for name, entry in self.jobs.items() if entry.state.final}
        stream = self.ledger.server.execute("XRANGE", f"{self.ledger.settings.namespace}:outcomes", "-", "+")
        settled = Counter(fields[b"job"].decode() for _, fields in stream)
        assert settled == Counter(final), "an outcome is missing, or stands twice"
        assert {letter.job_id for letter in self.ledger.dead_letters.newest()} == self.letters()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("ledger_type", "examples"), [(Ledger, 60), (LoopLedger, 20)])
def test_the_ledger_lives_as_its_model(valkey: EmbeddedServer, ledger_type: type[Ledger], examples: int) -> None:
    Life.url, Life.ledger_type = valkey.url, ledger_type
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
