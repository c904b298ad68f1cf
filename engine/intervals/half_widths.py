"""The anchored interval: a half-width on the logit scale, measured against the market on past fights.

The error of a model's logit has a part that no resampling of its own data can see: the signal it has not learnt. An
outside measurement is needed, and closing odds are one. On training fights with odds, v = m - c is the distance from
the calibrated out-of-fold logit c to the recalibrated market logit m = s x; the quantile of |v|, scaled, is the
half-width.

The scale makes of v what is wanted, the distance d from c to the truth. Where the truth's logit is c + beta v and more
that v does not know, and m + r with r independent of m, E[d^2] / E[v^2] = 2 beta - 1 + E[r^2] / E[v^2]. beta is the
slope of the result on v given c. A market with noise in it is recalibrated by a slope s below 1, which leaves
E[r^2] = s (1 - s) E[x^2] outside m, as in any regression on a noisy variable. beta^2, which v alone explains, is the
least that d can be; and the whole only ever widens, for a model that has learnt from the market
(`engine.training.soft_labels`) shares its blindness, and nothing here shows that. A floor from the bootstrap's spread
guards against a market that is blind where the model is. Half-widths are taken by experience class, since debutants are
harder to know.

Covers fitting and applying half-widths. Assumes that the coming fights are like the past ones. It is not a guarantee
for one fight: no narrow distribution-free interval for a probability exists (Barber 2020).
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

FLOOR_FACTOR = 2.0  # where the spread is all there is; measured on simulated leagues, with mirror averaging
GUARD_FACTOR = 1.5  # beside an anchor; chosen on simulated worlds: see docs/concepts/intervals.md
CLASS_EDGES = (1, 3, 6)  # earlier fights of the less experienced fighter: 0, 1-2, 3-5, 6 and more
MIN_PRICED_FIGHTS = 200  # fewer closing odds than this do not make a 95% quantile
MIN_CLASS_FIGHTS = 100  # a class with fewer takes the pooled half-width
MOST_KEPT_LEVELS = 64  # a caller may ask for any level

Method = Literal["anchored", "model_based"]


@dataclass(frozen=True, slots=True, eq=False)
class HalfWidths:
    """What it takes to give an interval at any level.

    distances: sorted |v| of the priced training fights, one array for each corner state (unknown, known) and
    experience class, the pooled one last; empty arrays where the model is `model_based`. scale: what their quantiles
    are multiplied by, for each corner state. spread: pooled standard deviation of the replicas' calibrated
    logit, None without replicas. Without either, nothing is measured, and there is no interval to give.
    """

    distances: tuple[tuple[Floats, ...], tuple[Floats, ...]]
    scale: tuple[float, float]
    spread: float | None
    _tables: dict[float, Floats] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def unmeasured(cls) -> HalfWidths:
        """Nothing: for a model whose errors nobody has held against a market, and that has no replicas."""
        none = tuple(np.empty(0) for _ in range(len(CLASS_EDGES) + 2))
        return cls((none, none), (1.0, 1.0), None)

    @property
    def measured(self) -> bool:
        """Whether there is anything that an interval can rest on."""
        return self.spread is not None or len(self.distances[0][-1]) > 0

    @property
    def method(self) -> Method:
        """`anchored` where odds were in the training data, else `model_based`."""
        return "anchored" if len(self.distances[0][-1]) else "model_based"

    def at(self, level: float, corner_known: NDArray[np.bool_], experience: NDArray[np.int64]) -> Floats:
        """Return the half-width on the logit scale for each fight, (n,), at a confidence level in (0, 1).

        Raises ValidationError for a level that takes more past fights than the model was measured on.
        """
        return np.asarray(self._table(level)[corner_known.astype(np.intp), experience_class(experience)])

    def _table(self, level: float) -> Floats:
        """The half-widths at a level, (2 corner states, experience classes): a quantile costs more than a prediction.

        Kept with the model, so that they go when it goes.
        """
        table = self._tables.get(level)
        if table is None:
            table = self._measure(level)
            if len(self._tables) >= MOST_KEPT_LEVELS:
                self._tables.clear()
            self._tables[level] = table
        return table

    def _measure(self, level: float) -> Floats:
        normal = 0.0 if self.spread is None else float(ndtri(0.5 + level / 2.0)) * self.spread
        if self.method == "model_based":
            return np.full((2, len(CLASS_EDGES) + 2), FLOOR_FACTOR * normal)
        _check_level(level, min(len(group) for state in (0, 1) for group in self.groups(state)))
        least = GUARD_FACTOR * normal
        return np.array(
            [
                [max(least, self.scale[state] * _quantile(group, level)) for group in self.groups(state)]
                for state in (0, 1)
            ]
        )

    def groups(self, state: int) -> list[Floats]:
        """The distances of each experience class that has enough fights, of all of them for one that has not."""
        pooled = self.distances[state][-1]
        return [group if len(group) >= MIN_CLASS_FIGHTS else pooled for group in self.distances[state]]


def _quantile(ascending: Floats, level: float) -> float:
    """Return the value below which one more value of the same kind lies with a chance of at least `level`.

    Of n exchangeable values that is the ceil((n + 1) level)-th, as in split conformal prediction (Vovk, Gammerman and
    Shafer 2005); between two values there is nothing that would say so.
    """
    return float(ascending[_rank(len(ascending), level) - 1])


def _rank(n: int, level: float) -> int:
    return ceil((n + 1) * level - 1e-9)  # less the rounding error of the product


def _check_level(level: float, fights: int) -> None:
    """Raise ValidationError unless so many past fights can tell a quantile at this level."""
    if _rank(fights, level) > fights:
        needed = ceil(level / (1.0 - level) * (1.0 - 1e-9))
        reached = floor(fights / (fights + 1) * 10_000) / 10_000
        raise ValidationError(
            f"an interval at level {level:g} takes {needed:,} past fights with closing odds in each experience class; "
            f"the smallest that this model was measured on has {fights:,}, which reach level {reached:g}: ask for no "
            "more than that, in the levels and in the rules' level, or train on more fights with odds"
        )


def experience_class(experience: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the class of each fight: 0 to 3 by earlier fights, 4 (pooled) where the experience is unknown (-1)."""
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
    """Measure the half-widths on training fights; all arrays of length n.

    unknown_logit, known_logit: calibrated out-of-fold logits without and with the corner term. market_logit: de-vigged
    closing logit of the first fighter, NaN where there were no odds. Raises TrainingError where there is neither a
    market nor a bootstrap to measure with, and for a market that favours the losers.
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
            "swapped? Mend them, or leave them out"
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
