"""Match fight results to the records of the prediction log, and so score the answers of a model.

A result belongs to the fights that have one of its ids. Without such a fight, names are matched as in the engine
(`engine.data.fighter_names`): by letters and digits, then by listed aliases and the other order of a Chinese or Korean
name; never by similarity. A result may then be a day off, because most logs assign a card that starts after midnight
UTC to the evening before. If a fight is in the log twice, under two spellings or days, the last answer counts. A fight
with contradicting results is left out.

Sequential tests use the first known result of a fight: a settled bet stays settled, even if the result is corrected,
overturned or contradicted later. All other figures use the present result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from engine.data.fighter_names import FighterIndex, fight_key, fighter_name_key
from engine.errors import AmbiguousFighterError
from ledger.contracts.prediction_record import PredictionRecord
from ledger.models.fight_results import FightResult

MAX_DAYS_APART = 1

LoggedFight = tuple[date, str]
"""A fight of the prediction log: the day of its event, and its key."""


@dataclass(frozen=True)
class ScoredPrediction:
    """The last answer of a model to a fight, with the result.

    Attributes
    ----------
    record : PredictionRecord
    won : 0, 1 or None
        The position of the winner in the record; None for a void fight.
    batch : int
        The batch in which the result was added.
    """

    record: PredictionRecord
    won: Literal[0, 1] | None
    batch: int


@dataclass(frozen=True)
class TrackRecord:
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

    scored: tuple[ScoredPrediction, ...]
    tested: tuple[ScoredPrediction, ...]
    waiting: int
    contradicted: int

    @property
    def decided(self) -> list[ScoredPrediction]:
        """The scored answers to fights with a winner."""
        return [one for one in self.scored if one.won is not None]

    @property
    def void(self) -> int:
        """The number of fights without a winner."""
        return len(self.scored) - len(self.decided)


@dataclass(frozen=True)
class MatchedResults:
    """The results of logged fights.

    Attributes
    ----------
    present : mapping of LoggedFight to FightResult
        The earliest present result of each fight, those that contradict each other included.
    contradicted : set of LoggedFight
        Fights whose present results contradict each other.
    always_contradicted : set of LoggedFight
        Fights whose first known results, added together, contradict each other.
    """

    present: Mapping[LoggedFight, FightResult]
    contradicted: Set[LoggedFight]
    always_contradicted: Set[LoggedFight]


def match_results(records: Sequence[PredictionRecord], results: Sequence[FightResult]) -> TrackRecord:
    """Match records to results; of several records of one fight the last counts."""
    fights: dict[LoggedFight, list[PredictionRecord]] = defaultdict(list)
    for record in records:
        fights[record.day, fight_key(record.fighters)].append(record)
    ids = {fight: {record.fight_id for record in logged if record.fight_id} for fight, logged in fights.items()}
    found = match_fights({fight: logged[0].fighters for fight, logged in fights.items()}, results, ids)
    present = {fight: result for fight, result in found.present.items() if fight not in found.contradicted}
    first = {
        fight: first_known(result) for fight, result in found.present.items() if fight not in found.always_contradicted
    }
    return TrackRecord(
        scored=_score(present, fights),
        tested=tuple(one for one in _score(first, fights) if one.won is not None),
        waiting=len(fights.keys() - found.present.keys()),
        contradicted=len(found.contradicted),
    )


def match_fights(
    fights: Mapping[LoggedFight, tuple[str, str]],
    results: Sequence[FightResult],
    ids: Mapping[LoggedFight, Iterable[str]] | None = None,
) -> MatchedResults:
    """Match fights, given by their fighters, to results; `ids` are those under which the source knows each fight."""
    present_results: dict[LoggedFight, FightResult] = {}
    contradicted: set[LoggedFight] = set()
    always_contradicted: set[LoggedFight] = set()
    by_day: dict[date, list[LoggedFight]] = defaultdict(list)
    by_id: dict[str, list[LoggedFight]] = defaultdict(list)
    for fight in fights:
        by_day[fight[0]].append(fight)
        for fight_id in (ids or {}).get(fight, ()):
            by_id[fight_id].append(fight)
    for listed in results:
        days = [listed.date + timedelta(days=off) for off in range(-MAX_DAYS_APART, MAX_DAYS_APART + 1)]
        nearby = [fight for day in days for fight in by_day.get(day, ())]
        found = list(_fights_by_id(listed, by_id, fights))
        for fight, result in found or [(fight, listed) for fight in _candidate_fights(listed, nearby, fights)]:
            known = present_results.setdefault(fight, result)
            fighters = fights[fight]
            if winner_position(known, fighters) != winner_position(result, fighters):
                contradicted.add(fight)
            first, other = first_known(known), first_known(result)
            if known.batch == result.batch and winner_position(first, fighters) != winner_position(other, fighters):
                always_contradicted.add(fight)
    return MatchedResults(present_results, contradicted, always_contradicted)


def _fights_by_id(
    result: FightResult, by_id: Mapping[str, Sequence[LoggedFight]], fights: Mapping[LoggedFight, tuple[str, str]]
) -> Iterator[tuple[LoggedFight, FightResult]]:
    """Yield the fights that have one of a result's ids, with the result in their spelling.

    One name is enough then; without any, the id is that of another fight, as ids that callers invent may be.
    """
    for fight in dict.fromkeys(fight for fight_id in result.fight_ids for fight in by_id.get(fight_id, ())):
        fighters = fights[fight]
        found = [_find(fighters, name) for name in result.fighters]
        position = found[0] if found[0] is not None else None if found[1] is None else 1 - found[1]
        if position is not None and found[0] != found[1]:
            spelt = (fighters[position], fighters[1 - position])
            first = None if result.first is None else _respell(result.first, result, spelt)
            yield fight, replace(result, fighters=spelt, first=first)


def _respell(first: FightResult, result: FightResult, spelt: tuple[str, str]) -> FightResult:
    """Return the first version of a result with the names of `spelt`, which are those of `result`."""
    same_order = fighter_name_key(first.fighters[0]) == fighter_name_key(result.fighters[0])
    return replace(first, fighters=spelt if same_order else (spelt[1], spelt[0]))


def first_known(result: FightResult) -> FightResult:
    """Return the first known version of a result."""
    return result.first or result


def _score(
    results: Mapping[LoggedFight, FightResult], fights: Mapping[LoggedFight, Sequence[PredictionRecord]]
) -> tuple[ScoredPrediction, ...]:
    """Return the last answer to each fight with its result, in the order of the results."""
    last: dict[str, ScoredPrediction] = {}
    for fight, result in results.items():
        for record in fights[fight]:
            before = last.get(result.key)
            if before is None or _logged_at(record) > _logged_at(before.record):
                last[result.key] = ScoredPrediction(record, winner_position(result, record.fighters), result.batch)
    return tuple(sorted(last.values(), key=lambda one: (one.batch, one.record.day, one.record.fighters)))


def _candidate_fights(
    result: FightResult, nearby: Sequence[LoggedFight], fights: Mapping[LoggedFight, tuple[str, str]]
) -> list[LoggedFight]:
    """Return the fights that a result may belong to.

    A lookup takes a millisecond, so it is limited to fights that share a name key, if there are any.
    """
    keys = set(map(fighter_name_key, result.fighters))
    shared = [fight for fight in nearby if keys & set(map(fighter_name_key, fights[fight]))]
    return [fight for fight in shared or nearby if fighter_position(result, fights[fight]) is not None]


def _logged_at(record: PredictionRecord) -> datetime:
    return record.at or datetime.min.replace(tzinfo=UTC)


def winner_position(result: FightResult, fighters: tuple[str, str]) -> Literal[0, 1] | None:
    """Return the position of the winner among the fighters of the same fight; None for a void fight."""
    if result.winner is None:
        return None
    first = fighter_position(result, fighters)
    return 1 if (result.winner == 0) == (first == 1) else 0


def fighter_position(result: FightResult, fighters: tuple[str, str]) -> int | None:
    """Return the position of the result's first fighter among the fighters; None for another fight."""
    found = [_find(fighters, name) for name in result.fighters]
    return found[0] if None not in found and found[0] != found[1] else None


def _find(fighters: tuple[str, str], name: str) -> int | None:
    for position, fighter in enumerate(fighters):
        if fighter_name_key(fighter) == fighter_name_key(name):
            return position
    try:
        return FighterIndex(("0", "1"), fighters, (False, False)).find_position(name)
    except AmbiguousFighterError:
        return None
