"""What the pages draw and say about a fight: a value for each mark of its picture, and every number in words."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from gateway.pages.filters import capitalize_first, percent
from ledger.contracts.jobs import DecisionRules, PredictCard
from ledger.contracts.reports import Bet, Contributions, FighterAnswer, FightFailure, FightReport, Interval
from producer.output.decision_text import (
    FLAG_MEANINGS,
    Reason,
    break_even,
    decision_text,
    edge_texts,
    explained_reasons,
    paying_price,
)
from producer.output.failure_text import REMEDIES

INTERVAL_REASONS = {"not_measured": "no interval: the errors of this model were never measured"}
MARKET_REASONS = {"no_market": "no market: there are no usable prices", "no_quotes": "no market: there are no prices"}


class Side(Struct, frozen=True, kw_only=True):
    """One fighter's row of a picture. Shares are probabilities of this fighter.

    Attributes
    ----------
    intervals
        Widest first.
    needed
        Probability from which the best price pays, None without a price.
    pays
        True if the lower end of the interval that decides is above `needed`.
    summary
        All marks of the row in words, for readers who cannot see it.
    """

    name: str
    probability: float
    intervals: tuple[Interval, ...]
    market: float | None
    market_aware: float | None
    best: Bet | None
    needed: float | None
    pays_from: float | None
    pays: bool
    summary: str


class Term(Struct, frozen=True):
    """A contribution to the logit of a fighter, and its length relative to the longest."""

    name: str
    value: float
    length: float


class FightView(Struct, frozen=True, kw_only=True):
    """A predicted fight as the pages show it."""

    id: str
    bet: bool
    decision: str
    sides: tuple[Side, ...]
    reasons: tuple[Reason, ...]
    edges: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    absences: tuple[str, ...]
    bookmakers: tuple[str, ...]
    overround: float | None
    level: float


class FailedFight(Struct, frozen=True, kw_only=True):
    """A fight without a prediction."""

    id: str
    names: tuple[str, str]
    code: str
    message: str
    remedy: str


def view_fight(fight: FightReport | FightFailure, card: PredictCard | None) -> FightView | FailedFight:
    """Return what to show of a fight; `card` is the job, whose rules and prices explain the reasons."""
    if isinstance(fight, FightFailure):
        failure = fight.failure
        return FailedFight(
            id=fight.id,
            names=fight.names,
            code=failure.code,
            message=failure.message,
            remedy=REMEDIES.get(failure.code, ""),
        )
    level = (card.rules if card is not None else DecisionRules()).level
    market = fight.market
    return FightView(
        id=fight.id,
        bet=fight.decision.action == "bet",
        decision=_decision(fight, card),
        sides=tuple(_side(answer, level) for answer in fight.fighters),
        reasons=tuple(explained_reasons(fight, card)),
        edges=tuple(edge_texts(fight)),
        flags=tuple((flag, FLAG_MEANINGS.get(flag, flag)) for flag in fight.flags),
        notes=fight.notes,
        absences=tuple(_absences(fight)),
        bookmakers=() if market is None else market.bookmakers,
        overround=None if market is None else market.overround,
        level=level,
    )


def terms_of(contributions: Contributions) -> list[Term]:
    """Return contributions in descending order of their size."""
    values = {"corner": contributions.corner, **contributions.groups}
    longest = max(map(abs, values.values()), default=0.0) or 1.0
    order = sorted(values, key=lambda name: -abs(values[name]))
    return [Term(name.replace("_", " "), values[name], abs(values[name]) / longest) for name in order]


def _decision(fight: FightReport, card: PredictCard | None) -> str:
    if fight.decision.action == "abstain":
        return "No bet"
    return capitalize_first(decision_text(fight, card).replace("% on ", "% of the bankroll on ", 1))


def _absences(fight: FightReport) -> list[str]:
    found = []
    if fight.interval_reason is not None:
        found.append(INTERVAL_REASONS.get(fight.interval_reason, f"no interval: {fight.interval_reason}"))
    if fight.market_reason is not None:
        found.append(MARKET_REASONS.get(fight.market_reason, f"no market: {fight.market_reason}"))
    return found


def _side(answer: FighterAnswer, level: float) -> Side:
    best = answer.best
    intervals = tuple(sorted(answer.intervals, key=lambda each: -each.level))
    pays = best is not None and best.expected_value_lower > 0
    side = Side(
        name=answer.name,
        probability=answer.probability,
        intervals=intervals,
        market=answer.market_probability,
        market_aware=None if answer.market_aware is None else answer.market_aware.probability,
        best=best,
        needed=None if best is None else break_even(best),
        pays_from=None if best is None else paying_price(best),
        pays=pays,
        summary="",
    )
    return _with_summary(side, intervals, level)


def _with_summary(side: Side, intervals: Sequence[Interval], level: float) -> Side:
    parts = [f"{side.name} wins with probability {percent(side.probability)}"]
    parts += [f"{each.level:.0%} interval {each.lower:.0%} to {each.upper:.0%}" for each in intervals]
    if side.market is not None:
        parts.append(f"market {percent(side.market)}")
    if side.best is not None and side.needed is not None:
        verdict = "pays" if side.pays else "does not pay"
        parts.append(f"best price {side.best.price:.2f} by {side.best.bookmaker} needs {percent(side.needed)}")
        parts.append(f"it {verdict} at the lower end of the {level:.0%} interval")
    return msgspec.structs.replace(side, summary="; ".join(parts))
