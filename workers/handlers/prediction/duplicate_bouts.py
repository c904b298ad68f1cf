"""Fights of a card that are the same bout, or that exclude each other because they share one fighter.

The odds service compares the names of the fighters (`producer.feed.bout_matching`) and notes its findings in the job.
The model's fight log also recognises two spellings of one fighter, on every card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.errors import EngineError
from engine.market.bet_decision import BetReason
from ledger.contracts.bouts import fighter_key
from ledger.contracts.jobs import Fight
from workers.handlers.prediction.model_answers import ModelAnswer


class BoutConflicts(NamedTuple):
    """The reasons why other fights forbid a bet on this one, and sentences that name these fights."""

    reasons: tuple[BetReason, ...] = ()
    notes: tuple[str, ...] = ()


NO_CONFLICTS = BoutConflicts()


def find_conflicts(
    fights: Sequence[Fight], answers: Mapping[str, ModelAnswer | EngineError]
) -> Mapping[str, BoutConflicts]:
    """Return the conflicts of each fight that has any, by fight id.

    Of several fights with the same two fighters the first one that the job does not bar may be bet on.
    """
    fighters = {fight.id: frozenset(_fighters(fight, answers[fight.id])) for fight in fights}
    by_bout: dict[frozenset[str], list[Fight]] = {}
    by_fighter: dict[str, list[Fight]] = {}
    for fight in sorted(fights, key=lambda fight: fight.same_bout_as is not None):
        by_bout.setdefault(fighters[fight.id], []).append(fight)
        for fighter in fighters[fight.id]:
            by_fighter.setdefault(fighter, []).append(fight)
    found: dict[str, BoutConflicts] = {}
    for fight in fights:
        first = by_bout[fighters[fight.id]][0].id
        same = fight.same_bout_as or (first if first != fight.id else None)
        others = {
            other.id
            for fighter in fighters[fight.id]
            for other in by_fighter[fighter]
            if fighters[other.id] != fighters[fight.id]
        }
        conflicting = sorted({*fight.conflicts_with, *others})
        if same is not None or conflicting:
            found[fight.id] = BoutConflicts(tuple(_reasons(same, conflicting)), tuple(_notes(same, conflicting)))
    return found


def _fighters(fight: Fight, prediction: ModelAnswer | EngineError) -> Iterator[str]:
    """Yield an identifier of each fighter: the id in the fight log, or else the name."""
    ids = prediction.fighter_ids if isinstance(prediction, ModelAnswer) else (None, None)
    for fighter, known in zip(fight.fighters, ids, strict=True):
        yield f"name {fighter_key(fighter.name)}" if known is None else f"id {known}"


def _reasons(same: str | None, conflicting: Sequence[str]) -> Iterator[BetReason]:
    if same is not None:
        yield BetReason.SAME_BOUT
    if conflicting:
        yield BetReason.CONFLICTING_BOUTS


def _notes(same: str | None, conflicting: Sequence[str]) -> Iterator[str]:
    if same is not None:
        yield f"this is the same bout as fight {same!r}: at most one of them is bet on"
    if conflicting:
        yield f"a fighter also stands in {', '.join(map(repr, conflicting))} on that day: none of them is bet on"
