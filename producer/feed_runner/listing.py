"""Comparison of the fights of a feed with those of its earlier readings. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from ledger.contracts.bouts import bout_key, same_day
from ledger.contracts.fight_changes import FightChange, FightChangeKind, ListedState
from ledger.contracts.jobs import PredictCard
from ledger.feeds.fight_changes import KEPT_AFTER_START, change_id

MISSING_READINGS = 3
MISSING_TIME = timedelta(minutes=10)
"""A fight counts as withdrawn when it is missing from this number of readings in a row, the last of them this long
after the first: a provider may lose an event for a reading or for some minutes."""


class Comparison(Struct, frozen=True, kw_only=True):
    """What a reading changes: fights whose state is to be stored, fights to forget, and changes to report."""

    changed: dict[str, ListedState]
    removed: tuple[str, ...]
    changes: tuple[FightChange, ...]


def listed_states(cards: Iterable[PredictCard]) -> dict[str, ListedState]:
    """Return the fights of the cards of a reading by id."""
    states: dict[str, ListedState] = {}
    for card in cards:
        for fight in card.fights:
            first, second = (fighter.name for fighter in fight.fighters)
            states[fight.id] = ListedState(
                start=card.event_start, bout=bout_key(first, second), fighters=(first, second), card_id=card.card_id
            )
    return states


def compare(
    feed: str,
    before: Mapping[str, ListedState],
    now: Mapping[str, ListedState],
    read_at: datetime,
    unreadable: Collection[str] = (),
    missing_time: timedelta = MISSING_TIME,
) -> Comparison:
    """Compare a reading with the states that the readings before it have left.

    Parameters
    ----------
    feed
        Name of the feed.
    before
        The fights that the feed has listed, by id.
    now
        Those of this reading. A reading without any fight proves nothing: that is what a fault at the provider looks
        like, while one bout of many that is missing has been called off.
    read_at
        When it was read.
    unreadable
        Ids of events that the reading lists and that could not be read: these fights are not missing.
    missing_time
        How long a fight has been missing before it counts as withdrawn.
    """
    changed: dict[str, ListedState] = {}
    found: list[dict[str, Any]] = []
    for name, state in now.items():
        known = before.get(name)
        if known is not None:
            found += _changes_of_known(name, state, known)
        elif (earlier := _earlier_id(state, before, now, unreadable)) is not None:
            gone = before[earlier]
            changed[earlier] = msgspec.structs.replace(gone, id_now=name, withdrawn=False)
            was: dict[str, Any] = {"id_before": earlier, "card_before": gone.card_id}
            if gone.start != state.start:
                was["start_before"] = gone.start
            found.append(_change("id_changed", name, state, **was))
        if state != known:
            changed[name] = state
    for name, known in before.items() if now else ():
        if name in now or name in changed or known.withdrawn or known.id_now or known.start <= read_at:
            continue
        state = (
            _missing(known, read_at, missing_time)
            if name not in unreadable
            else msgspec.structs.replace(known, missing=0)
        )
        if state.withdrawn:
            found.append(_change("withdrawn", name, state))
        if state != known:
            changed[name] = state
    over = [name for name, known in before.items() if known.start + KEPT_AFTER_START < read_at]
    return Comparison(
        changed=changed,
        removed=tuple(name for name in over if name not in now and name not in changed),
        changes=tuple(
            FightChange(id=change_id(read_at, number), feed=feed, read_at=read_at, **fields)
            for number, fields in enumerate(found)
        ),
    )


def _changes_of_known(name: str, state: ListedState, known: ListedState) -> Iterator[dict[str, Any]]:
    if known.withdrawn or known.id_now:
        yield _change("returned", name, state)
    if known.bout != state.bout:
        yield _change("fighter_replaced", name, state, fighters_before=known.fighters)
    if known.start != state.start:
        yield _change("start_moved", name, state, start_before=known.start, card_before=known.card_id)


def _change(kind: FightChangeKind, name: str, state: ListedState, **was: Any) -> dict[str, Any]:
    about = {"fight_id": name, "fighters": state.fighters, "start": state.start, "card_id": state.card_id}
    return {"kind": kind, **about, **was}


def _missing(known: ListedState, read_at: datetime, missing_time: timedelta) -> ListedState:
    """Return the state of a fight that one more reading lacks."""
    since = known.missing_since if known.missing and known.missing_since is not None else read_at
    missing = known.missing + 1
    withdrawn = missing >= MISSING_READINGS and read_at - since >= missing_time
    return msgspec.structs.replace(known, missing=missing, missing_since=since, withdrawn=withdrawn)


def _earlier_id(
    state: ListedState, before: Mapping[str, ListedState], now: Mapping[str, ListedState], unreadable: Collection[str]
) -> str | None:
    """Return the id under which a feed has listed a bout that has a new one, None if there is none."""
    return next(
        (
            name
            for name, known in before.items()
            if name not in now
            and name not in unreadable
            and not known.id_now
            and known.bout == state.bout
            and same_day(known.start, state.start)
        ),
        None,
    )
