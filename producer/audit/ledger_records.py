"""What an audit file has of a ledger: records of a range of time, in the order of the server's clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from ledger.jobs.job_audit import SettledJob
from ledger.ledger import Ledger
from ledger.server.base_server import to_datetime
from producer.audit.redaction import may_have_secrets, without_secrets

ALIAS_CONTROL = "model."
"""Prefix of the controls that hold the aliases of models."""


class Record(NamedTuple):
    """What happened at a time: the kind of its line, and its content, a value that msgspec can encode."""

    at: datetime
    kind: str
    value: Any


def records_between(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    """Yield all records at or after `since` and before `until`, in order, without secrets.

    At most a page of each kind is in memory.
    """
    kinds = (_submissions, _controls, _alarms, _fight_results, _schedules, _bets, _outcomes)
    sources = [read(ledger, since, until) for read in kinds]
    sources += [_fight_changes(ledger, feed, since, until) for feed in ledger.feeds.names()]
    for record in heapq.merge(*sources, key=lambda record: record.at):
        yield record._replace(value=Raw(_content_without_secrets(record.value)))


def _submissions(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    for job in ledger.job_audit.submissions(since, until):
        yield Record(job.submitted_at, "submission", job)


def _outcomes(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    for found in ledger.job_audit.outcomes(since, until):
        kind = "outcome" if isinstance(found, SettledJob) else "lost_outcomes"
        yield Record(found.at, kind, found)


def _controls(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    for change in ledger.controls.changes_between(since, until):
        yield Record(change.at, "alias" if change.name.startswith(ALIAS_CONTROL) else "control", change)


def _alarms(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    for event in ledger.drift_alarms.events_between(since, until):
        yield Record(event.at, "drift_alarm", event)


def _fight_results(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    for change in ledger.fight_results.changes_between(since, until):
        yield Record(_time_of(change.place), "fight_result", change)


def _fight_changes(ledger: Ledger, feed: str, since: datetime, until: datetime) -> Iterator[Record]:
    for place, change in ledger.feeds.changes.events_between(feed, since, until):
        yield Record(_time_of(place), "fight_change", change)


def _schedules(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    for change in ledger.schedules.changes_between(since, until):
        yield Record(change.at, "schedule", change)


def _bets(ledger: Ledger, since: datetime, until: datetime) -> Iterator[Record]:
    for entry in ledger.bets.entries_between(since, until):
        yield Record(entry.at, "bet", entry)


def _time_of(place: str) -> datetime:
    """Return the server's time at which a place of a stream was added."""
    return to_datetime(float(place.partition("-")[0]))


def _content_without_secrets(value: Any) -> bytes:
    """Return a value as JSON without secrets, in the form of a line of an audit file."""
    content = msgspec.json.decode(_encoder.encode(value))
    written = _encoder.encode(content)
    return _encoder.encode(without_secrets(content)) if may_have_secrets(written) else written


_encoder = msgspec.json.Encoder(order="sorted")
