from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace as with_settings
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from unittest.mock import ANY

import pytest
from msgspec.structs import replace

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, ReviewModel
from ledger.contracts.reports import HealthReport
from ledger.contracts.schedules import MAX_SCHEDULES, Schedule
from ledger.ledger import Ledger, LedgerSettings
from ledger.schedules.due_runs import run_id_of
from ledger.schedules.schedule_store import (
    ScheduleConflictError,
    UnknownScheduleError,
    UnreadableScheduleError,
    milliseconds,
)

BY = {"user": "ann@desk", "reason": "a test"}
NIGHTLY = Schedule(name="nightly", cron="30 2 * * *", zone="Europe/Berlin", jobs=(ReviewModel(),))
HOURLY = Schedule(name="hourly", cron="7 * * * *", jobs=(CheckHealth(),))
HEALTHY = HealthReport(status="healthy", checks=(), memory_mb=1.0)

Settle = Callable[..., None]


def set_decided(ledger: Ledger, name: str, moment: datetime) -> None:
    """Let a schedule stand as after an outage that began at a moment."""
    ledger.server.execute("HSET", ledger.server.key("schedule", name), "done", milliseconds(moment))


def now_of(ledger: Ledger) -> datetime:
    return datetime.fromtimestamp(ledger.server.time(), UTC)


def overdue(ledger: Ledger, schedule: Schedule, **ago: float) -> None:
    """Put a schedule that no pool has looked at for some time."""
    ledger.schedules.put(schedule, **BY)
    set_decided(ledger, schedule.name, now_of(ledger) - timedelta(**ago))


@pytest.fixture
def settle(ledger: Ledger) -> Settle:
    def run(queue: str, failure: JobRefusedError | None = None) -> None:
        (claim,) = ledger.claim(queue, "test#1/1")
        ledger.settle(claim, HEALTHY if failure is None else failure.failure)

    return run


def test_a_schedule_is_put_read_and_changed_with_an_audit_trail(ledger: Ledger) -> None:
    created = ledger.schedules.put(NIGHTLY, **BY)
    assert created.schedule == NIGHTLY
    assert created.next_slot is not None
    assert created.next_slot.minute == 30
    assert (created.late_seconds, created.last_run, created.last_failure) == (0.0, None, None)
    assert ledger.schedules.put(NIGHTLY, **BY) == created  # nothing was changed
    changed = ledger.schedules.put(replace(NIGHTLY, catch_up="all"), user="bob", reason="more")
    assert changed.revision > created.revision
    assert changed.decided_until == created.decided_until  # what was due before is still due
    ledger.schedules.pause("nightly", user="ann", reason="holidays")
    assert ledger.schedules.get("nightly").next_slot is None
    ledger.schedules.resume("nightly", user="ann", reason="back")
    assert ledger.schedules.get("nightly").decided_until > changed.decided_until
    ledger.schedules.remove("nightly", user="ann", reason="over")
    assert ledger.schedules.list() == []
    trail = ledger.schedules.changes()
    assert [(entry.what, entry.who) for entry in trail] == [
        ("removed", "ann"),
        ("resumed", "ann"),
        ("paused", "ann"),
        ("changed", "bob"),
        ("created", "ann@desk"),
    ]
    assert trail[3].before == NIGHTLY
    assert trail[3].after == changed.schedule
    assert [entry.what for entry in ledger.schedules.changes(1, "nightly")] == ["removed"]
    assert ledger.schedules.changes(5, "other") == []


def test_of_two_who_read_the_same_schedule_one_changes_it(ledger: Ledger) -> None:
    with pytest.raises(ScheduleConflictError, match="does not exist by now"):
        ledger.schedules.put(NIGHTLY, expected_revision=7, **BY)
    read = ledger.schedules.put(NIGHTLY, expected_revision=0, **BY).revision
    ledger.schedules.put(replace(NIGHTLY, zone="UTC"), expected_revision=read, **BY)
    for change in (
        lambda: ledger.schedules.put(NIGHTLY, expected_revision=read, **BY),
        lambda: ledger.schedules.pause("nightly", expected_revision=read, **BY),
        lambda: ledger.schedules.remove("nightly", expected_revision=read, **BY),
    ):
        with pytest.raises(ScheduleConflictError, match="nothing was changed"):
            change()
    assert ledger.schedules.get("nightly").schedule.zone == "UTC"


@pytest.mark.parametrize("call", ["get", "history", "pause", "remove", "run_now"])
def test_a_schedule_that_does_not_exist_is_named(ledger: Ledger, call: str) -> None:
    audit = {} if call in ("get", "history") else BY
    with pytest.raises(UnknownScheduleError, match="no schedule 'none'"):
        getattr(ledger.schedules, call)("none", **audit)


