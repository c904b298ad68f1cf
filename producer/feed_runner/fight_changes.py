"""Changes of listed fights, and what becomes of the bets on them.

| change             | earlier answers                    | paper bets | live bets                    |
|--------------------|------------------------------------|------------|------------------------------|
| `start_moved`      | superseded by the card's next      | stand      | stand                        |
| `fighter_replaced` | superseded by the card's next      | voided     | a person has to check them   |
| `withdrawn`        | superseded, or marked (`unlisted`) | voided     | a person has to check them   |
| `returned`         | the card's next supersedes them    | stand      | stand                        |
| `id_changed`       | superseded by the card's next      | stand      | stand                        |

Each change is stored in the step that stores the reading's fights, and dealt with afterwards. If the process is killed
in between, the next one goes on with the same bets (`ledger.feeds.changes`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from ledger.contracts.bets import BetConflictError, PlacedBet
from ledger.contracts.bouts import DAY, bout_key
from ledger.contracts.codec import MAX_TEXT_CHARACTERS
from ledger.contracts.fight_changes import FightChange
from ledger.contracts.jobs import PredictCard
from ledger.contracts.moments import microseconds
from ledger.ledger import Ledger
from producer.feed_runner.listing import MISSING_TIME, compare, listed_states

_ATTEMPTS = 5
_RECENT_CHANGES = 64
OLD = DAY
"""Bets are not voided by a reading that is older than this, such as one of a dump: a person has to check them."""
USER = "feed"
"""Who voids bets, in the register of bets."""


def record_fight_changes(
    ledger: Ledger,
    feed: str,
    cards: Sequence[PredictCard],
    read_at: datetime,
    *,
    unreadable: Collection[str] = (),
    missing_time: timedelta = MISSING_TIME,
) -> list[FightChange]:
    """Store what a reading changes about the fights of a feed, and end the bets that do not stand.

    Repeating a reading, or an older one, changes nothing, but what an earlier call has left undone is done.

    Parameters
    ----------
    ledger
        The ledger; its writes carry the fence of the feed's leader.
    feed
        Name of the feed.
    cards
        All cards of a complete reading, those that have begun included.
    read_at
        When it was read.
    unreadable
        Ids of events of the reading that could not be read (`FeedError.event`).
    missing_time
        How long a fight has been missing before it counts as withdrawn.

    Returns
    -------
    list
        The changes that were dealt with, with their bets.

    Raises
    ------
    JobRefusedError
        The server has no memory for it.
    LeadershipLostError
        Another runner leads the feed now.
    LedgerUnavailableError
        The server does not answer; repeat the same reading.
    """
    now = listed_states(cards)
    for _ in range(_ATTEMPTS):  # with the fence of a leader the first succeeds
        before = ledger.feeds.changes.listed(feed)
        found = compare(feed, before.fights, now, read_at, unreadable, missing_time)
        if microseconds(read_at, "read_at") <= before.compared or ledger.feeds.changes.store(
            feed, before, read_at, changed=found.changed, removed=found.removed, changes=found.changes
        ):
            break
    return [_deal_with(ledger, change) for change in ledger.feeds.changes.pending(feed)]


def moved_cards(ledger: Ledger, feed: str, cards: Sequence[PredictCard]) -> dict[str, str]:
    """Return by card_id the card_id that it had before its start moved, if a reading has no fight of that any more."""
    listed = {card.card_id for card in cards}
    recent = [change for _, change in ledger.feeds.changes.events(feed, limit=_RECENT_CHANGES)]
    return {
        change.card_id: change.card_before
        for change in reversed(recent)  # the newest one of a card counts
        if change.card_id in listed and change.card_before is not None and change.card_before not in listed
    }


def _deal_with(ledger: Ledger, change: FightChange) -> FightChange:
    """End the bets of a pending change that do not stand, and move it to those that are dealt with."""
    if change.ends_bets:
        bets = [bet for bet in ledger.bets.open_bets() if _is_ended(bet, change)]
        old = ledger.server.time() - change.read_at.timestamp() > OLD.total_seconds()
        voided = () if old else tuple(bet.id for bet in bets if bet.mode == "paper")
        to_check = tuple(bet.id for bet in bets if bet.id not in voided)
        change = ledger.feeds.changes.plan(msgspec.structs.replace(change, bets_voided=voided, bets_to_check=to_check))
        for bet_id in change.bets_voided:
            try:
                ledger.bets.void([bet_id], user=USER, reason=_reason(change))
            except BetConflictError:  # its result came first
                continue
    ledger.feeds.changes.finish(change)
    return change


def _is_ended(bet: PlacedBet, change: FightChange) -> bool:
    """Return True if a bet is on the fight as it was before a change."""
    same_bout = bout_key(*bet.fighters) == bout_key(*change.fighters)
    return bet.fight_id == change.fight_id and (change.kind == "withdrawn" or not same_bout)


def _reason(change: FightChange) -> str:
    if change.kind == "withdrawn":
        return f"the feed {change.feed} no longer lists the fight"
    text = f"a fighter was replaced: {' v '.join(change.fighters_before or ())} is now {' v '.join(change.fighters)}"
    # Names come from outside; what the register refuses would be tried again for ever.
    return "".join(character if character.isprintable() else " " for character in text)[:MAX_TEXT_CHARACTERS]
