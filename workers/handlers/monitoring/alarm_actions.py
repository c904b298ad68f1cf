"""Actions on a drift alarm: a pure rule that chooses the action, and the changes that apply it.

An action that cannot be applied does not fail the review: the alarm records the reason.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import msgspec
from msgspec import Struct

from ledger.contracts.failures import JobRefusedError
from ledger.contracts.job_reports.monitoring_reports import ActionTaken
from ledger.models.aliases import CHAMPION, MAX_MOVES, alias_stack
from ledger.models.drift_alarms import DriftAlarm
from ledger.operations.control_store import ControlChange, ControlConflictError
from workers.jobs.context import JobContext
from workers.models.verification import local_verifier


class AlarmAction(Struct, frozen=True):
    """An action on a drift alarm with its reason; `to_model` is the target of a rollback."""

    action: ActionTaken
    detail: str
    to_model: str | None = None


def choose_action(
    setting: str, model: str, champion: str | None, earlier: Sequence[str], alarmed: Set[str]
) -> AlarmAction:
    """Choose the action on a drift alarm of `model`.

    Parameters
    ----------
    setting : str
        The control `on_alarm`.
    model : str
        The digest of the model.
    champion : str or None
        The digest of the present champion.
    earlier : sequence of str
        Former champions, the newest first.
    alarmed : set of str
        Models with an active alarm; they are no targets of a rollback.
    """
    if setting == "none":
        return AlarmAction("none", "on_alarm is none: nothing was changed")
    if setting == "rollback" and champion != model:
        return AlarmAction(
            "abstain", "the model is not the champion, so there is nothing to roll back: the model abstains"
        )
    if setting == "rollback":
        for candidate in earlier:
            if candidate != model and candidate not in alarmed:
                return AlarmAction("rollback", f"the champion is {candidate[:12]} again", candidate)
        return AlarmAction(
            "abstain", "there is no earlier champion without an alarm to roll back to: the model abstains"
        )
    return AlarmAction("abstain", "all decisions of the model are to abstain until the alarm is cleared")


def apply_action(alarm: DriftAlarm, context: JobContext) -> DriftAlarm:
    """Apply the action on a drift alarm, and record it in the alarm."""
    ledger = context.ledger
    changes = ledger.aliases.history(CHAMPION, MAX_MOVES)
    origins = ledger.models.origins()
    champion = ledger.aliases.resolve(CHAMPION)
    alarmed = {other.model for other in ledger.drift_alarms.active()}
    before = alias_stack(reversed(changes))[-2::-1]
    # An update has the members of the model that the alarm is about.
    earlier = [digest for digest in before if origins.get(digest, digest) not in alarmed]
    action = choose_action(
        context.claim.controls.choice("on_alarm") or "none",
        alarm.model,
        None if champion is None else origins.get(champion, champion),
        earlier,
        alarmed,
    )
    if (earlier_rollback := _earlier_rollback(alarm, changes)) is not None:
        action = earlier_rollback
    elif action.action == "rollback":
        action = _roll_back(alarm, action, champion, context)
    if action.action == "abstain" and not ledger.controls.current().flag(f"abstain.{alarm.model}"):
        try:
            ledger.controls.set({f"abstain.{alarm.model}": True}, **_audit_fields(alarm))
        except JobRefusedError as error:  # an operator may have cleared it meanwhile
            action = AlarmAction("none", str(error)[:1000])
    done = msgspec.structs.replace(alarm, acted=True, action=action.action, said=action.detail)
    ledger.drift_alarms.mark_acted(done)
    return done


def _earlier_rollback(alarm: DriftAlarm, changes: Sequence[ControlChange]) -> AlarmAction | None:
    """Return the rollback of an earlier attempt of this review that ended before it was recorded."""
    for change in changes:
        cause = (change.evidence or {}).get("alarm", {})
        if change.rollback and (cause.get("model"), cause.get("job_id")) == (alarm.model, alarm.job_id):
            return AlarmAction("rollback", f"the champion is {str(change.after)[:12]} again", change.after)
    return None


def _roll_back(alarm: DriftAlarm, action: AlarmAction, champion: str | None, context: JobContext) -> AlarmAction:
    try:
        context.ledger.aliases.roll_back(
            CHAMPION,
            verify=local_verifier(context.models),
            to=action.to_model,
            expected=champion,
            **_audit_fields(alarm),
        )
    except (JobRefusedError, ControlConflictError) as error:
        return AlarmAction("abstain", f"the rollback failed ({error}): the model abstains"[:1000])
    return action


def _audit_fields(alarm: DriftAlarm) -> dict[str, Any]:
    tests = ", ".join(f"{found.test} {found.highest:.3g} of {found.threshold:g}" for found in alarm.findings)
    why = f"drift alarm of model {alarm.model[:12]} after {alarm.fights} fights: {tests}"
    evidence = {"alarm": msgspec.to_builtins(alarm)}
    return {"user": f"job {alarm.job_id}", "reason": why[:500], "evidence": evidence, "alarm": alarm.model}
