"""How the answer, the market and the prices of one fight moved: the paths of its drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from gateway.pages.fight_view import FightView, Side

HEIGHT = 200
_STEP = 0.05
_GRID_LINES = 6


class AnsweredFight(Struct, frozen=True, kw_only=True):
    """One answer to a fight: when it was settled, the job, and what it says."""

    at: datetime
    job_id: str
    view: FightView


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


def movement_of(moments: Sequence[AnsweredFight]) -> Movement | None:
    """Return the drawing of a fight's answers, oldest first; None for fewer than two."""
    if len(moments) < 2:
        return None
    name, opponent = (side.name for side in moments[-1].view.sides)
    rows = [
        (moment.at, side, other) for moment in moments if (pair := _pair(moment.view, name)) for side, other in [pair]
    ]
    start, end = rows[0][0], rows[-1][0]
    span = (end - start).total_seconds() or 1.0
    low, high = _range([value for _, side, other in rows for value in _values(side, other)])

    def x(at: datetime) -> float:
        return 100 * (at - start).total_seconds() / span

    def y(probability: float) -> float:
        return HEIGHT * (high - probability) / (high - low)

    def steps(value: Callable[[Side, Side], float | None]) -> str:
        return _steps([(x(at), None if (p := value(side, other)) is None else y(p)) for at, side, other in rows])

    first, last = rows[0][1], rows[-1][1]
    banded = [row for row in rows if row[1].intervals]
    return Movement(
        name=name,
        opponent=opponent,
        start=start,
        end=end,
        grid=tuple(GridLine(y(level), level) for level in _grid(low, high)),
        band=_band([(x(at), y(side.intervals[-1].upper), y(side.intervals[-1].lower)) for at, side, _ in banded]),
        ours=steps(lambda side, _: side.probability),
        market=steps(lambda side, _: side.market),
        needs=steps(lambda side, _: side.needed),
        other_needs=steps(lambda _, other: None if other.needed is None else 1 - other.needed),
        dots=tuple(Dot(x(at) / 100, y(side.probability)) for at, side, _ in rows),
        summary=_summary(name, len(rows), first, last),
    )


def _pair(view: FightView, name: str) -> tuple[Side, Side] | None:
    """Return the sides of a fighter and of the opponent, in whatever order an answer lists them."""
    one, other = view.sides
    if one.name == name:
        return one, other
    return (other, one) if other.name == name else None


def _values(side: Side, other: Side) -> list[float]:
    found = [side.probability, side.market, side.needed, None if other.needed is None else 1 - other.needed]
    if side.intervals:
        found += [side.intervals[-1].upper, side.intervals[-1].lower]
    return [value for value in found if value is not None]


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
