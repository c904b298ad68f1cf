"""The controls in the ledger: read, change, history. Every change is audited in the same atomic step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from ledger.contracts.codec import check_text, job_refused
from ledger.contracts.controls import Controls, ControlValue, check_consistency, find_control, format_value, parse_value
from ledger.contracts.failures import LedgerError
from ledger.server.server import Server, to_datetime
from ledger.server.stream_ranges import stream_between

MAX_EVIDENCE_CHARACTERS = 20_000
_CHANGES_AT_ONCE = 500


class ControlConflictError(LedgerError):
    """A control has another value than the change expected; nothing was changed."""


class ControlChange(Struct, frozen=True, kw_only=True):
    """One change of a control. Values are as they are typed; None for not set. `at` is the server's time.

    `place` is its place in the stream of changes. `evidence` (JSON values) is what the change was decided on, such as
    the figures of a comparison. `rollback` marks a way back.
    """

    place: str
    at: datetime
    who: str
    name: str
    before: str | None
    after: str | None
    why: str
    evidence: dict[str, Any] | None = None
    rollback: bool = False

    @property
    def sort_key(self) -> tuple[int, ...]:
        """The place as numbers, which sort by time."""
        return tuple(map(int, self.place.split("-")))


class ControlStore:
    """Controls and their history."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def current(self) -> Controls:
        """Return the current values, in one call."""
        fields = self._server.execute("HGETALL", self._server.key("controls"))
        return Controls.from_fields([part for pair in fields.items() for part in pair])

    def set(
        self,
        values: Mapping[str, ControlValue | None],
        *,
        user: str,
        reason: str,
        expected: Mapping[str, ControlValue | None] | None = None,
        evidence: Mapping[str, Any] | None = None,
        rollback: bool = False,
        alarm: str | None = None,
    ) -> list[ControlChange]:
        """Set controls (None: back to the default), all of them or none, and return the changes.

        Parameters
        ----------
        values
            New values by full name.
        user, reason
            Stored in the history.
        expected
            Values that controls must have at that time, None for not set: of two users who read the same value, only
            one can change it.
        evidence, rollback
            Stored in the history.
        alarm
            Model whose drift alarm must stand at that time.

        Raises
        ------
        JobRefusedError
            An invalid name, value or text; a model that the ledger does not know; evidence that is too large; no alarm.
        ControlConflictError
            A control does not have the expected value.
        LedgerUnavailableError
            The server does not answer; read the current values before trying again.
        """
        check_text("user", user)
        check_text("reason", reason)
        texts = {name: _checked(name, value) for name, value in values.items()}
        check_consistency({**self.current().values, **values})
        compared = {name: _text_of(name, value) for name, value in (expected or {}).items()}
        if missing := compared.keys() - texts.keys():
            raise job_refused(f"{', '.join(sorted(missing))} is compared and not set: give its new value")
        audit = (user, reason, encode_evidence(evidence), "1" if rollback else "")
        places = self.apply_change(audit, texts, compared, known=True, alarm=alarm)
        entries = self._server.transaction(
            *(("XRANGE", self._server.key("controls", "changes"), place, place) for place in places)
        )
        return [_change_of(place, fields) for found in entries for place, fields in found]

    def changes(self, limit: int = 100, name: str | None = None) -> list[ControlChange]:
        """Return the last changes, newest first; with `name` those of one control."""
        if name is not None:
            return self._history(name, limit)
        entries = self._server.execute("XREVRANGE", self._server.key("controls", "changes"), "+", "-", "COUNT", limit)
        return [_change_of(place, fields) for place, fields in entries]

    def changes_between(self, since: datetime, until: datetime) -> Iterator[ControlChange]:
        """Yield the changes made at or after `since` and before `until`, oldest first."""
        for place, fields in stream_between(self._server, self._server.key("controls", "changes"), since, until):
            yield _change_of(place.encode(), fields)

    def changed_names(self) -> list[str]:
        """Return the names of all controls that were ever changed."""
        return sorted(
            name.decode() for name in self._server.execute("HGETALL", self._server.key("controls", "changed"))
        )

    def _history(self, name: str, limit: int) -> list[ControlChange]:
        """Return the changes of one control, however many other changes lie between them."""
        found: list[ControlChange] = []
        place = b""
        while len(found) < limit:
            place, *entries = self._server.run_script(
                "control_history", name, place, min(limit - len(found), _CHANGES_AT_ONCE)
            )
            found += [_change_of(at, dict(zip(fields[::2], fields[1::2], strict=True))) for at, fields in entries]
            if not place:
                break
        return found

    def last_changes(self) -> list[ControlChange]:
        """Return the last change of every control that is set, by name."""
        given, places = self._server.transaction(
            ("HGETALL", self._server.key("controls")), ("HGETALL", self._server.key("controls", "changed"))
        )
        wanted = [places[name] for name in sorted(given) if name in places]
        stream = self._server.key("controls", "changes")
        entries = self._server.transaction(*(("XRANGE", stream, place, place) for place in wanted)) if wanted else []
        return [_change_of(place, fields) for found in entries for place, fields in found]

    def apply_change(
        self,
        audit: tuple[str, str, str, str],
        texts: Mapping[str, str],
        compared: Mapping[str, str],
        *,
        known: bool = False,
        alarm: str | None = None,
        clear: bool = False,
    ) -> list[str]:
        """Change all or none; return the places of the changes. `audit` begins the script's arguments.

        known: refuse an alias for a model that the ledger does not know. alarm: model whose drift alarm must stand;
        clear: clear that alarm in the same step. Raises ControlConflictError and JobRefusedError.
        """
        conditions = ("1" if known else "", alarm or "", "1" if clear else "", self._server.settings.max_changes)
        arguments = [
            part
            for name, text in texts.items()
            for part in (name, text, "1" if name in compared else "0", compared.get(name, ""))
        ]
        verdict, *rest = (part.decode() for part in self._server.run_script("control", *audit, *conditions, *arguments))
        if verdict == "differs":
            raise control_conflict(rest[0], rest[1])
        if verdict == "unknown":
            raise job_refused(f"no model {rest[0]} is registered: see `cornerman models`")
        if verdict == "no alarm":
            raise job_refused(f"no drift alarm stands for model {(alarm or '')[:12]} any more, nothing was changed")
        return rest


