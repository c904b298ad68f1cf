"""Anchored intervals: half-widths on the logit scale, measured against the market on past fights.

The error of a model's logit has a part that no resampling of the training data can show: the signal that the model has
not learnt. It has to be measured from outside, and closing odds are one such measurement. On training fights with odds,
v = m - c is the distance from the calibrated out-of-fold logit c to the recalibrated market logit m = s x. The
half-width is a quantile of |v|, scaled.

The scale converts v into the wanted distance d from c to the truth. If the truth's logit is c + beta v plus a part that
is independent of v, and m + r with r independent of m, then E[d^2] / E[v^2] = 2 beta - 1 + E[r^2] / E[v^2]. Here beta
is the slope of the result on v given c. A noisy market is recalibrated by a slope s below 1, which leaves E[r^2] = s (1
- s) E[x^2] outside m, as in any regression on a noisy variable. beta^2, the part explained by v alone, is the least
that E[d^2] / E[v^2] can be. The scale is never below 1, because a model that has learnt from the market
(`engine.training.soft_labels`) shares the market's errors, which this measurement cannot show. A floor from the
bootstrap's spread covers errors that model and market have in common. Half-widths are taken by experience class,
because less is known about debutants.

The method assumes that future fights are like past ones. It gives no guarantee for a single fight: no narrow
distribution-free interval for a probability exists (Barber 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil, floor
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from engine.arrays import Floats
from engine.errors import TrainingError, ValidationError
from engine.statistics.calibration import fit_logistic

FLOOR_FACTOR = 2.0  # without an anchor; measured on simulated leagues, with mirror averaging
GUARD_FACTOR = 1.5  # with an anchor; chosen on simulated worlds: see docs/concepts/intervals.md
CLASS_EDGES = (1, 3, 6)  # classes 0, 1-2, 3-5, 6 and more earlier fights of the less experienced fighter
MIN_PRICED_FIGHTS = 200  # fewest closing odds for a 95% quantile
MIN_CLASS_FIGHTS = 100  # a class with fewer uses the pooled half-width
MAX_CACHED_LEVELS = 64  # a caller may ask for any level

HalfWidthMethod = Literal["anchored", "model_based"]


@dataclass(frozen=True, slots=True, eq=False)
class HalfWidths:
    """The measurements that give an interval's half-width at any level.

    Without distances and without spread nothing has been measured, and there is no interval.

    Attributes
    ----------
    distances
        Sorted |v| of the training fights with odds: for each corner state (unknown, known) one array for each
        experience class and the pooled one last. Empty arrays if the method is `model_based`.
    scale
        Factor of the quantiles of the distances, for each corner state.
    spread
        Pooled standard deviation of the replicas' calibrated logits; None without replicas.
    """

    distances: tuple[tuple[Floats, ...], tuple[Floats, ...]]
    scale: tuple[float, float]
    spread: float | None
    _tables: dict[float, Floats] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def unmeasured(cls) -> HalfWidths:
        """Return half-widths of a model that has neither been compared with a market nor has replicas."""
        none = tuple(np.empty(0) for _ in range(len(CLASS_EDGES) + 2))
        return cls((none, none), (1.0, 1.0), None)

    @property
    def is_measured(self) -> bool:
        """True if an interval can be given."""
        return self.spread is not None or len(self.distances[0][-1]) > 0

    @property
    def method(self) -> HalfWidthMethod:
        """`anchored` if the training data had odds, `model_based` otherwise."""
        return "anchored" if len(self.distances[0][-1]) else "model_based"

    def at_level(self, level: float, corner_known: NDArray[np.bool_], experience: NDArray[np.int64]) -> Floats:
        """Return the half-width of each fight on the logit scale, (n,).

        Parameters
        ----------
        level
            Confidence level in (0, 1).
        corner_known
            True if the official corner is known, (n,).
        experience
            Earlier fights of the less experienced fighter, -1 if unknown, (n,).

        Raises
        ------
        ValidationError
            If the level needs more past fights than the model was measured on.
        """
        return np.asarray(self._table(level)[corner_known.astype(np.intp), experience_class(experience)])

    def _table(self, level: float) -> Floats:
        """Return the half-widths at a level, (2 corner states, experience classes).

        Cached: a quantile costs more than a prediction.
        """
        table = self._tables.get(level)
        if table is None:
            table = self._measure(level)
            if len(self._tables) >= MAX_CACHED_LEVELS:
                self._tables.clear()
            self._tables[level] = table
        return table

    def _measure(self, level: float) -> Floats:
        normal = 0.0 if self.spread is None else float(ndtri(0.5 + level / 2.0)) * self.spread
        if self.method == "model_based":
            return np.full((2, len(CLASS_EDGES) + 2), FLOOR_FACTOR * normal)
        _check_level(level, min(len(group) for state in (0, 1) for group in self.class_distances(state)))
        least = GUARD_FACTOR * normal
        return np.array(
            [
                [max(least, self.scale[state] * _quantile(group, level)) for group in self.class_distances(state)]
                for state in (0, 1)
            ]
        )

    def class_distances(self, state: int) -> list[Floats]:
        """Return the distances of each experience class, or of all fights if it has fewer than MIN_CLASS_FIGHTS."""
        pooled = self.distances[state][-1]
        return [group if len(group) >= MIN_CLASS_FIGHTS else pooled for group in self.distances[state]]


def _quantile(ascending: Floats, level: float) -> float:
    """Return the value that one more exchangeable value exceeds with a probability of at most 1 - level.

    Of n exchangeable values that is the ceil((n + 1) level)-th, as in split conformal prediction (Vovk, Gammerman and
    Shafer 2005). There is no interpolation: it would void the guarantee.
    """
    return float(ascending[_rank(len(ascending), level) - 1])


def _rank(n: int, level: float) -> int:
    return ceil((n + 1) * level - 1e-9)  # minus the rounding error of the product


def _check_level(level: float, fights: int) -> None:
    """Raise ValidationError if the number of past fights is too small for a quantile at this level."""
    if _rank(fights, level) > fights:
        needed = ceil(level / (1.0 - level) * (1.0 - 1e-9))
        reached = floor(fights / (fights + 1) * 10_000) / 10_000
        raise ValidationError(
            f"an interval at level {level:g} needs {needed:,} past fights with closing odds in each experience class; "
            f"the smallest that this model was measured on has {fights:,}, which reach level {reached:g}: request "
            "at most that level, for intervals and for the rules, or train on more fights with odds"
        )


def experience_class(experience: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the class of each fight, (n,): 0 to 3 by earlier fights, 4 (pooled) if the experience is unknown (-1)."""
    classes = np.digitize(experience, CLASS_EDGES)
    return np.asarray(np.where(experience < 0, len(CLASS_EDGES) + 1, classes), dtype=np.intp)


