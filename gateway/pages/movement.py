"""How the answer, the market and the prices of one fight moved: the paths of its drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from gateway.pages.fight_view import FightView, Side
from ledger.contracts.prices import PriceChange
from ledger.prices.as_of import quotes_over_time
from producer.feed_runner.consensus import mean_probability, net_price

HEIGHT = 200
MAX_POINTS = 300
_STEP = 0.05
_GRID_LINES = 6


class AnsweredFight(Struct, frozen=True, kw_only=True):
    """One answer to a fight: when it was settled, the job, and what it says."""

    at: datetime
    job_id: str
    view: FightView


class MarketPoint(Struct, frozen=True, kw_only=True):
    """The market of a fight from a moment on: by fighter the probability and the best price, net of commission."""

    at: datetime
    probabilities: dict[str, float]
    needed: dict[str, float]


class Dot(Struct, frozen=True):
    """A point of the drawing: share of the width, and pixels from the top."""

    x: float
    y: float


class GridLine(Struct, frozen=True):
    """A horizontal line of the drawing at a probability."""

    y: float
    probability: float


class Movement(Struct, frozen=True, kw_only=True):
    """A drawing of one fighter's numbers over time.

    Paths are of a view box of 100 by HEIGHT. `needs` and `other_needs` are the probabilities at which the best prices
    of the fighter and of the opponent begin to pay: the band must lie above the first, or below the second.
    """

    name: str
    opponent: str
    start: datetime
    end: datetime
    grid: tuple[GridLine, ...]
    band: str
    ours: str
    market: str
    needs: str
    other_needs: str
    dots: tuple[Dot, ...]
    summary: str


def market_points(changes: Sequence[PriceChange]) -> list[MarketPoint]:
    """Return how the market of a fight moved, oldest first, at most MAX_POINTS and a little more."""
    points = []
    found = list(quotes_over_time(changes))
    step = max(1, len(found) // MAX_POINTS)
    for number, (at, quotes) in enumerate(found):
        if number % step and number != len(found) - 1:
            continue
        names = sorted({name for quote in quotes for name in quote.prices})
        fair = [mean_probability(quotes, name) for name in names]
        points.append(
            MarketPoint(
                at=at,
                probabilities={name: share for name, share in zip(names, fair, strict=True) if share is not None},
                needed={
                    name: 1 / max(net_price(quote.prices[name], quote.commission) for quote in quotes) for name in names
                },
            )
        )
    return points


def movement_of(moments: Sequence[AnsweredFight], market: Sequence[MarketPoint] = ()) -> Movement | None:
    """Return the drawing of a fight's answers and prices.

    Parameters
    ----------
    moments
        The answers, oldest first; fewer than two make no drawing, unless there are prices.
    market
        The price history, oldest first; without it the prices of the answers are drawn.
    """
    if not moments or len(moments) + len(market) < 2:
        return None
    name, opponent = (side.name for side in moments[-1].view.sides)
    rows = [
        (moment.at, side, other) for moment in moments if (pair := _pair(moment.view, name)) for side, other in [pair]
    ]
    prices = _prices_of(market, name, opponent) or [
        _Prices(at, side.market, side.needed, None if other.needed is None else 1 - other.needed)
        for at, side, other in rows
    ]
    start, end = min(rows[0][0], prices[0].at), max(rows[-1][0], prices[-1].at)
    span = (end - start).total_seconds() or 1.0
    shown = [value for each in prices for value in (each.market, each.needs, each.other_needs) if value is not None]
    low, high = _range([value for _, side, _ in rows for value in _values(side)] + shown)

    def x(at: datetime) -> float:
        return 100 * (at - start).total_seconds() / span

    def y(probability: float) -> float:
        return HEIGHT * (high - probability) / (high - low)

    def steps(value: Callable[[_Prices], float | None]) -> str:
        points = [(x(each.at), None if (p := value(each)) is None else y(p)) for each in prices]
        return _steps([*points, (100.0, points[-1][1])] if points[-1][0] < 100 else points)

    first, last = rows[0][1], rows[-1][1]
    banded = [row for row in rows if row[1].intervals]
    return Movement(
        name=name,
        opponent=opponent,
        start=start,
        end=end,
        grid=tuple(GridLine(y(level), level) for level in _grid(low, high)),
        band=_band([(x(at), y(side.intervals[-1].upper), y(side.intervals[-1].lower)) for at, side, _ in banded]),
        ours=_steps([(x(at), y(side.probability)) for at, side, _ in rows]),
        market=steps(lambda each: each.market),
        needs=steps(lambda each: each.needs),
        other_needs=steps(lambda each: each.other_needs),
        dots=tuple(Dot(x(at) / 100, y(side.probability)) for at, side, _ in rows),
        summary=_summary(name, len(rows), first, last),
    )


class _Prices(NamedTuple):
    """The market of the fighter that is drawn from a moment on; `other_needs` is the opponent's, as a share of ours."""

    at: datetime
    market: float | None
    needs: float | None
    other_needs: float | None


def _prices_of(market: Sequence[MarketPoint], name: str, opponent: str) -> list[_Prices]:
    return [
        _Prices(
            point.at,
            point.probabilities.get(name),
            point.needed.get(name),
            1 - point.needed[opponent] if opponent in point.needed else None,
        )
        for point in market
    ]


def _pair(view: FightView, name: str) -> tuple[Side, Side] | None:
    """Return the sides of a fighter and of the opponent, in whatever order an answer lists them."""
    one, other = view.sides
    if one.name == name:
        return one, other
    return (other, one) if other.name == name else None


def _values(side: Side) -> list[float]:
    return [side.probability, *((side.intervals[-1].upper, side.intervals[-1].lower) if side.intervals else ())]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low = max(0.0, math.floor(min(values) / _STEP - 0.2) * _STEP)
    high = min(1.0, math.ceil(max(values) / _STEP + 0.2) * _STEP)
    return low, max(high, low + _STEP)


def _grid(low: float, high: float) -> list[float]:
    step = next(each for each in (0.05, 0.1, 0.2, 0.25) if (high - low) / each <= _GRID_LINES)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _steps(points: Sequence[tuple[float, float | None]]) -> str:
    """Return a path on which each value holds until the next; it is interrupted where there is none."""
    path, drawing = [], False
    for x, y in points:
        if drawing:
            path.append(f"H{x:.2f}")
        if y is not None:
            path.append(f"V{y:.1f}" if drawing else f"M{x:.2f} {y:.1f}")
        drawing = y is not None
    return "".join(path)


def _band(rows: Sequence[tuple[float, float, float]]) -> str:
    if not rows:
        return ""
    upper = _steps([(x, high) for x, high, _ in rows])
    back = f"V{rows[-1][2]:.1f}"
    for (x, _, _), (_, _, before) in zip(reversed(rows[1:]), reversed(rows[:-1]), strict=True):
        back += f"H{x:.2f}V{before:.1f}"
    return f"{upper}{back}H{rows[0][0]:.2f}Z"


def _summary(name: str, count: int, first: Side, last: Side) -> str:
    parts = [f"{count} answers: {name} went from {first.probability:.1%} to {last.probability:.1%}"]
    if first.market is not None and last.market is not None:
        parts.append(f"the market from {first.market:.1%} to {last.market:.1%}")
    if first.best is not None and last.best is not None:
        parts.append(f"the best price from {first.best.price:.2f} to {last.best.price:.2f}")
    return ", ".join(parts)
