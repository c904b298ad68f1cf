"""Proof that the checker can fail: broken ledgers, and every kind of false evidence, are found out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.contracts.codec import decode_job
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import JobState, JobStatus, Outcome
from ledger.contracts.jobs import CheckHealth, PredictCard
from ledger.contracts.reports import TrainingReport
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.ledger import Claim, Ledger, LedgerSettings
from ledger.server import lua_scripts
from tests.chaos.checker import Cancel, Evidence, PartRecord, Verdict, check
from tests.chaos.jobs import Behaviour, Task, make_training, right_card_report, right_report
from tests.chaos.probe import DOWN
from tests.chaos.run import gather

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE_SECONDS = 2.0

AGAIN = "redis.call('XADD', ns .. 'outcomes', '*', 'job', id)"

# What is wrong with a ledger: script, a line of it, what stands there instead, and how the checker calls it.
BROKEN = {
    "drops the fence": (
        "settle",
        "if job[1] == 'running' and job[2] == fence and not job[9] then",
        "if true then",
        "duplicated",
    ),
    "forgets a lease": ("claim", "redis.call('ZADD', ns .. 'leases', unpack(leases))", "", "hanging"),
    "answers twice": ("settle", "redis.call('XADD',", f"{AGAIN}; redis.call('XADD',", "duplicated"),
    "tells nobody": (
        "settle",
        "redis.call('XADD', ns .. 'outcomes'",
        "redis.call('XADD', ns .. 'prices:x'",
        "unexpected",
    ),
    "loses a job with its worker": (
        "reap",
        "ring_doorbell(requeue(id, false, event, reason))",
        "detach(id); redis.call('DEL', record_key(id))",
        "lost",
    ),
    "accepts a job and does not queue it": (
        "submit",
        "  add_to_queue(queue, place, deadline, first, caller)",
        "",
        "hanging",
    ),
    "charges no loss": ("reap", "requeue(id, false, event, reason)", "requeue(id, true, event, reason)", "unexpected"),
    "gives up too early": ("reap", "attempts < max_attempts", "attempts < 2", "unexpected"),
    "never gives up": ("reap", "attempts < max_attempts", "true", "hanging"),
    "lists an ended job as open": ("settle", "remove_entry(kind_index(kind, 'queued'), id)", "", "unexpected"),
    "lists no ended job": ("settle", "add_entry(kind_index(kind, state), submitted, id)", "", "unexpected"),
    "begins before the time": ("submit", "if begin > now or state then", "if state then", "unexpected"),
    "begins after a job that failed": ("settle", "elseif state ~= 'succeeded' then", "elseif false then", "unexpected"),
    "supersedes nothing": ("submit", "replace(job.id, job.state, id)", "", "unexpected"),
    "keeps no dead letter": ("reap", "redis.call('ZADD', ns .. 'dead', now_text, id)", "", "unexpected"),
}


@pytest.fixture
def ledger_settings(ledger_settings: LedgerSettings) -> LedgerSettings:
    return LedgerSettings(redis_url=ledger_settings.redis_url, namespace=ledger_settings.namespace, lease_seconds=0.1)


def found(verdict: Verdict) -> set[str]:
    return {name for name, findings in vars(verdict).items() if findings}


def play(ledger: Ledger) -> Verdict:
    """Work off some jobs as a small fleet would: some workers die, and some come back with their answer too late."""
    behaviours = [Behaviour.ANSWER] * 12 + [Behaviour.INVALID, Behaviour.KILL_ITSELF]
    asked = [Task(0, number, behaviour, 0.0) for number, behaviour in enumerate(behaviours)]
    begin = datetime.fromtimestamp(ledger.server.time() + 0.1, UTC)
    asked += [
        Task(0, 14, Behaviour.ANSWER, 0.0, not_before=begin),
        Task(0, 15, Behaviour.ANSWER, 0.0, after="chaos-1"),
        Task(0, 16, Behaviour.ANSWER, 0.0, after="chaos-12"),  # which is invalid
        Task(0, 20, Behaviour.CARD, 0.0, priced_at=begin),
        Task(0, 30, Behaviour.CARD, 0.0, priced_at=begin + timedelta(seconds=1)),
    ]
    accepted = {submit(ledger, task): task for task in asked}
    begun: Counter[str] = Counter()
    frozen: list[Claim] = []
    deadline_seconds = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline_seconds and not all(ledger.outcome(job_id) for job_id in accepted):
        ledger.reap()
        for claim in ledger.claim("predict", f"node#1/{begun.total()}"):
            begun[claim.job_id] += 1
            task = accepted[claim.job_id]
            if task.number % 4 == 0 and claim.attempt == 1:
                frozen.append(claim)
            elif task.behaviour is Behaviour.KILL_ITSELF:
                begun[f"{DOWN}{claim.job_id}"] += 1
            else:
                settle(ledger, task, claim)
    gone: list[OutcomesMissedError] = []  # of a ledger that tells nobody
    outcomes = ledger.follow("0", idle_seconds=0.1, on_missed=gone.append)
    followed = {outcome.job_id: outcome for _, outcome in outcomes}
    for claim in frozen:
        settle(ledger, accepted[claim.job_id], claim)
    return check(gather(ledger, accepted, {}, followed, begun, list(followed)))


def submit(ledger: Ledger, task: Task) -> str:
    superseding = task.behaviour is Behaviour.CARD
    options = {"not_before": task.not_before, "after": task.after, "supersede": superseding}
    return ledger.submit(task.job(), key=task.job_id, **options).job_id  # type: ignore[arg-type]


def settle(ledger: Ledger, task: Task, claim: Claim) -> None:
    job = decode_job(claim.payload)
    if isinstance(job, PredictCard):
        ledger.settle(claim, right_card_report(job))
        return
    assert isinstance(job, CheckHealth)
    invalid = Failure(code=FailureCode.INVALID_INPUT, message="the features are wrong")
    ledger.settle(claim, invalid if task.behaviour is Behaviour.INVALID else right_report(job))


def test_the_ledger_keeps_its_promise_in_the_play(ledger: Ledger) -> None:
    assert play(ledger) == Verdict()


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_ledger_is_found_out(fault: str, ledger: Ledger) -> None:
    script, line, instead, count = BROKEN[fault]
    text = lua_scripts.script_texts()[script]
    assert line in text
    ledger.server.scripts[script] = ledger.server.client.register_script(text.replace(line, instead))
    assert count in found(play(ledger))


def evidence(task: Task, cancel: Cancel | None = None, **outcome: Any) -> Evidence:
    """What is known of one job that went well, but for the given fields of its outcome."""
    good = Outcome(
        job_id=task.job_id,
        kind="check_health",
        state=JobState.SUCCEEDED,
        attempt=1,
        submitted_at=NOW,
        settled_at=NOW,
        report=right_report(task.check()),
    )
    ended = replace(good, **outcome)
    return Evidence(
        accepted={task.job_id: task},
        cancels={task.job_id: cancel} if cancel else {},
        followed={task.job_id: ended},
        stream=Counter([task.job_id]),
        statuses={task.job_id: JobStatus(job_id=task.job_id, state=ended.state, attempt=ended.attempt)},
        outcomes={task.job_id: ended},
        dead={task.job_id} if ended.failure and ended.failure.code is FailureCode.WORKER_LOST else set(),
        attempts_begun=Counter([task.job_id]),
        max_attempts=3,
    )


TASK = Task(0, 1, Behaviour.ANSWER, 0.0)
HURRIED = Task(0, 1, Behaviour.HURRY, 0.0, NOW)
LATER = Task(0, 1, Behaviour.HURRY, 0.0, NOW + timedelta(milliseconds=1))


def failed(code: FailureCode, state: JobState = JobState.FAILED, attempt: int = 1) -> Mapping[str, Any]:
    return {"state": state, "attempt": attempt, "report": None, "failure": Failure(code=code, message="so it is")}


EXPIRED = failed(FailureCode.EXPIRED, JobState.EXPIRED)
CANCELLED = failed(FailureCode.CANCELLED, JobState.CANCELLED)


@pytest.mark.parametrize(
    ("task", "cancel", "outcome", "kept"),
    [
        (TASK, None, {}, True),
        (TASK, None, {"attempt": 3}, True),
        (TASK, None, {"attempt": 4}, False),
        (TASK, None, {"report": right_report(HURRIED.check())}, False),
        (TASK, None, {"state": JobState.FAILED}, False),
        (TASK, None, failed(FailureCode.INTERNAL), False),
        (TASK, None, failed(FailureCode.WORKER_LOST, attempt=3), False),
        (TASK, None, CANCELLED, False),
        (TASK, Cancel.ASKED, CANCELLED, True),
        (TASK, Cancel.ASKED, {}, True),
        (TASK, Cancel.CONFIRMED, CANCELLED, True),
        (TASK, Cancel.CONFIRMED, {}, False),
        (HURRIED, None, EXPIRED, True),
        (HURRIED, None, {}, False),
        (LATER, None, {}, True),
        (LATER, None, EXPIRED, False),
        (Task(0, 1, Behaviour.OS_EXIT, 0.0), None, failed(FailureCode.WORKER_LOST, attempt=3), True),
        (Task(0, 1, Behaviour.OS_EXIT, 0.0), None, failed(FailureCode.WORKER_LOST, attempt=2), False),
    ],
)
def test_each_ending_is_judged(task: Task, cancel: Cancel | None, outcome: dict[str, Any], *, kept: bool) -> None:
    verdict = check(evidence(task, cancel, **outcome))
    assert (verdict.kept, found(verdict)) == (kept, set() if kept else {"unexpected"})


TRAINING = make_training(0, 1, Path("league"), part_refits=1)
TRAINED = TrainingReport(
    model="a" * 64,
    alias=None,
    data_digest="b" * 64,
    data_cutoff=NOW.date(),
    fights=450,
    events=40,
    features=1,
    bootstrap_samples=12,
    interval_method="none",
    metrics={},
    bundle_bytes=1,
)


@pytest.mark.parametrize(
    ("right", "parts", "count"),
    [
        ("a", [(JobState.SUCCEEDED, 1), (JobState.CANCELLED, 3)], None),
        ("c", [(JobState.SUCCEEDED, 1)], "unexpected"),
        ("a", [(JobState.SUCCEEDED, 4)], "unexpected"),
        ("a", [(JobState.FAILED, 1)], "unexpected"),
        ("a", [(JobState.QUEUED, 1)], "hanging"),
        ("a", [(JobState.RUNNING, 1)], "hanging"),
    ],
)
def test_a_training_is_judged_by_its_model_and_its_parts(
    right: str, parts: list[tuple[JobState, int]], count: str | None
) -> None:
    known = evidence(TRAINING, report=TRAINED)
    records = [PartRecord(f"part-{place}", TRAINING.job_id, *part) for place, part in enumerate(parts)]
    known = Evidence(**{**vars(known), "models": {TRAINING.job_id: right * 64}, "parts": records})
    assert found(check(known)) == ({count} if count else set())


def changed(**fields: Any) -> Evidence:
    return Evidence(**{**vars(evidence(TASK)), **fields})


@pytest.mark.parametrize(
    ("altered", "count"),
    [
        (lambda: changed(statuses={TASK.job_id: JobStatus(job_id=TASK.job_id, state=JobState.UNKNOWN)}), "lost"),
        (lambda: changed(outcomes={TASK.job_id: None}), "hanging"),
        (lambda: changed(stream=Counter([TASK.job_id] * 2)), "duplicated"),
        (lambda: changed(stream=Counter()), "unexpected"),
        (lambda: changed(stream=Counter([TASK.job_id, "stranger"])), "unexpected"),
        (lambda: changed(followed={}), "unexpected"),
        (lambda: changed(followed=evidence(TASK, attempt=2).outcomes), "unexpected"),
        (lambda: changed(attempts_begun=Counter()), "unexpected"),
        (lambda: changed(dead={TASK.job_id}), "unexpected"),
        (lambda: changed(taken_down=Counter({TASK.job_id: 4})), "unexpected"),
    ],
)
def test_each_contradiction_is_counted(altered: Callable[[], Evidence], count: str) -> None:
    assert found(check(altered())) == {count}


@pytest.mark.parametrize(
    ("posted", "counts"),
    [
        (None, set()),
        (["chaos-1", "chaos-2", "chaos-11"], set()),
        (["chaos-2", "chaos-1", "chaos-11"], set()),
        (["chaos-1", "chaos-11", "chaos-1", "chaos-2"], set()),
        (["chaos-1", "chaos-11"], {"lost"}),
        (["chaos-11", "chaos-1", "chaos-2"], {"unexpected"}),
    ],
)
def test_deliveries_are_counted_and_their_order_by_card(posted: list[str] | None, counts: set[str]) -> None:
    order = ["chaos-1", "chaos-2", "chaos-11"]
    assert found(check(changed(order=order, posted=posted))) == counts
