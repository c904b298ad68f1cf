"""Line charts over time as inline SVG, in the colours of the page that contains them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date
from html import escape

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 14, 12, 30
_TICKS = 5


def line_chart(points: Sequence[tuple[date, float]], label: str, start: float = 0.0) -> str:
    """Return a chart of values that change from day to day.

    Parameters
    ----------
    points
        Days in order, and the value from each day on. Two at least.
    label
        What the chart shows, for people who do not see it.
    start
        The value before the first day, where a dashed line is drawn.
    """
    ticks = _ticks(min(start, *(value for _, value in points)), max(start, *(value for _, value in points)))
    first, last = points[0][0].toordinal(), points[-1][0].toordinal()

    def x(day: date) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (day.toordinal() - first) / max(1, last - first)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    grid = "".join(
        f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="tick"/>'
        f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:,.0f}</text>'
        for tick in ticks
    )
    days = "".join(_day_label(day, x(day)) for day in _labelled_days(points))
    path = " ".join(f"{x(day):.1f},{y(value):.1f}" for day, value in points)
    base = f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(start):.1f}" y2="{y(start):.1f}" class="start"/>'
    line = f'<polyline points="{path}" class="curve"/>'
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label, quote=True)}">'
        f"{grid}{days}{base}{line}</svg>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return round values from at most `low` to at least `high`."""
    span = max(high - low, 1.0)
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * _TICKS >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _labelled_days(points: Sequence[tuple[date, float]]) -> Iterator[date]:
    """Yield the first and the last day, and one between them if there is room."""
    yield points[0][0]
    if len(points) > 4:
        yield points[len(points) // 2][0]
    yield points[-1][0]


def _day_label(day: date, place: float) -> str:
    anchor = "start" if place < _LEFT + 40 else "end" if place > WIDTH - _RIGHT - 40 else "middle"
    return f'<text x="{place:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{day}</text>'
