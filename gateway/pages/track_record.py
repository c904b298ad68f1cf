"""What was predicted and what happened: live answers of the prediction log next to the known results of the fights.

Fights are matched by the letters and digits of both names, and by the day: a result may be a day off, because most logs
assign a card that starts after midnight UTC to the evening before. The review of a model (`cornerman models review`)
matches with the name rules of the engine and tests; this is its plain count, over all models.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from msgspec import Struct

from ledger.contracts.bouts import bout_key, fighter_key
from ledger.contracts.prediction_record import PredictionRecord
from ledger.models.fight_results import FightResult

MIN_FIGHTS = 100
"""Below this number the share of won fights is known to ten percentage points at best, and nothing is concluded."""
_EDGES = tuple(0.5 + 0.05 * step for step in range(11))
_Z = 1.959963984540054  # quantile of the normal distribution at 97.5%
_MAX_DAYS_APART = 1


class PredictedFight(Struct, frozen=True, kw_only=True):
    """The last answer to a fight before it began, and its result.

    `won` is the position of the winner in the record. `ending` is `waiting` without a known result, and `contradicted`
    if two results differ.
    """

    record: PredictionRecord
    won: Literal[0, 1] | None
    ending: Literal["won", "draw", "no_contest", "waiting", "contradicted"]

    @property
    def favourite(self) -> Literal[0, 1]:
        """Position of the likelier fighter."""
        return 0 if self.record.probability >= 0.5 else 1

    @property
    def favourite_probability(self) -> float:
        """Probability of the likelier fighter."""
        return max(self.record.probability, 1.0 - self.record.probability)


class ReliabilityRow(Struct, frozen=True, kw_only=True):
    """Fights whose likelier fighter has a probability in a range: how many, mean forecast, share won with its interval.

    The interval is that of Wilson (1927) at 95%.
    """

    from_probability: float
    to_probability: float
    fights: int
    forecast: float
    won: float
    lower: float
    upper: float


class IntervalRow(Struct, frozen=True, kw_only=True):
    """Likelier fighters by the level of their interval: mean lower end, share that won, mean upper end."""

    level: float
    fights: int
    lower: float
    won: float
    upper: float


class Scores(Struct, frozen=True, kw_only=True):
    """Brier score and log loss (nats) of some fights; lower is better."""

    fights: int
    brier: float
    log_loss: float


class TrackRecord(Struct, frozen=True, kw_only=True):
    """Counts and figures of the predicted fights.

    Attributes
    ----------
    fights
        All predicted fights, newest first.
    ours, priced, market
        Scores of all decided fights, and on those with a market ours and the market's; None without such fights.
    bets, bets_won, bets_expected
        Decided fights with a bet, how many of them won, and how many were expected to by their probabilities.
    """

    fights: tuple[PredictedFight, ...]
    decided: int
    waiting: int
    void: int
    contradicted: int
    reliability: tuple[ReliabilityRow, ...]
    intervals: tuple[IntervalRow, ...]
    ours: Scores | None
    priced: Scores | None
    market: Scores | None
    bets: int
    bets_won: int
    bets_expected: float


def track_record(records: Sequence[PredictionRecord], results: Sequence[FightResult]) -> TrackRecord:
    """Return the track record of live answers."""
    fights = _match([record for record in records if record.role == "live"], results)
    decided = [fight for fight in fights if fight.won is not None]
    priced = [fight for fight in decided if fight.record.market is not None]
    bets = [fight for fight in decided if fight.record.bet_on is not None]
    return TrackRecord(
        fights=tuple(fights),
        decided=len(decided),
        waiting=sum(fight.ending == "waiting" for fight in fights),
        void=sum(fight.ending in ("draw", "no_contest") for fight in fights),
        contradicted=sum(fight.ending == "contradicted" for fight in fights),
        reliability=tuple(_reliability(decided)),
        intervals=tuple(_intervals(decided)),
        ours=_scores([(fight.record.probability, fight.won) for fight in decided]),
        priced=_scores([(fight.record.probability, fight.won) for fight in priced]),
        market=_scores([(fight.record.market or 0.0, fight.won) for fight in priced]),
        bets=len(bets),
        bets_won=sum(fight.record.bet_on == fight.won for fight in bets),
        bets_expected=sum(
            fight.record.probability if fight.record.bet_on == 0 else 1 - fight.record.probability for fight in bets
        ),
    )


def _match(records: Sequence[PredictionRecord], results: Sequence[FightResult]) -> list[PredictedFight]:
    by_bout: dict[tuple[str, str], list[FightResult]] = defaultdict(list)
    for result in results:
        by_bout[bout_key(*result.fighters)].append(result)
    last: dict[tuple[tuple[str, str], date], PredictedFight] = {}
    for record in sorted(records, key=_logged_at):
        bout = bout_key(*record.fighters)
        near = timedelta(days=_MAX_DAYS_APART)
        found = [result for result in by_bout[bout] if abs(result.date - record.day) <= near]
        fight = _with_result(record, found)
        # A fight that is in the log under two days has one result; without a result each day is a fight.
        last[bout, found[0].date if found else record.day] = fight
    return sorted(last.values(), key=lambda fight: (-fight.record.day.toordinal(), fight.record.fighters))


def _with_result(record: PredictionRecord, found: Sequence[FightResult]) -> PredictedFight:
    if not found:
        return PredictedFight(record=record, won=None, ending="waiting")
    winners = {_winner(result, record) for result in found}
    if len(winners) > 1:
        return PredictedFight(record=record, won=None, ending="contradicted")
    return PredictedFight(record=record, won=winners.pop(), ending=found[0].ending)


def _winner(result: FightResult, record: PredictionRecord) -> Literal[0, 1] | None:
    if result.winner is None:
        return None
    return 0 if fighter_key(result.fighters[result.winner]) == fighter_key(record.fighters[0]) else 1


def _logged_at(record: PredictionRecord) -> datetime:
    return record.at or datetime.min.replace(tzinfo=UTC)


def _reliability(decided: Sequence[PredictedFight]) -> list[ReliabilityRow]:
    bins: dict[int, list[PredictedFight]] = defaultdict(list)
    for fight in decided:
        bins[min(len(_EDGES) - 2, int((fight.favourite_probability - 0.5) / 0.05 + 1e-9))].append(fight)
    rows = []
    for index, fights in sorted(bins.items()):
        won = sum(fight.favourite == fight.won for fight in fights)
        lower, upper = wilson_interval(won, len(fights))
        rows.append(
            ReliabilityRow(
                from_probability=_EDGES[index],
                to_probability=_EDGES[index + 1],
                fights=len(fights),
                forecast=sum(fight.favourite_probability for fight in fights) / len(fights),
                won=won / len(fights),
                lower=lower,
                upper=upper,
            )
        )
    return rows


def _intervals(decided: Sequence[PredictedFight]) -> list[IntervalRow]:
    ends: dict[float, list[tuple[float, float, bool]]] = defaultdict(list)
    for fight in decided:
        for each in fight.record.intervals:
            low, high = (each.lower, each.upper) if fight.favourite == 0 else (1 - each.upper, 1 - each.lower)
            ends[each.level].append((low, high, fight.favourite == fight.won))
    return [
        IntervalRow(
            level=level,
            fights=len(rows),
            lower=sum(low for low, _, _ in rows) / len(rows),
            won=sum(won for _, _, won in rows) / len(rows),
            upper=sum(high for _, high, _ in rows) / len(rows),
        )
        for level, rows in sorted(ends.items())
    ]


def _scores(pairs: Sequence[tuple[float, int | None]]) -> Scores | None:
    if not pairs:
        return None
    right = [(probability if won == 0 else 1 - probability) for probability, won in pairs]
    return Scores(
        fights=len(right),
        brier=sum((1 - chance) ** 2 for chance in right) / len(right),
        log_loss=-sum(math.log(max(chance, 1e-15)) for chance in right) / len(right),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95% score interval of a share.

    References
    ----------
    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    share, z2 = successes / trials, _Z**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)
