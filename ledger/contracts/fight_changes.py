"""What changes about a listed fight besides its prices, and what becomes of earlier bets on it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

FightChangeKind = Literal["start_moved", "fighter_replaced", "withdrawn", "returned", "id_changed"]


class FightChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of a fight between two readings of a feed.

    Attributes
    ----------
    id
        Id of the change, in the order of readings.
    feed
        Name of the feed.
    kind
        `start_moved`, `fighter_replaced`; `withdrawn` (the feed has stopped listing the fight before its start),
        `returned` (it lists it again); `id_changed` (it lists the same bout under another id).
    fight_id, fighters, start, card_id
        The fight after the change; of a withdrawn fight, as it was last listed.
    start_before, fighters_before, card_before, id_before
        What was different before.
    read_at
        The reading that showed the change.
    bets_voided
        Ids of the paper bets that were voided for it.
    bets_to_check
        Ids of the bets that a person has to check: live ones, because the bookmaker decides what becomes of them, and
        any if the reading was old when it came.
    """

    id: str
    feed: str
    kind: FightChangeKind
    fight_id: str
    fighters: tuple[str, str]
    start: datetime
    card_id: str
    read_at: datetime
    start_before: datetime | None = None
    fighters_before: tuple[str, str] | None = None
    card_before: str | None = None
    id_before: str | None = None
    bets_voided: tuple[str, ...] = ()
    bets_to_check: tuple[str, ...] = ()

    @property
    def ends_bets(self) -> bool:
        """True if bets on the fight as it was before do not stand."""
        return self.kind in ("fighter_replaced", "withdrawn")


class ListedState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fight as a feed last listed it.

    Attributes
    ----------
    start, bout, fighters, card_id
        Start, keys of the fighters (`ledger.contracts.bouts.bout_key`), names, and card.
    missing, missing_since
        How many readings in a row have lacked it, and the first of them.
    withdrawn
        It counts as withdrawn.
    id_now
        The id under which the feed lists the bout now, if it has changed.
    """

    start: datetime
    bout: tuple[str, str]
    fighters: tuple[str, str]
    card_id: str
    missing: int = 0
    missing_since: datetime | None = None
    withdrawn: bool = False
    id_now: str = ""
