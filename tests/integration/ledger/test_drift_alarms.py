"""Alarms on a real server: raised once, cleared in one step, and never brought back by who was slower."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ledger.contracts.failures import JobRefusedError
from ledger.ledger import Ledger
from ledger.models.drift_alarms import DriftAlarm
from workers.handlers.monitoring.alarm_actions import apply_action

A, B = "a" * 64, "b" * 64
BY = {"user": "ann@desk", "reason": "a test"}
ALARM = DriftAlarm(model=A, findings=(), fights=9, raised_at=datetime(2026, 1, 1, tzinfo=UTC), job_id="review")
ACTED = replace(ALARM, acted=True, action="abstain", said="done")


def test_one_alarm_stands_about_a_model_and_is_marked(ledger: Ledger) -> None:
    assert ledger.drift_alarms.raise_alarm(ALARM) == ALARM
    assert ledger.drift_alarms.raise_alarm(replace(ALARM, job_id="another")) == ALARM
    ledger.drift_alarms.mark_acted(ACTED)
    assert ledger.drift_alarms.active() == [ACTED]


def test_clearing_takes_back_the_alarm_and_what_it_did_together(ledger: Ledger) -> None:
    ledger.drift_alarms.raise_alarm(ALARM)
    ledger.controls.set({f"abstain.{A}": True}, alarm=A, **BY)
    before_us = ledger.server.time() * 1e6
    assert ledger.drift_alarms.clear(A, **BY) == ALARM
    assert ledger.drift_alarms.active() == []
    assert not ledger.controls.current().flag(f"abstain.{A}")
    assert before_us <= ledger.drift_alarms.cleared_at(A) <= ledger.server.time() * 1e6
    change = ledger.controls.changes()[0]
    assert (change.name, change.before, change.after, change.who) == (f"abstain.{A}", "on", None, "ann@desk")
    assert change.evidence is not None
    assert change.evidence["alarm"]["job_id"] == "review"
    with pytest.raises(JobRefusedError, match="no drift alarm stands for model a"):
        ledger.drift_alarms.clear(A, **BY)


def test_who_acts_on_an_alarm_that_is_cleared_meanwhile_changes_nothing(ledger: Ledger) -> None:
    ledger.drift_alarms.raise_alarm(ALARM)
    ledger.drift_alarms.clear(A, **BY)
    with pytest.raises(JobRefusedError, match="nothing was changed"):
        ledger.controls.set({f"abstain.{A}": True}, alarm=A, **BY)
    ledger.drift_alarms.mark_acted(ACTED)
    assert ledger.drift_alarms.active() == []
    assert not ledger.controls.current().flag(f"abstain.{A}")


def test_of_two_who_clear_an_alarm_one_is_told_that_it_is_gone(ledger: Ledger) -> None:
    ledger.drift_alarms.raise_alarm(ALARM)
    said = ("ann", "seen", "", "")
    assert len(ledger.controls.apply_change(said, {f"abstain.{A}": ""}, {}, alarm=A, clear=True)) == 1
    cleared_us = ledger.drift_alarms.cleared_at(A)
    with pytest.raises(JobRefusedError, match="no drift alarm stands"):
        ledger.controls.apply_change(said, {f"abstain.{A}": ""}, {}, alarm=A, clear=True)
    assert (ledger.drift_alarms.cleared_at(A), len(ledger.controls.changes())) == (cleared_us, 1)


@pytest.mark.parametrize(("done_before", "action"), [(True, "rollback"), (False, "abstain")])
def test_a_review_that_ended_after_its_rollback_is_made_good_without_another_step(
    ledger: Ledger, done_before: bool, action: str
) -> None:
    """The champion is another model then, about which there is nothing to roll back: that was done for this alarm."""
    for digest in (B, A):
        ledger.models.register(digest, {})
        ledger.aliases.set("champion", digest, **BY)
    ledger.controls.set({"on_alarm": "rollback"}, **BY)
    ledger.drift_alarms.raise_alarm(ALARM)
    evidence = {"alarm": msgspec.to_builtins(ALARM if done_before else replace(ALARM, job_id="an older one"))}
    ledger.aliases.roll_back("champion", verify=lambda _: None, evidence=evidence, alarm=A, **BY)
    context: Any = SimpleNamespace(ledger=ledger, claim=SimpleNamespace(controls=ledger.controls.current()))
    acted = apply_action(ALARM, context)
    assert (acted.acted, acted.action) == (True, action)
    assert ledger.controls.current().flag(f"abstain.{A}") is not done_before
    assert ledger.aliases.resolve("champion") == B


def test_a_review_whose_alarm_was_cleared_meanwhile_says_that_nothing_was_changed(ledger: Ledger) -> None:
    ledger.controls.set({"on_alarm": "abstain"}, **BY)
    context: Any = SimpleNamespace(ledger=ledger, claim=SimpleNamespace(controls=ledger.controls.current()))
    acted = apply_action(ALARM, context)
    assert acted.action == "none"
    assert "nothing was changed" in acted.said
    assert not ledger.controls.current().flag(f"abstain.{A}")
    assert ledger.drift_alarms.active() == []