def test_there_are_only_so_many_schedules(ledger: Ledger) -> None:
    for number in range(MAX_SCHEDULES):
        ledger.schedules.put(replace(NIGHTLY, name=f"s{number}"), **BY)
    with pytest.raises(JobRefusedError, match="100 schedules already"):
        ledger.schedules.put(NIGHTLY, **BY)
    ledger.schedules.put(replace(NIGHTLY, name="s7", zone="UTC"), **BY)  # a change of one is no more


def test_a_due_slot_is_submitted_once_by_however_many_pools(ledger: Ledger, settle: Settle) -> None:
    overdue(ledger, NIGHTLY, days=1)
    pools = [ledger.due_runs() for _ in range(3)]
    looks = [pool.look() for pool in pools]
    (run,) = [run for look in looks for run in look.runs]
    assert (run.state, run.run_id, run.job_ids) == ("submitted", run_id_of("nightly", run.slot), (run.run_id,))
    assert all(look.wait_seconds is not None and look.wait_seconds > 0 for look in looks)
    assert ledger.job_records.job(run.run_id) == ReviewModel()
    assert ledger.schedules.get("nightly").last_run == run
    assert pools[0].note_outcomes() == []
    settle("monitor")
    assert ledger.schedules.history("nightly")[0].state == "succeeded"  # also before a pool has noted it
    (ended,) = pools[0].note_outcomes()
    assert (ended.state, pools[1].note_outcomes()) == ("succeeded", [])
    assert ledger.schedules.history("nightly") == [ended]
    status = ledger.schedules.get("nightly")
    assert (status.last_run, status.last_failure) == (ended, None)


@pytest.mark.parametrize(
    ("catch_up", "states"),
    [
        ("skip", ["skipped"]),
        ("last", ["submitted", "skipped"]),
        ("all", ["submitted", "submitted", "submitted", "skipped"]),
    ],
)
def test_missed_slots_are_caught_up_by_the_rule(ledger: Ledger, catch_up: str, states: list[str]) -> None:
    half_an_hour_ago = f"{(now_of(ledger).minute + 30) % 60} * * * *"
    overdue(ledger, replace(HOURLY, cron=half_an_hour_ago, catch_up=catch_up, max_catch_up=3), hours=30)
    ledger.due_runs().look()
    runs = ledger.schedules.history("hourly")
    assert [run.state for run in runs] == states
    assert sum(run.slots for run in runs) == 30
    for newer, older in pairwise(runs):
        assert newer.slot - (older.through or older.slot) == timedelta(hours=1)


def test_slots_that_pass_during_a_pause_are_not_caught_up(ledger: Ledger) -> None:
    overdue(ledger, replace(HOURLY, catch_up="all"), hours=5)
    ledger.schedules.pause("hourly", **BY)
    assert ledger.due_runs().look().runs == ()
    set_decided(ledger, "hourly", now_of(ledger) - timedelta(hours=5))
    ledger.schedules.resume("hourly", **BY)
    look = ledger.due_runs().look()
    assert look.runs == ()
    assert look.wait_seconds is not None


