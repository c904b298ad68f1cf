"""Match fight results to the records of the prediction log, and so score the answers of a model.

Names are matched as in the engine (`engine.data.fighter_names`): by letters and digits, then by listed aliases and the
other order of a Chinese or Korean name; never by similarity. A result may be a day off, because most logs assign a card
that starts after midnight UTC to the evening before. If a fight is in the log twice, under two spellings or days, the
last answer counts. A fight with contradicting results is left out.

Sequential tests use the first known result of a fight: a settled bet stays settled, even if the result is corrected,
overturned or contradicted later. All other figures use the present result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from engine.data.fighter_names import FighterIndex, fighter_name_key
from engine.errors import AmbiguousFighterError
from ledger.contracts.prediction_record import JournalEntry
from ledger.models.fight_results import FightResult
from workers.handlers.prediction.prediction_log import fight_key

DAYS_OFF = 1

Fight = tuple[date, str]
"""A fight of the prediction log: the day of its event, and its key."""


@dataclass(frozen=True)
class Judged:
    """The last answer of a model to a fight, with the result.

    Attributes
    ----------
    record : PredictionRecord
    won : 0, 1 or None
        The position of the winner in the record; None for a void fight.
    batch : int
        The batch in which the result was added.
    """

    entry: JournalEntry
    won: Literal[0, 1] | None
    batch: int


@dataclass(frozen=True)
class Record:
    """The answers of a model with their results.

    Attributes
    ----------
    scored : tuple of ScoredPrediction
        Answers with a present result, in the order of the results.
    tested : tuple of ScoredPrediction
        Answers whose first known result has a winner, for sequential tests.
    waiting : int
        Number of fights without a result.
    contradicted : int
        Number of fights that are left out because their results contradict each other.
    """

    judged: tuple[Judged, ...]
    tested: tuple[Judged, ...]
    waiting: int
    contradicted: int

    @property
    def decided(self) -> list[Judged]:
        """The scored answers to fights with a winner."""
        return [one for one in self.judged if one.won is not None]

    @property
    def void(self) -> int:
        """The number of fights without a winner."""
        return len(self.judged) - len(self.decided)


def record_of(entries: Sequence[JournalEntry], results: Sequence[FightResult]) -> Record:
    """Match records to results; of several records of one fight the last counts."""
    fights: dict[Fight, list[JournalEntry]] = defaultdict(list)
    for entry in entries:
        fights[entry.day, fight_key(entry.fighters)].append(entry)
    decided: dict[Fight, FightResult] = {}
    contradicted: set[Fight] = set()
    never_clear: set[Fight] = set()
    by_day: dict[date, list[Fight]] = defaultdict(list)
    for fight in fights:
        by_day[fight[0]].append(fight)
    for result in results:
        days = [result.date + timedelta(days=off) for off in range(-DAYS_OFF, DAYS_OFF + 1)]
        near = [fight for day in days for fight in by_day.get(day, ())]
        for fight in _fights_of(result, near, fights):
            known = decided.setdefault(fight, result)
            entry = fights[fight][0]
            if _winner(known, entry) != _winner(result, entry):
                contradicted.add(fight)
            if known.batch == result.batch and _winner(_first(known), entry) != _winner(_first(result), entry):
                never_clear.add(fight)
    now = {fight: result for fight, result in decided.items() if fight not in contradicted}
    first = {fight: _first(result) for fight, result in decided.items() if fight not in never_clear}
    return Record(
        judged=_judged(now, fights),
        tested=tuple(one for one in _judged(first, fights) if one.won is not None),
        waiting=len(fights.keys() - decided.keys()),
        contradicted=len(contradicted),
    )


def _first(result: FightResult) -> FightResult:
    """Return the first known version of a result."""
    return result.first or result


def _judged(results: Mapping[Fight, FightResult], fights: Mapping[Fight, Sequence[JournalEntry]]) -> tuple[Judged, ...]:
    """Return the last answer to each fight with its result, in the order of the results."""
    last: dict[str, Judged] = {}
    for fight, result in results.items():
        for entry in fights[fight]:
            before = last.get(result.name)
            if before is None or _moment(entry) > _moment(before.entry):
                last[result.name] = Judged(entry, _winner(result, entry), result.batch)
    return tuple(sorted(last.values(), key=lambda one: (one.batch, one.entry.day, one.entry.fighters)))


def _fights_of(
    result: FightResult, near: Sequence[Fight], fights: Mapping[Fight, Sequence[JournalEntry]]
) -> list[Fight]:
    """Return the fights that a result may belong to.

    A lookup takes a millisecond, so it is limited to fights that share a name key, if there are any.
    """
    people = set(map(fighter_name_key, result.fighters))
    shared = [fight for fight in near if people & set(map(fighter_name_key, fights[fight][0].fighters))]
    return [fight for fight in shared or near if _position(result, fights[fight][0]) is not None]


def _moment(entry: JournalEntry) -> datetime:
    return entry.at or datetime.min.replace(tzinfo=UTC)


def _winner(result: FightResult, entry: JournalEntry) -> Literal[0, 1] | None:
    if result.winner is None:
        return None
    first = _position(result, entry)
    return 1 if (result.winner == 0) == (first == 1) else 0


def _position(result: FightResult, entry: JournalEntry) -> int | None:
    """Return the position of the result's first fighter in the record; None for another fight."""
    found = [_find(entry.fighters, name) for name in result.fighters]
    return found[0] if None not in found and found[0] != found[1] else None


def _find(fighters: tuple[str, str], name: str) -> int | None:
    for position, fighter in enumerate(fighters):
        if fighter_name_key(fighter) == fighter_name_key(name):
            return position
    try:
        return FighterIndex(("0", "1"), fighters, (False, False)).find(name)
    except AmbiguousFighterError:
        return None
