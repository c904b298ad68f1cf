"""Relations between the fights of a feed: duplicates of one bout, contradictions, and the shared cap on stakes.

The relations are written into the cards, so that the prediction of a card depends on the card alone:

- Several fights with the same two fighters and starts less than a day apart are one bout. Only one of them may be bet
  on: the one that was listed first, or the first id in alphabetical order. Neither prices nor starts decide, so that
  the choice is stable across readings.
- Fights that share one fighter on one day contradict each other: none of them may be bet on.
- The cards of one night share the cap on stakes in proportion to their numbers of fights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

import msgspec

from ledger.contracts.bouts import bout_key, same_day
from ledger.contracts.jobs import MAX_FIGHTS, Fight, PredictCard
from ledger.feeds.listed_fights import ListedFight

NIGHT_GAP = timedelta(hours=6)
"""Largest gap between consecutive starts of one night."""


def listed_fights(cards: Iterable[PredictCard]) -> list[ListedFight]:
    """Return the fights of cards as listings: id, bout and start."""
    return [
        ListedFight(id=fight.id, bout=bout_key(*(fighter.name for fighter in fight.fighters)), start=card.event_start)
        for card in cards
        for fight in card.fights
    ]


def match_fights(cards: Sequence[PredictCard], earlier: Iterable[ListedFight] = ()) -> list[PredictCard]:
    """Return the cards of one feed with the relations of their fights to each other and to earlier listings.

    Contradictions count within the feed only, because a fight of another reading may have been called off since.
    """
    known = {fight.id: fight for fight in earlier}
    here = [_since(fight, known.get(fight.id)) for fight in listed_fights(cards)]
    known |= {fight.id: fight for fight in here}
    by_bout: dict[tuple[str, str], list[ListedFight]] = {}
    for fight in sorted(known.values(), key=lambda fight: (fight.listed, fight.id)):
        by_bout.setdefault(fight.bout, []).append(fight)
    by_fighter: dict[str, list[ListedFight]] = {}
    for fight in here:
        for fighter in set(fight.bout):
            by_fighter.setdefault(fighter, []).append(fight)
    night_of = {fight.id: night for night in _nights(known.values()) for fight in night}
    changed = []
    for card in cards:
        fights = [
            _marked(fight, found, by_bout, by_fighter)
            for fight, found in zip(card.fights, listed_fights([card]), strict=True)
        ]
        share = _share(card, night_of[card.fights[0].id])
        changed.append(msgspec.structs.replace(card, fights=tuple(fights), stake_share=share))
    return changed


def _since(fight: ListedFight, before: ListedFight | None) -> ListedFight:
    return fight if before is None else msgspec.structs.replace(fight, listed=before.listed)


def _marked(
    fight: Fight,
    listed: ListedFight,
    by_bout: dict[tuple[str, str], list[ListedFight]],
    by_fighter: dict[str, list[ListedFight]],
) -> Fight:
    first = next(other for other in by_bout[listed.bout] if same_day(other.start, listed.start))
    excluding = {
        other.id
        for fighter in listed.bout
        for other in by_fighter[fighter]
        if other.bout != listed.bout and same_day(other.start, listed.start)
    }
    return msgspec.structs.replace(
        fight,
        same_bout_as=None if first.id == fight.id else first.id,
        conflicts_with=tuple(sorted(excluding)[:MAX_FIGHTS]),
    )


def _nights(fights: Iterable[ListedFight]) -> Iterator[list[ListedFight]]:
    night: list[ListedFight] = []
    for fight in sorted(fights, key=lambda fight: fight.start):
        if night and fight.start - night[-1].start > NIGHT_GAP:
            yield night
            night = []
        night.append(fight)
    if night:
        yield night


def _share(card: PredictCard, night: Iterable[ListedFight]) -> float:
    ours = {fight.bout for fight in listed_fights([card])}
    return len(ours) / len({fight.bout for fight in night})
