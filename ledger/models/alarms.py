"""Alarms about models: raised once by a review, kept with their evidence until an operator clears them.

An alarm is written before anything is done about it, and marked when that is done, so that a review that dies in
between is made good by the next. What is done are changes of controls, in their history like all others.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from ledger.contracts.codec import check_text, refuse
from ledger.contracts.monitoring_reports import ActionTaken, Finding
from ledger.models.model_registry import Registry
from ledger.operations.control_store import Switchboard, evidence_text


class Alarm(Struct, frozen=True, kw_only=True):
    """An alarm that stands. `acted` says that what is to be done is done; `action` and `said` say what that was."""

    model: str
    findings: tuple[Finding, ...]
    fights: int
    raised_at: datetime
    job_id: str
    acted: bool = False
    action: ActionTaken = "none"
    said: str = ""


class Alarms(Registry, Switchboard):
    """Raising and clearing."""

    def alarms(self) -> list[Alarm]:
        """Return the alarms that stand, oldest first."""
        kept = self._call("HGETALL", self._key("alarms")).values()
        return sorted((_decoder.decode(alarm) for alarm in kept), key=lambda alarm: alarm.raised_at)

    def raise_alarm(self, alarm: Alarm) -> Alarm:
        """Keep an alarm if none stands about its model, and return the one that stands."""
        return _decoder.decode(self._run("alarm", alarm.model, msgspec.json.encode(alarm), ""))

    def mark_acted(self, alarm: Alarm) -> None:
        """Note what was done about an alarm, if it still stands."""
        self._run("alarm", alarm.model, msgspec.json.encode(alarm), "1")

    def clear_alarm(self, model: str, *, who: str, why: str) -> Alarm:
        """Take an alarm back in one step: the model may bet again, its tests restart with the results still to come.

        Raises JobRefused where no alarm stands about it.
        """
        standing = {alarm.model: alarm for alarm in self.alarms()}
        if model not in standing:
            about = ", ".join(name[:12] for name in standing) or "none"
            raise refuse(f"no alarm stands about model {model[:12]}; there are alarms about {about}")
        alarm = standing[model]
        check_text("who", who)
        check_text("why", why)
        said = (who, why, evidence_text({"alarm": msgspec.to_builtins(alarm)}), "")
        self._change(said, {f"abstain.{model}": ""}, {}, alarm=model, clear=True)
        return alarm

    def cleared_at(self, model: str) -> int:
        """Return when a model's last alarm was cleared, in microseconds since 1970 as batches are; 0 for never."""
        return int(self._call("HGET", self._key("alarms", "cleared"), model) or 0)


_decoder = msgspec.json.Decoder(Alarm)