def fit_half_widths(
    unknown_logit: Floats,
    known_logit: Floats,
    market_logit: Floats,
    won: NDArray[np.int8],
    corner_known: NDArray[np.bool_],
    experience: NDArray[np.int64],
    spread: float | None,
) -> HalfWidths:
    """Measure the half-widths on training fights; all arrays have length n.

    Parameters
    ----------
    unknown_logit, known_logit
        Calibrated out-of-fold logits without and with the corner term.
    market_logit
        De-vigged closing logit of the first fighter, NaN without odds.
    won
        1 if the first fighter won, 0 otherwise.
    corner_known
        True if the official corner is known.
    experience
        Earlier fights of the less experienced fighter, -1 if unknown.
    spread
        Pooled standard deviation of the replicas' calibrated logits; None without replicas.

    Raises
    ------
    TrainingError
        If there is neither a market nor a bootstrap to measure with, or if the market favours the losers.
    """
    priced = np.isfinite(market_logit)
    if priced.sum() < MIN_PRICED_FIGHTS:
        if spread is None:
            raise TrainingError(
                f"no interval can be made: {int(priced.sum())} fights have closing odds (at least {MIN_PRICED_FIGHTS} "
                "are needed) and there are no replicas; set bootstrap_samples to 100, or add odds"
            )
        return replace(HalfWidths.unmeasured(), spread=spread)
    slope = float(fit_logistic(market_logit[priced, None], won[priced])[0])
    if slope <= 0.0:
        raise TrainingError(
            f"closing odds point the wrong way (slope {slope:.3f} of results on their logit): are the two sides' odds "
            "swapped? Correct them, or leave them out"
        )
    market = slope * market_logit
    unknown = _distances(market, slope, unknown_logit, won, experience, priced)
    usable = priced & corner_known
    known = unknown
    if usable.sum() >= MIN_PRICED_FIGHTS:
        known = _distances(market, slope, known_logit, won, experience, usable)
    return HalfWidths((unknown[0], known[0]), (unknown[1], known[1]), spread)


def _distances(
    market: Floats,
    slope: float,
    logit: Floats,
    won: NDArray[np.int8],
    experience: NDArray[np.int64],
    rows: NDArray[np.bool_],
) -> tuple[tuple[Floats, ...], float]:
    v = market[rows] - logit[rows]
    beta = float(fit_logistic(v[:, None], won[rows], logit[rows])[0])
    hidden = max(0.0, 1.0 / slope - 1.0) * float(np.mean(market[rows] ** 2) / np.mean(v**2))
    classes = experience_class(experience[rows])
    groups = [np.sort(np.abs(v[classes == group])) for group in range(len(CLASS_EDGES) + 1)]
    shown = 2.0 * beta - 1.0 + hidden  # E[d^2] / E[v^2]
    return (*groups, np.sort(np.abs(v))), float(np.sqrt(max(1.0, beta**2, shown)))