@pytest.fixture
def narrow(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    """A ledger whose queues take one job, with one in the queue of predictions."""
    opened = Ledger.connect(with_settings(ledger_settings, max_queue_length=1))
    opened.submit(CheckHealth(), key="in the way")
    yield opened
    opened.close()


def test_a_full_queue_is_tried_again_until_there_is_room(narrow: Ledger) -> None:
    overdue(narrow, HOURLY, hours=1)
    pool = narrow.due_runs()
    (refused,) = pool.look().runs
    assert (refused.state, refused.code, refused.tries) == ("refused", FailureCode.MEMORY_LIMIT_EXCEEDED, 1)
    assert "CORNERMAN_MAX_QUEUE_LENGTH" in refused.message
    assert narrow.due_runs().look().runs[0].tries == 2
    assert narrow.schedules.history("hourly")[0].state == "refused"
    assert narrow.schedules.get("hourly").late_seconds > 0
    narrow.cancel("in the way")
    (run,) = pool.look().runs
    assert (run.state, run.slot, run.tries) == ("submitted", refused.slot, 2)
    assert [entry.state for entry in narrow.schedules.history("hourly")] == ["submitted"]


def test_a_slot_that_is_refused_until_the_next_one_is_missed(narrow: Ledger) -> None:
    narrow.schedules.put(replace(HOURLY, cron="* * * * * *", catch_up="skip"), **BY)
    pool = narrow.due_runs()
    while not (first := pool.look().runs):
        pass
    assert first[-1].state == "refused"
    while (later := pool.look().runs)[-1].slot == first[-1].slot:
        pass
    assert later[0] == replace(first[-1], state="missed", tries=later[0].tries, decided_at=ANY, ended_at=ANY)
    assert narrow.schedules.get("hourly").last_failure == later[0]
    narrow.cancel("in the way")
    while pool.look().runs[-1:] == [] or narrow.schedules.history("hourly", 1)[0].state != "submitted":
        pass
    (claim,) = narrow.claim("predict", "test#1/1")
    narrow.settle(claim, HEALTHY)
    assert [run.state for run in pool.note_outcomes()][:1] == ["succeeded"]
    assert narrow.schedules.get("hourly").last_failure is None


def test_a_job_that_can_no_longer_be_submitted_is_a_failed_run(ledger: Ledger) -> None:
    over = now_of(ledger) + timedelta(hours=2)
    overdue(ledger, replace(HOURLY, jobs=(CheckHealth(deadline=over),)), hours=1)
    key = ledger.server.key("schedule", "hourly")
    text = ledger.server.execute("HGET", key, "definition")
    past = f"{over - timedelta(days=1):%Y-%m-%dT%H}"
    ledger.server.execute("HSET", key, "definition", text.replace(f"{over:%Y-%m-%dT%H}".encode(), past.encode()))
    (run,) = ledger.due_runs().look().runs
    assert (run.state, run.code, run.job_ids) == ("failed", FailureCode.EXPIRED, ())
    assert "deadline" in run.message
    status = ledger.schedules.get("hourly")
    assert (status.last_failure, status.late_seconds) == (run, 0.0)
    assert ledger.due_runs().look().runs == ()


def test_the_outcome_of_a_job_becomes_that_of_the_run(ledger: Ledger, settle: Settle) -> None:
    overdue(ledger, HOURLY, hours=1)
    pool = ledger.due_runs()
    pool.look()
    settle("predict", job_refused("no such model", FailureCode.MODEL_NOT_FOUND))
    (run,) = pool.note_outcomes()
    assert (run.state, run.code, run.message) == ("failed", "model_not_found", "check_health: no such model")
    assert ledger.schedules.get("hourly").last_failure == run
    by_hand = ledger.schedules.run_now("hourly", **BY)
    settle("predict")
    assert [ended.run_id for ended in pool.note_outcomes()] == [by_hand.run_id]
    assert ledger.schedules.get("hourly").last_failure is None


def test_an_outcome_that_is_gone_before_it_was_noted_is_forgotten(ledger: Ledger, settle: Settle) -> None:
    overdue(ledger, HOURLY, hours=1)
    pool = ledger.due_runs()
    (run,) = pool.look().runs
    settle("predict")
    ledger.server.execute("DEL", ledger.server.key("job", run.run_id))
    assert [ended.state for ended in pool.note_outcomes()] == ["forgotten"]
    set_decided(ledger, "hourly", run.slot - timedelta(seconds=1))
    assert ledger.due_runs().look().runs[0].state == "submitted"  # as a job of that id is unknown by now


def test_a_run_by_hand_is_no_slot_and_is_audited(ledger: Ledger, settle: Settle) -> None:
    ledger.schedules.put(replace(HOURLY, paused=True, deadline_seconds=60), **BY)
    before = ledger.schedules.get("hourly")
    run = ledger.schedules.run_now("hourly", user="bob", reason="at once")
    assert (run.manual, run.state) == (True, "submitted")
    job = ledger.job_records.job(run.run_id)
    assert job.deadline == run.slot + timedelta(seconds=60)
    after = ledger.schedules.get("hourly")
    assert (after.decided_until, after.revision, after.last_run) == (before.decided_until, before.revision, run)
    entry = ledger.schedules.changes(1)[0]
    assert (entry.what, entry.who, entry.why, entry.before, entry.after) == ("run", "bob", "at once", None, None)


def test_a_run_by_hand_that_the_ledger_refuses_is_none(narrow: Ledger) -> None:
    narrow.schedules.put(HOURLY, **BY)
    with pytest.raises(JobRefusedError, match="CORNERMAN_MAX_QUEUE_LENGTH"):
        narrow.schedules.run_now("hourly", **BY)
    assert narrow.schedules.history("hourly") == []


def test_slots_whose_deadline_has_passed_are_skipped(ledger: Ledger) -> None:
    daily = replace(HOURLY, cron="0 * * * *", catch_up="all", max_catch_up=100, deadline_seconds=3 * 3600.0)
    overdue(ledger, daily, hours=10)
    ledger.due_runs().look()
    runs = ledger.schedules.history("hourly")
    assert [run.state for run in runs] == ["submitted"] * 3 + ["skipped"]
    assert sum(run.slots for run in runs) == 10


def test_the_history_keeps_the_newest_runs(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.schedules.slot_submission.MAX_RUNS", 4)
    overdue(ledger, replace(HOURLY, catch_up="all"), hours=7)
    submitted = ledger.due_runs().look().runs
    kept = ledger.schedules.history("hourly")
    assert [run.run_id for run in kept] == [run.run_id for run in reversed(submitted[-4:])]
    assert ledger.server.execute("HLEN", ledger.server.key("schedule", "hourly", "runs")) == 4
    assert ledger.due_runs().note_outcomes() == []  # what the history has lost is not looked for any more
    assert len(ledger.server.execute("HGETALL", ledger.server.key("schedules", "open"))) == 4


def test_a_removed_schedule_leaves_nothing_but_its_jobs_and_changes(ledger: Ledger) -> None:
    overdue(ledger, HOURLY, hours=1)
    (run,) = ledger.due_runs().look().runs
    pool = ledger.due_runs()
    pool.look()
    ledger.schedules.remove("hourly", **BY)
    assert pool.look().wait_seconds is None
    left = {
        key.decode().removeprefix(f"{ledger.settings.namespace}:")
        for key in ledger.server.client.keys(f"{ledger.settings.namespace}:schedule*")
    }
    assert left == {"schedules:changes", "schedules:revision"}
    assert ledger.status(run.run_id).state is JobState.QUEUED


def test_a_schedule_of_a_newer_version_is_reported_and_left_alone(ledger: Ledger) -> None:
    overdue(ledger, HOURLY, hours=1)
    overdue(ledger, NIGHTLY, days=1)
    key = ledger.server.key("schedule", "hourly")
    text = ledger.server.execute("HGET", key, "definition")
    ledger.server.execute("HSET", key, "definition", text.replace(b"check_health", b"check_moon"))
    with pytest.raises(UnreadableScheduleError, match="hourly is of a newer version"):
        ledger.schedules.get("hourly")
    pool = ledger.due_runs()
    look = pool.look()
    assert [run.state for run in look.runs] == ["submitted"]  # the other one
    assert "newer version" in look.errors["hourly"]
    assert pool.look().errors == {}


def test_slots_after_the_clock_was_set_back_are_not_submitted_again(ledger: Ledger) -> None:
    ledger.schedules.put(HOURLY, **BY)
    set_decided(ledger, "hourly", now_of(ledger) + timedelta(hours=5))
    look = ledger.due_runs().look()
    assert look.runs == ()
    assert look.wait_seconds is not None
    assert look.wait_seconds > 5 * 3600
    assert ledger.schedules.get("hourly").ahead_seconds == pytest.approx(5 * 3600, abs=60)


def test_several_jobs_are_a_chain_with_one_outcome(ledger: Ledger, settle: Settle) -> None:
    chain = replace(HOURLY, jobs=(CheckHealth(), ReviewModel(), CheckHealth(nonce="last")), deadline_seconds=7200.0)
    overdue(ledger, chain, hours=1)
    pool = ledger.due_runs()
    (run,) = pool.look().runs
    assert run.job_ids == (run.run_id, f"{run.run_id}/2", f"{run.run_id}/3")
    assert ledger.chains.status(run.run_id).step == 1
    settle("predict")
    settle("monitor")
    assert pool.note_outcomes() == []
    settle("predict")
    assert [ended.state for ended in pool.note_outcomes()] == ["succeeded"]

    by_hand = ledger.schedules.run_now("hourly", **BY)
    settle("predict")
    settle("monitor", job_refused("nothing to review", FailureCode.INTERNAL))
    (failed,) = pool.note_outcomes()
    assert (failed.run_id, failed.state) == (by_hand.run_id, "failed")
    assert failed.message == "review_model: nothing to review"


def test_runs_that_go_on_do_not_hide_the_end_of_others(
    ledger: Ledger, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.schedules.due_runs.MAX_OPEN_LOOKED_AT", 2)
    overdue(ledger, replace(HOURLY, name="a", catch_up="all"), hours=5)
    overdue(ledger, replace(HOURLY, name="b", jobs=(ReviewModel(),)), hours=1)
    pool = ledger.due_runs()
    pool.look()
    settle("monitor")
    assert "b" in {run.run_id[0] for _ in range(3) for run in pool.note_outcomes()}
