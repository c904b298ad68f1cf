"""Drift alarms of models: raised by a review, kept with their evidence until an operator clears them.

An alarm is stored before any action on it, and marked once the action is done, so that the next review completes a
review that died in between. Actions are changes of controls, and in their history.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ledger.contracts.codec import check_text, job_refused
from ledger.contracts.job_reports.monitoring_reports import ActionTaken, SequentialTestResult
from ledger.contracts.lazy_decoder import LazyDecoder
from ledger.operations.control_store import ControlStore, encode_evidence
from ledger.server.server import Server, to_datetime
from ledger.server.stream_ranges import stream_between


class DriftAlarm(Struct, frozen=True, kw_only=True):
    """A standing drift alarm. `acted` is true once its action is done; `action` and `said` describe the action."""

    model: str
    findings: tuple[SequentialTestResult, ...]
    fights: int
    raised_at: datetime
    job_id: str
    acted: bool = False
    action: ActionTaken = "none"
    said: str = ""


class DriftAlarmEvent(Struct, frozen=True, kw_only=True):
    """An alarm that was raised, or whose action was stored, at a time of the server."""

    at: datetime
    event: Literal["raised", "acted"]
    alarm: DriftAlarm


class DriftAlarms:
    """Drift alarms of models."""

    def __init__(self, server: Server, controls: ControlStore) -> None:
        self._server = server
        self._controls = controls

    def active(self) -> list[DriftAlarm]:
        """Return the standing alarms, oldest first."""
        kept = self._server.execute("HGETALL", self._server.key("alarms")).values()
        return sorted((_decoder.decode(alarm) for alarm in kept), key=lambda alarm: alarm.raised_at)

    def raise_alarm(self, alarm: DriftAlarm) -> DriftAlarm:
        """Store an alarm if its model has none, and return the standing one."""
        return _decoder.decode(self._server.run_script(*self._arguments(alarm, "")))

    def events_between(self, since: datetime, until: datetime) -> Iterator[DriftAlarmEvent]:
        """Yield what became of alarms at or after `since` and before `until`, oldest first.

        An alarm is cleared by a change of the control `abstain.MODEL`, which has it as evidence.
        """
        for place, fields in stream_between(self._server, self._server.key("alarms", "changes"), since, until):
            yield DriftAlarmEvent(
                at=to_datetime(float(place.partition("-")[0])),
                event="acted" if fields[b"event"] == b"acted" else "raised",
                alarm=_decoder.decode(fields[b"alarm"]),
            )

    def mark_acted(self, alarm: DriftAlarm) -> None:
        """Store the action taken on an alarm, if it still stands."""
        self._server.run_script(*self._arguments(alarm, "1"))

    def clear(self, model: str, *, user: str, reason: str) -> DriftAlarm:
        """Clear an alarm in one step: the model may bet again, and its tests restart with the next results.

        Raises JobRefusedError if the model has no alarm.
        """
        standing = {alarm.model: alarm for alarm in self.active()}
        if model not in standing:
            about = ", ".join(name[:12] for name in standing) or "none"
            raise job_refused(f"no drift alarm stands for model {model[:12]}; there are alarms for {about}")
        alarm = standing[model]
        check_text("user", user)
        check_text("reason", reason)
        audit = (user, reason, encode_evidence({"alarm": msgspec.to_builtins(alarm)}), "")
        self._controls.apply_change(audit, {f"abstain.{model}": ""}, {}, alarm=model, clear=True)
        return alarm

    def _arguments(self, alarm: DriftAlarm, update: str) -> tuple[Any, ...]:
        return "drift_alarm", alarm.model, msgspec.json.encode(alarm), update, self._server.settings.max_changes

    def cleared_at(self, model: str) -> int:
        """Return when a model's last alarm was cleared, in microseconds since 1970 as batches are; 0 for never."""
        return int(self._server.execute("HGET", self._server.key("alarms", "cleared"), model) or 0)


_decoder: LazyDecoder[DriftAlarm] = LazyDecoder(DriftAlarm)
