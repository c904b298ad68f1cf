"""Answers and closing prices of a season against the league's true probabilities.

Scored is the expected log loss under the truth, -p log q - (1 - p) log(1 - q), with the true probability p and the
forecast q: it does not depend on who won, and its least value is the truth's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log
from statistics import median
from typing import Any

from msgspec import Struct

from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import Quote
from ledger.contracts.reports import CardReport, FightReport

LEVELS = (0.8, 0.95)
_HALVINGS = 60


class Calibration(Struct, frozen=True, kw_only=True):
    """Calibration over the fights that have an answer and a close, None if there are none.

    Attributes
    ----------
    fights
        Number of fights.
    inside
        How many of the fights have the truth inside the interval of a level, by level.
    truth, answers, market_aware, closes
        Mean expected log loss of the truth itself, of the answers from statistics, of the market-aware answers, and
        of the closes.
    """

    fights: int
    inside: dict[str, int]
    truth: float | None = None
    answers: float | None = None
    market_aware: float | None = None
    closes: float | None = None


def calibrate(
    bouts: Iterable[Mapping[str, Any]], answers: Mapping[str, FightReport], closes: Mapping[str, Sequence[Quote]]
) -> Calibration:
    """Compare answers and closes with the truth.

    Parameters
    ----------
    bouts
        The bouts of `season.json`.
    answers
        The answer of each fight that was the newest at its bell, by the fight's id.
    closes
        The closing quotes of each fight, by its id.
    """
    rows: list[tuple[float, float, float | None, float]] = []
    inside = dict.fromkeys(LEVELS, 0)
    for bout in bouts:
        fight_id, (first, second) = bout["listings"][-1]["id"], bout["fighters"]
        report, close = answers.get(fight_id), close_probability(closes.get(fight_id, ()), first, second)
        if report is None or close is None:
            continue
        truth = float(bout["probability"])
        answer = next(answer for answer in report.fighters if answer.name == first)
        for interval in answer.intervals:
            if interval.level in inside:
                inside[interval.level] += interval.lower <= truth <= interval.upper
        aware = answer.market_aware
        rows.append((truth, answer.probability, None if aware is None else aware.probability, close))
    aware_rows = [(truth, aware) for truth, _, aware, _ in rows if aware is not None]
    return Calibration(
        fights=len(rows),
        inside={f"{level:g}": count for level, count in inside.items()},
        truth=_mean_loss((truth, truth) for truth, *_ in rows),
        answers=_mean_loss((truth, answer) for truth, answer, _, _ in rows),
        market_aware=_mean_loss(aware_rows),
        closes=_mean_loss((truth, close) for truth, _, _, close in rows),
    )


def newest_answers(outcomes: Iterable[Outcome], bells: Mapping[str, float]) -> dict[str, FightReport]:
    """Return of each fight the last answer before its bell, in seconds since 1970, from outcomes in order."""
    found: dict[str, FightReport] = {}
    for outcome in outcomes:
        if isinstance(outcome.report, CardReport):
            for fight in outcome.report.fights:
                if isinstance(fight, FightReport) and outcome.settled_at.timestamp() < bells.get(fight.id, 0.0):
                    found[fight.id] = fight
    return found


def close_probability(quotes: Sequence[Quote], first: str, second: str) -> float | None:
    """Return the median over bookmakers of the first fighter's probability without margin, None without quotes."""
    pairs = [(quote.prices[first], quote.prices[second]) for quote in quotes if {first, second} <= quote.prices.keys()]
    return float(median(_without_margin(1.0 / one, 1.0 / other) for one, other in pairs)) if pairs else None


def _without_margin(first: float, second: float) -> float:
    """Return the first probability by the power method: the implied ones to the power at which they sum to 1."""

    def excess(power: float) -> float:
        total: float = first**power + second**power
        return total - 1.0

    share: float = first ** _root(excess, 0.01, 100.0)
    return share


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if falling(middle) > 0.0 else (low, middle)
    return (low + high) / 2.0


def _mean_loss(pairs: Iterable[tuple[float, float]]) -> float | None:
    losses = [-truth * log(forecast) - (1.0 - truth) * log(1.0 - forecast) for truth, forecast in pairs]
    return sum(losses) / len(losses) if losses else None
