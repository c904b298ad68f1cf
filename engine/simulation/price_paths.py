"""How the prices of a simulated bout move from the opening to the bell, and after it.

The market's logit is a random walk that ends in its view at the bell, so the close is the most accurate price. Each
bookmaker follows the walk at moments of its own, with an error of its own and a margin that shrinks towards the bell;
some take their price away for a while, or for good. After the bell some go on with prices of the running fight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from engine.arrays import Floats
from engine.market.devigging import add_margin
from engine.market.odds import decimal_to_american
from engine.simulation.bookmakers import BOOKMAKER_OVERROUNDS

Moments = NDArray[np.int64]

HOUR_SECONDS = 3_600
_WALK_SD = 0.30
"""Standard deviation of the walk of the market's logit from the opening to the bell."""
_BOOKMAKER_SD = 0.05
_MOVE_HOURS = 30.0
"""Mean time between two moves of one bookmaker; `_LAST_DAY_MOVES` more come in the last day."""
_LAST_DAY_MOVES = 4.0
_OPENING_MARGIN = 0.02
_WITHDRAWN_SHARE = 0.06
_IN_PLAY_BOOKMAKERS = 3


class PriceMove(NamedTuple):
    """A change of one bookmaker's American prices, first fighter first; None if it takes its price away."""

    at_seconds: int
    bookmaker: str
    prices: tuple[int, int] | None


def draw_price_path(view: float, opens_seconds: int, bell_seconds: int, rng: np.random.Generator) -> list[PriceMove]:
    """Return the moves of all bookmakers from the opening to the bell, in order of time.

    Parameters
    ----------
    view
        The market's logit of the first fighter at the bell.
    opens_seconds, bell_seconds
        Seconds of the season at which the first price may be quoted, and at which the fight begins.
    rng
        Source of all draws.
    """
    life_seconds = bell_seconds - opens_seconds
    times = [_move_times(opens_seconds, bell_seconds, rng) for _ in BOOKMAKER_OVERROUNDS]
    moments = np.unique(np.concatenate(times))
    walk = dict(zip(moments.tolist(), _walk_back((bell_seconds - moments) / life_seconds, rng), strict=True))
    moves: list[PriceMove] = []
    for (name, overround), own in zip(BOOKMAKER_OVERROUNDS.items(), times, strict=True):
        bias = rng.normal(0.0, _BOOKMAKER_SD)
        left = (bell_seconds - own) / life_seconds
        views = view + bias + np.array([walk[moment] for moment in own.tolist()])
        american = _american(views, overround + _OPENING_MARGIN * left)
        away = rng.random(len(own)) < _WITHDRAWN_SHARE
        away[0] = False
        moves += _changes(name, own, american, away)
    return sorted(moves)


def draw_in_play(first_won: bool, bell_seconds: int, over_seconds: int, rng: np.random.Generator) -> list[PriceMove]:
    """Return moves after the bell: prices of a fight under way, which drift to its result."""
    moves: list[PriceMove] = []
    for name in rng.choice(list(BOOKMAKER_OVERROUNDS), size=_IN_PLAY_BOOKMAKERS, replace=False).tolist():
        own = np.unique(rng.integers(bell_seconds + 1, max(over_seconds, bell_seconds + 2), size=3))
        done = (own - bell_seconds) / (over_seconds - bell_seconds)
        views = (3.0 if first_won else -3.0) * done + rng.normal(0.0, 0.5, len(own))
        moves += _changes(name, own, _american(views, np.full(len(own), 1.08)), np.zeros(len(own), dtype=np.bool_))
    return sorted(moves)


def _move_times(opens_seconds: int, bell_seconds: int, rng: np.random.Generator) -> Moments:
    life_seconds = bell_seconds - opens_seconds
    first = min(opens_seconds + int(rng.exponential(6.0 * HOUR_SECONDS)), bell_seconds - 1)
    usual = rng.integers(first, bell_seconds, size=int(rng.poisson(life_seconds / (_MOVE_HOURS * HOUR_SECONDS))))
    last_day = max(first, bell_seconds - 24 * HOUR_SECONDS)
    late = rng.integers(last_day, bell_seconds, size=int(rng.poisson(_LAST_DAY_MOVES)))
    return np.unique(np.concatenate([np.array([first]), usual, late]).astype(np.int64))


def _walk_back(left: Floats, rng: np.random.Generator) -> Floats:
    """Return the walk at moments in order of time, from the share of the time that is left: 0 at the bell."""
    steps = np.sqrt(np.diff(left[::-1], prepend=0.0)) * rng.normal(0.0, _WALK_SD, len(left))
    walk: Floats = np.cumsum(steps)[::-1]
    return walk


def _american(views: Floats, implied_total: Floats) -> Floats:
    # Bookmakers do not quote beyond about 1 to 50.
    prices: Floats = np.round(decimal_to_american(add_margin(expit(np.clip(views, -3.0, 3.0)), implied_total)))
    return prices


def _changes(name: str, moments: Moments, american: Floats, away: NDArray[np.bool_]) -> list[PriceMove]:
    """Return the moves of one bookmaker that change what it quotes."""
    moves: list[PriceMove] = []
    before: tuple[int, int] | None = None
    for moment, (first, second), gone in zip(moments.tolist(), american.tolist(), away.tolist(), strict=True):
        quoted = None if gone else (int(first), int(second))
        if quoted != before:
            moves.append(PriceMove(moment, name, quoted))
        before = quoted
    return moves