def control_conflict(name: str, held: str | None) -> ControlConflictError:
    """Return the exception for a control that has another value by now."""
    return ControlConflictError(
        f"{name} is {held or 'not set'} by now, nothing was changed: read it again, then decide"
    )


def _checked(name: str, value: ControlValue | None) -> str:
    if value is None and name.startswith("model."):
        raise job_refused(f"{name} has no default: set another model (cornerman models history)")
    return _text_of(name, value)


def _text_of(name: str, value: ControlValue | None) -> str:
    if value is None:
        find_control(name)
        return ""
    text = format_value(value)
    parse_value(name, text)
    return text


def encode_evidence(evidence: Mapping[str, Any] | None) -> str:
    """Encode the evidence of a change, '' for none. Raises JobRefusedError if it is too long."""
    text = "" if evidence is None else msgspec.json.encode(evidence).decode()
    if len(text) > MAX_EVIDENCE_CHARACTERS:
        raise job_refused(
            f"the evidence has {len(text):,} characters, the limit is {MAX_EVIDENCE_CHARACTERS:,}: name its place"
        )
    return text


def _change_of(place: bytes, fields: Mapping[bytes, bytes]) -> ControlChange:
    return ControlChange(
        place=place.decode(),
        at=to_datetime(float(place.decode().partition("-")[0])),
        who=fields[b"who"].decode(),
        name=fields[b"name"].decode(),
        before=fields[b"from"].decode() or None,
        after=fields[b"to"].decode() or None,
        why=fields[b"why"].decode(),
        evidence=msgspec.json.decode(fields[b"evidence"]) if b"evidence" in fields else None,
        rollback=b"rollback" in fields,
    )
