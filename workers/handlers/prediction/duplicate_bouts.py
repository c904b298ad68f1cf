"""Fights of a card that are one bout, or exclude each other, by who the model's fight log says the fighters are.

The caller's side has looked for them by their names (`producer.feed.bout_matching`) and says what it found in the job.
Here two spellings of one fighter are one, too: what is on one card is found whoever made the card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.errors import EngineError
from engine.market.bet_decision import Reason
from ledger.contracts.bouts import fighter_key
from ledger.contracts.jobs import Fight
from workers.handlers.prediction.model_answers import Said


class Twins(NamedTuple):
    """Why a fight may not be bet on because of others: reasons, and sentences that name those others."""

    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()


NO_TWINS = Twins()


def twins(fights: Sequence[Fight], said: Sequence[Said | EngineError]) -> Mapping[str, Twins]:
    """Return what is against a bet on each fight, by fight id; only those against which there is something.

    Of several fights with the same two fighters the first that the job does not bar may be bet on.
    """
    people = {fight.id: frozenset(_people(fight, word)) for fight, word in zip(fights, said, strict=True)}
    by_bout: dict[frozenset[str], list[Fight]] = {}
    by_person: dict[str, list[Fight]] = {}
    for fight in sorted(fights, key=lambda fight: fight.same_bout_as is not None):
        by_bout.setdefault(people[fight.id], []).append(fight)
        for person in people[fight.id]:
            by_person.setdefault(person, []).append(fight)
    found: dict[str, Twins] = {}
    for fight in fights:
        first = by_bout[people[fight.id]][0].id
        same = fight.same_bout_as or (first if first != fight.id else None)
        others = {
            other.id
            for person in people[fight.id]
            for other in by_person[person]
            if people[other.id] != people[fight.id]
        }
        conflicting = sorted({*fight.conflicts_with, *others})
        if same is not None or conflicting:
            found[fight.id] = Twins(tuple(_reasons(same, conflicting)), tuple(_notes(same, conflicting)))
    return found


def _people(fight: Fight, word: Said | EngineError) -> Iterator[str]:
    """Yield what identifies each fighter: the log's id, or else the name."""
    ids = word.fighter_ids if isinstance(word, Said) else (None, None)
    for fighter, known in zip(fight.fighters, ids, strict=True):
        yield f"name {fighter_key(fighter.name)}" if known is None else f"id {known}"


def _reasons(same: str | None, conflicting: Sequence[str]) -> Iterator[Reason]:
    if same is not None:
        yield Reason.SAME_BOUT
    if conflicting:
        yield Reason.CONFLICTING_BOUTS


def _notes(same: str | None, conflicting: Sequence[str]) -> Iterator[str]:
    if same is not None:
        yield f"this is the same bout as fight {same!r}: at most one of them is bet on"
    if conflicting:
        yield f"a fighter also stands in {', '.join(map(repr, conflicting))} on that day: none of them is bet on"
