"""Tables of feeds and their retrievals. Layout only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from ledger.contracts.feeds import FeedBudget, FeedStatus, RetrievalRecord
from ledger.contracts.fight_changes import FightChange
from producer.operations.feed_state import is_sound, state_text
from producer.output.table_parts import NOTHING, STYLES, duration_text, wrapping_table


def feeds_table(feeds: Sequence[FeedStatus]) -> Table:
    """Return the table of all feeds."""
    table = wrapping_table(
        "Feeds", "feed", "source", "leader", "standbys", "last success", "next poll", "budget", "state"
    )
    for feed in feeds:
        table.add_row(
            feed.name,
            Text(feed.source),
            Text(feed.leader or NOTHING),
            str(len(feed.standbys)),
            moment_text(feed.state.last_success),
            moment_text(feed.state.next_poll),
            budget_text(feed.state.budget),
            Text(state_text(feed), style=_style(feed)),
        )
    return table


def feed_table(feed: FeedStatus) -> Table:
    """Return the table of one feed."""
    state = feed.state
    every = f"every {duration_text(state.interval_seconds)} ({state.tier})" if state.tier else NOTHING
    rows = {
        "source": feed.source,
        "state": state_text(feed),
        "leader": f"{feed.leader} since {moment_text(feed.leader_since)}" if feed.leader else NOTHING,
        "standbys": ", ".join(feed.standbys) or NOTHING,
        "last success": moment_text(state.last_success),
        "last prices": moment_text(state.last_prices),
        "polled": every,
        "next poll": moment_text(state.next_poll),
        "budget": budget_text(state.budget),
        "next event": moment_text(min(state.starts, default=None)),
        "totals": ", ".join(f"{name} {count:,}" for name, count in feed.totals.items()) or NOTHING,
    }
    rows |= {f"refused {number}": fault for number, fault in enumerate(state.faults, start=1)}
    table = wrapping_table(f"Feed {feed.name}", "what", "value")
    for what, value in rows.items():
        table.add_row(what, Text(value, style=_style(feed) if what == "state" else ""))
    return table


def changes_table(name: str, changes: Sequence[FightChange]) -> Table:
    """Return the table of changes of fights."""
    table = wrapping_table(
        f"Changes of fights, {name}", "read", "change", "fight", "fighters", "before", "voided", "to check"
    )
    for change in changes:
        table.add_row(
            moment_text(change.read_at),
            change.kind.replace("_", " "),
            Text(change.fight_id),
            Text(" v ".join(change.fighters)),
            Text(_before_text(change)),
            Text(", ".join(change.bets_voided) or NOTHING),
            Text(", ".join(change.bets_to_check) or NOTHING),
        )
    return table


def _before_text(change: FightChange) -> str:
    parts = [change.id_before or ""]
    if change.fighters_before is not None:
        parts.append(" v ".join(change.fighters_before))
    if change.start_before is not None:
        parts.append(moment_text(change.start_before))
    return ", ".join(part for part in parts if part) or NOTHING


def retrievals_table(name: str, retrievals: Sequence[RetrievalRecord]) -> Table:
    """Return the table of retrievals."""
    columns = ("read", "provider", "sha256", "bytes", "events", "quotes", "changes", "cards", "refused", "cost")
    table = wrapping_table(f"Retrievals of {name}", *columns)
    for each in retrievals:
        table.add_row(
            moment_text(each.read_at),
            moment_text(each.provider_at),
            each.sha256[:12],
            f"{each.payload_bytes:,}",
            f"{each.events:,}",
            NOTHING if each.without_prices else f"{each.quotes:,}",
            NOTHING if each.without_prices else f"{each.changes:,}",
            NOTHING if each.without_prices else f"{each.cards:,}",
            f"{each.faults + each.invalid_quotes:,}",
            NOTHING if each.cost is None else f"{each.cost:,}",
        )
    return table


def budget_text(budget: FeedBudget) -> str:
    """Return the budget in a few words."""
    if budget.remaining is None:
        return "no limit known"
    until = "" if budget.resets_at is None else f" until {budget.resets_at:%Y-%m-%d}"
    return f"{budget.remaining:,} left{until}"


def moment_text(moment: datetime | None) -> str:
    """Format a moment to the second, a dash for None."""
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _style(feed: FeedStatus) -> str:
    return STYLES["succeeded"] if is_sound(feed) else STYLES["failed"]
