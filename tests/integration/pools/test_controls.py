"""What an operator sets acts on running pools within two seconds, without a restart, and loses no job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.contracts.controls import ControlValue
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger
from ledger.operations.control_store import ControlChange

WAIT_SECONDS = 30
WITHIN_SECONDS = 2.0


def ask(ledger: Ledger, nonce: str) -> str:
    return ledger.submit(CheckHealth(nonce=nonce)).job_id


def set_now(ledger: Ledger, **values: ControlValue | None) -> ControlChange:
    (first, *_) = ledger.controls.set(
        {name.replace("_of_", "."): value for name, value in values.items()}, user="ann@desk", reason="a test"
    )
    return first


def open_gate(ledger: Ledger) -> None:
    ledger.submit(CheckHealth(nonce="gate"), key="gate")


def answered_by(outcome: Outcome) -> int:
    assert isinstance(outcome.report, HealthReport)
    return int(outcome.report.checks[0].detail)


def announced(ledger: Ledger, node: str, **expected: object) -> bool:
    found = [pool for pool in ledger.pools.alive() if pool["node"] == node]
    return bool(found) and all(found[0][name] == value for name, value in expected.items())


def test_a_paused_queue_takes_jobs_and_hands_none_out(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2, CORNERMAN_NODE="a", CORNERMAN_HEARTBEAT_SECONDS="0.2")
    running = ask(ledger, "until_gate")
    until(lambda: ledger.status(running).progress)
    set_now(ledger, pause_of_predict=True)
    waiting = [ask(ledger, f"answer:{number}") for number in range(5)]
    until(lambda: announced(ledger, "a", stopped=["predict"]), WITHIN_SECONDS)
    until(lambda: "Canceling queue predict" in pool.log.read_text(), WITHIN_SECONDS)
    open_gate(ledger)
    assert ledger.wait(running, WAIT_SECONDS).state is JobState.SUCCEEDED
    until(lambda: announced(ledger, "a", busy=0))
    assert {ledger.status(job_id).attempt for job_id in waiting} == {0}
    resumed = set_now(ledger, pause_of_predict=None)
    outcomes = [ledger.wait(job_id, WAIT_SECONDS) for job_id in waiting]
    assert {outcome.state for outcome in outcomes} == {JobState.SUCCEEDED}
    assert (min(outcome.settled_at for outcome in outcomes) - resumed.at).total_seconds() < WITHIN_SECONDS


def test_pausing_often_does_not_make_a_pool_deaf(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_SUPERVISOR_INTERVAL_SECONDS="0.05")
    for turn in range(1, 4):
        set_now(ledger, pause_of_predict=True)
        job_id = ask(ledger, f"answer:{turn}")  # whose doorbell may be popped already
        until(lambda turn=turn: pool.log.read_text().count("Canceling queue predict") == turn)
        set_now(ledger, pause_of_predict=None)
        until(lambda turn=turn: pool.log.read_text().count("Started consuming from predict") == turn)
        assert ledger.wait(job_id, WAIT_SECONDS).state is JobState.SUCCEEDED


def test_a_drained_node_leaves_the_work_and_the_doorbells_to_the_others(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    fast = {"CORNERMAN_HEARTBEAT_SECONDS": "0.2"}
    drained = start_pool(concurrency=1, CORNERMAN_NODE="a", **fast)
    running = ask(ledger, "until_gate")
    until(lambda: ledger.status(running).progress)
    other = start_pool(concurrency=1, CORNERMAN_NODE="b", **fast)
    set_now(ledger, drain_of_a=True)
    until(lambda: announced(ledger, "a", stopped=["predict"]), WITHIN_SECONDS)
    until(lambda: "Canceling queue predict" in drained.log.read_text(), WITHIN_SECONDS)
    open_gate(ledger)
    assert answered_by(ledger.wait(running, WAIT_SECONDS)) in {child.pid for child in drained.children()}
    until(lambda: announced(ledger, "a", busy=0))
    outcomes = [ledger.wait(ask(ledger, f"answer:{number}"), WAIT_SECONDS) for number in range(10)]
    (child,) = other.children()
    assert {answered_by(outcome) for outcome in outcomes} == {child.pid}
    assert drained.stop() == 0  # as one does with a node that is drained
    until(lambda: len(ledger.pools.alive()) == 1)
    again = start_pool(concurrency=1, CORNERMAN_NODE="a", **fast)  # and what is started there stays drained
    assert announced(ledger, "a", stopped=["predict"])
    set_now(ledger, drain_of_a=None, drain_of_b=True)
    until(lambda: announced(ledger, "b", stopped=["predict"]) and announced(ledger, "a", stopped=[]))
    (child,) = again.children()
    assert answered_by(ledger.wait(ask(ledger, "answer:again"), WAIT_SECONDS)) == child.pid


def test_a_pool_grows_and_shrinks_and_no_busy_child_goes(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_HEARTBEAT_SECONDS="0.2")

    def scale(children: int | None) -> None:
        set_now(ledger, min_children_of_predict=children, max_children_of_predict=children)

    scale(3)
    until(lambda: len(pool.children()) == 3, WITHIN_SECONDS)
    running = [ask(ledger, f"until_gate:{number}") for number in range(3)]
    until(lambda: all(ledger.status(job_id).progress for job_id in running))
    busy = {child.pid for child in pool.children()}
    scale(1)
    until(lambda: ledger.server.time() > ledger.controls.changes()[0].at.timestamp() + WITHIN_SECONDS)
    assert {child.pid for child in pool.children()} == busy
    open_gate(ledger)
    outcomes = [ledger.wait(job_id, WAIT_SECONDS) for job_id in running]
    assert {(outcome.state, outcome.attempt) for outcome in outcomes} == {(JobState.SUCCEEDED, 1)}
    assert {answered_by(outcome) for outcome in outcomes} == busy
    until(lambda: len(pool.children()) == 1, WITHIN_SECONDS)
    assert {child.pid for child in pool.children()} < busy
    scale(2)
    until(lambda: len(pool.children()) == 2, WITHIN_SECONDS)
    scale(None)
    until(lambda: len(pool.children()) == 1, WITHIN_SECONDS)
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED
    assert pool.stop() == 0
