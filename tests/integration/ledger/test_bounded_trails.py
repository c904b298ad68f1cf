"""The audit trails keep about as many changes as they should, and what is still needed of older ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace as changed

from ledger.contracts.fight_changes import FightChange
from ledger.feeds.fight_changes import UNLISTED_KEPT
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.drift_alarms import DriftAlarm
from ledger.operations.tokens import CallerLimits, Role

BY = {"user": "ann@desk", "reason": "a test"}
A, B = "a" * 64, "b" * 64
MANY, KEPT = 600, 50
NODE = 100  # a stream is trimmed by whole nodes, and controls some at a time


@pytest.fixture
def short(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    with closing(Ledger.connect(replace(ledger_settings, max_changes=KEPT))) as opened:
        yield opened


def length(ledger: Ledger, *parts: str) -> int:
    return int(ledger.server.client.xlen(ledger.server.key(*parts)))


def test_of_many_changes_of_controls_the_latest_stay_and_those_that_hold(short: Ledger) -> None:
    for digest in (A, B):
        short.models.register(digest, {})
        short.aliases.move("champion", digest, verify=lambda _: None, evidence={"job": digest}, **BY)
    short.controls.set({"bankroll": 5_000}, **BY)
    for number in range(MANY):
        short.controls.set({"max_children.predict": 1 + number % 7}, **BY)
    assert KEPT <= length(short, "controls", "changes") <= KEPT + NODE
    assert [change.after for change in short.aliases.history("champion")] == [B, A]
    assert short.aliases.roll_back("champion", verify=lambda _: None, **BY).after == A
    assert {change.name for change in short.controls.last_changes()} == {"bankroll", "max_children.predict"}
    held = short.controls.changes(MANY, "max_children.predict")
    assert KEPT - NODE < len(held) < MANY
    assert [change.after for change in held[:3]] == [str(1 + (MANY - back) % 7) for back in (1, 2, 3)]


def test_alarms_and_tokens_have_bounded_trails(short: Ledger) -> None:
    alarm = DriftAlarm(model=A, findings=(), fights=9, raised_at=datetime(2026, 1, 1, tzinfo=UTC), job_id="review")
    short.drift_alarms.raise_alarm(alarm)
    for number in range(MANY):
        short.drift_alarms.mark_acted(changed(alarm, acted=True, said=str(number)))
    assert KEPT <= length(short, "alarms", "changes") <= KEPT + NODE
    token = short.tokens.create("shop", Role.PRODUCER, **BY)
    for number in range(MANY):
        short.tokens.set_limits("shop", CallerLimits(jobs_per_day=number + 1), **BY)
    assert KEPT <= short.server.client.xlen(f"{short.settings.namespace}/tokens:changes") <= KEPT + NODE
    assert short.tokens.verify(token.text) is not None


def test_a_withdrawn_fight_is_forgotten_some_time_after_its_start(ledger: Ledger) -> None:
    changes, now = ledger.feeds.changes, datetime.now(UTC)
    one = FightChange(
        id="1", feed="odds", kind="withdrawn", fight_id="long ago", fighters=("Ana", "Bea"), card_id="card",
        start=now - UNLISTED_KEPT - timedelta(days=2), read_at=now,
    )  # fmt: skip
    lately = changed(one, id="2", fight_id="lately", start=now)
    for number, each in enumerate((one, lately)):
        before, read_at = changes.listed("odds"), now + timedelta(seconds=number)
        assert changes.store("odds", before, read_at, changed={}, removed=(), changes=[each])
    assert changes.unlisted(["long ago", "lately"]) == {"lately": lately}
