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

Strong favourites of the market lie further out than a model expects, so an interval reaches further away from 0 than
towards it: away from 0 the half-width is `outward_factor` times that towards 0, and a distance is measured in the same
unit (`interval_distance`).

A fight counts less the older it is (`RECENCY_HALF_LIFE_YEARS`), because model and market change; the quantile is the
conservative one of weighted split conformal prediction (Barber, Candes, Ramdas and Tibshirani 2023), which for equal
weights is the finite-sample quantile. `engine.intervals.reanchor` follows newer closes without a new training.

The labels are distributions, closing odds, instead of results: conformalized credal sets (Javanmardi, Stutz and
Huellermeier 2024). The method assumes that future fights are like past ones. It gives no guarantee for a single fight:
no narrow distribution-free interval for a probability exists (Barber 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil, floor, hypot
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from engine.arrays import Floats
from engine.errors import TrainingError, ValidationError
from engine.statistics.calibration import fit_logistic
from engine.statistics.complements import logit_to_probability

FLOOR_FACTOR = 2.0  # without an anchor; measured on simulated leagues, with mirror averaging
GUARD_FACTOR = 1.0  # with an anchor: never narrower than the bootstrap's own normal interval
CLASS_EDGES = (1, 3, 6)  # classes 0, 1-2, 3-5, 6 and more earlier fights of the less experienced fighter
MIN_PRICED_FIGHTS = 200  # fewest closing odds for a 95% quantile
MIN_CLASS_FIGHTS = 100  # a class with fewer uses the pooled half-width
MAX_CACHED_LEVELS = 64  # a caller may ask for any level
TRACKED_LEVELS = (0.8, 0.95)  # levels whose coverage `engine.intervals.reanchor` follows
OUTWARD = 0.5  # the least that holds 70% in each band of the market: see docs/decisions.md
OUTWARD_MAX_LOGIT = 1.5  # from here on the factor is constant
RECENCY_HALF_LIFE_YEARS = 3.0
_DAYS_A_YEAR = 365.25
_ROUNDING = 1e-9  # of a product of a level and a sum of weights

HalfWidthMethod = Literal["anchored", "model_based"]


@dataclass(frozen=True, slots=True, eq=False)
class HalfWidths:
    """The measurements that give an interval's half-width at any level.

    Without distances and without spread nothing has been measured, and there is no interval.

    Attributes
    ----------
    distances
        Sorted distances (`interval_distance`) of the training fights with odds: for each corner state (unknown, known)
        one array for each experience class and the pooled one last. Empty arrays if the method is `model_based`.
    scale
        Factor of the quantiles of the distances, for each corner state.
    spread
        Pooled standard deviation of the replicas' calibrated logits; None without replicas.
    weights
        Weight of each of the distances, in (0, 1], in the same order; None if all are 1.
    outward
        Growth of the outer half-width with the size of the logit, see `outward_factor`.
    market_slope
        Slope that recalibrated the market's logit when the distances were measured; None if none were.
    learnable
        Share of the squared distance between model and market that results confirm, in [0, 1], for each corner state:
        the slope of results on it. The rest is the noise of closes. None if no distances were measured.
    moved_levels
        For each corner state, the level at which the quantile is taken for each of TRACKED_LEVELS; equal to these
        until closes newer than the training have moved them (`engine.intervals.reanchor`).
    """

    distances: tuple[tuple[Floats, ...], tuple[Floats, ...]]
    scale: tuple[float, float]
    spread: float | None
    weights: tuple[tuple[Floats, ...], tuple[Floats, ...]] | None = None
    outward: float = 0.0
    market_slope: float | None = None
    learnable: tuple[float, float] | None = None
    moved_levels: tuple[tuple[float, ...], tuple[float, ...]] = (TRACKED_LEVELS, TRACKED_LEVELS)
    _tables: dict[float, tuple[Floats, Floats]] = field(default_factory=dict, init=False, repr=False)

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
        """Return the half-width of each fight on the logit scale, towards 0, (n,).

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
        return np.asarray(self._table(level)[0][corner_known.astype(np.intp), experience_class(experience)])

    def width_shares(
        self, level: float, corner_known: NDArray[np.bool_], experience: NDArray[np.int64]
    ) -> WidthShares | None:
        """Return what the half-widths of fights are made of; None if they were not measured on closing odds.

        With h the half-width, q the quantile of distances in it and b the `learnable` share, the shares of h^2 are (1 -
        b) q^2 / h^2, b q^2 / h^2 and 1 - q^2 / h^2.

        Parameters
        ----------
        level, corner_known, experience
            As in `at_level`.
        """
        if self.learnable is None or self.method == "model_based":
            return None
        state, group = corner_known.astype(np.intp), experience_class(experience)
        half_width, quantile = self._table(level)
        measured = np.square(quantile[state, group] / half_width[state, group])
        learnable = np.array(self.learnable)[state]
        return WidthShares((1.0 - learnable) * measured, learnable * measured, 1.0 - measured)

    def bounds(
        self, logit: Floats, level: float, corner_known: NDArray[np.bool_], experience: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """Return both ends of the interval on the logit scale, (n,) each; swapping the fighters negates and swaps them.

        Parameters
        ----------
        logit
            Calibrated logits, float64 (n,).
        level, corner_known, experience
            As in `at_level`.

        Raises
        ------
        ValidationError
            As `at_level`.
        """
        inner = self.at_level(level, corner_known, experience)
        outer = inner * outward_factor(logit, self.outward)
        return logit - np.where(logit < 0.0, outer, inner), logit + np.where(logit > 0.0, outer, inner)

    def _table(self, level: float) -> tuple[Floats, Floats]:
        """Return the half-widths at a level and the quantiles in them, (2 corner states, experience classes) each.

        Cached: a quantile costs more than a prediction.
        """
        table = self._tables.get(level)
        if table is None:
            table = self._measure(level)
            if len(self._tables) >= MAX_CACHED_LEVELS:
                self._tables.clear()
            self._tables[level] = table
        return table

    def _measure(self, level: float) -> tuple[Floats, Floats]:
        normal = 0.0 if self.spread is None else float(ndtri(0.5 + level / 2.0)) * self.spread
        if self.method == "model_based":
            table = np.full((2, len(CLASS_EDGES) + 2), FLOOR_FACTOR * normal)
            return table, np.zeros_like(table)
        _check_level(level, min(group.worth for state in (0, 1) for group in self.class_distances(state)))
        quantile = np.array(
            [
                [group.quantile(_moved(level, self.moved_levels[state])) for group in self.class_distances(state)]
                for state in (0, 1)
            ]
        )
        scaled = np.array(self.scale)[:, None] * quantile
        return np.maximum(GUARD_FACTOR * normal, scaled), quantile

    def class_distances(self, state: int) -> list[WeightedDistances]:
        """Return the distances of each experience class, or of all fights if it is worth less than MIN_CLASS_FIGHTS."""
        groups = [
            WeightedDistances(
                distances, np.ones(len(distances)) if self.weights is None else self.weights[state][index]
            )
            for index, distances in enumerate(self.distances[state])
        ]
        return [group if group.worth >= MIN_CLASS_FIGHTS else groups[-1] for group in groups]


class WidthShares(NamedTuple):
    """What the half-widths of fights are made of, as shares of their squares, which sum to 1; float64 (n,) each.

    Attributes
    ----------
    market_noise
        Noise of closing odds, from which the half-width was measured.
    not_learnt
        What the market knows and the model has not learnt.
    allowance
        Allowance for what model and market miss alike: the part that the scale and the bootstrap's spread add.
    """

    market_noise: Floats
    not_learnt: Floats
    allowance: Floats


@dataclass(frozen=True, slots=True, eq=False)
class WeightedDistances:
    """Ascending distances, float64 (n,), and their weights, float64 (n,)."""

    distances: Floats
    weights: Floats

    @property
    def worth(self) -> float:
        """The sum of the weights: the number of fights of today that the sample is worth."""
        return float(self.weights.sum())

    def quantile(self, level: float) -> float:
        """Return the value that one more exchangeable value exceeds with a probability of at most 1 - level.

        The new value has weight 1 and counts as infinite (Barber et al. 2023). Of n equal weights it is the ceil((n +
        1) level)-th distance, as in split conformal prediction (Vovk, Gammerman and Shafer 2005). There is no
        interpolation: it would void the guarantee. A level that the sample cannot reach gives the largest distance.
        """
        cumulated = np.cumsum(self.weights)
        index = int(np.searchsorted(cumulated, level * (cumulated[-1] + 1.0) - _ROUNDING))
        return float(self.distances[min(index, len(self.distances) - 1)])


def _moved(level: float, moved: tuple[float, ...]) -> float:
    """Return the level at which the quantile is taken; rises with the level."""
    return float(np.interp(level, (0.0, *TRACKED_LEVELS, 1.0), (0.0, *moved, 1.0)))


def _check_level(level: float, worth: float) -> None:
    """Raise ValidationError if past fights worth this number of new ones are too few for a quantile at this level."""
    if level * (worth + 1.0) - _ROUNDING > worth:
        needed = ceil(level / (1.0 - level) * (1.0 - 1e-9))
        reached = floor(worth / (worth + 1.0) * 10_000) / 10_000
        raise ValidationError(
            f"an interval at level {level:g} needs {needed:,} past fights with closing odds in each experience class; "
            f"the smallest that this model was measured on has {floor(worth):,}, which reach level {reached:g}: "
            "request at most that level, for intervals and for the rules, or train on more fights with odds"
        )


def outward_factor(logit: Floats, outward: float) -> Floats:
    """Return the half-width away from 0 in units of that towards 0: 1 + outward min(|logit|, OUTWARD_MAX_LOGIT)."""
    return np.asarray(1.0 + outward * np.minimum(np.abs(logit), OUTWARD_MAX_LOGIT))


def interval_distance(logit: Floats, market: Floats, outward: float) -> Floats:
    """Return the least half-width towards 0 of an interval around each logit that contains the market's, (n,).

    Parameters
    ----------
    logit
        Calibrated logits, float64 (n,).
    market
        The market's recalibrated logits, float64 (n,).
    outward
        Growth of the outer half-width, as in `outward_factor`.
    """
    v = market - logit
    return np.asarray(np.where(v * logit > 0.0, np.abs(v) / outward_factor(logit, outward), np.abs(v)))


def experience_class(experience: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the class of each fight, (n,): 0 to 3 by earlier fights, 4 (pooled) if the experience is unknown (-1)."""
    classes = np.digitize(experience, CLASS_EDGES)
    return np.asarray(np.where(experience < 0, len(CLASS_EDGES) + 1, classes), dtype=np.intp)


def years_before_end(date: NDArray[np.datetime64]) -> Floats:
    """Return the years from each day to the last one, float64 (n,)."""
    days = date.astype("datetime64[D]").astype(np.int64)
    return np.asarray((days.max() - days) / _DAYS_A_YEAR)


def fit_half_widths(
    unknown_logit: Floats,
    known_logit: Floats,
    market_logit: Floats,
    won: NDArray[np.int8],
    corner_known: NDArray[np.bool_],
    experience: NDArray[np.int64],
    spread: float | None,
    age_years: Floats | None = None,
    rating_spread: float | None = 0.0,
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
    age_years
        Years from each fight to the end of the data, float64, not negative; None to give all fights the same weight.
    rating_spread
        Standard deviation of the rating's part of the logit, which all replicas share; 0 for a model without a rating,
        None if it is unknown. Only a model without closing odds needs it: on others it is part of the distances.

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
        if rating_spread is None:
            return HalfWidths.unmeasured()
        return replace(HalfWidths.unmeasured(), spread=hypot(spread, rating_spread / FLOOR_FACTOR))
    slope = float(fit_logistic(market_logit[priced, None], won[priced])[0])
    if slope <= 0.0:
        raise TrainingError(
            f"closing odds point the wrong way (slope {slope:.3f} of results on their logit): are the two sides' odds "
            "swapped? Correct them, or leave them out"
        )
    market = slope * market_logit
    weights = np.ones(len(won)) if age_years is None else 0.5 ** (age_years / RECENCY_HALF_LIFE_YEARS)
    classes = experience_class(experience)

    def measure(logit: Floats, rows: NDArray[np.bool_]) -> tuple[list[WeightedDistances], float, float]:
        v = market[rows] - logit[rows]
        beta = float(fit_logistic(v[:, None], won[rows], logit[rows])[0])
        distance = interval_distance(logit[rows], market[rows], OUTWARD)
        scale = _scale(v, market[rows], slope, logit[rows], beta)
        return _by_class(distance, weights[rows], classes[rows]), scale, min(max(beta, 0.0), 1.0)

    unknown = measure(unknown_logit, priced)
    usable = priced & corner_known
    known = measure(known_logit, usable) if usable.sum() >= MIN_PRICED_FIGHTS else unknown
    both = (unknown[0], known[0])
    return HalfWidths(
        distances=_pair([[group.distances for group in groups] for groups in both]),
        scale=(unknown[1], known[1]),
        spread=spread,
        weights=None if age_years is None else _pair([[group.weights for group in groups] for groups in both]),
        outward=OUTWARD,
        market_slope=slope,
        learnable=(unknown[2], known[2]),
    )


def _pair(states: list[list[Floats]]) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    return tuple(states[0]), tuple(states[1])


def _by_class(distance: Floats, weights: Floats, classes: NDArray[np.intp]) -> list[WeightedDistances]:
    """Return the distances of each experience class and of all fights, in ascending order."""
    order = np.argsort(distance, kind="stable")
    chosen = [order[classes[order] == group] for group in range(len(CLASS_EDGES) + 1)]
    return [WeightedDistances(distance[rows], weights[rows]) for rows in (*chosen, order)]


def _scale(v: Floats, market: Floats, slope: float, logit: Floats, beta: float) -> float:
    """Return the factor from the distance to the market to the distance to the truth, at least 1.

    It is what the results prove: the estimate of E[d^2] / E[v^2] less its standard error, by the delta method.
    """
    ratio = float(np.mean(market**2) / np.mean(v**2)) if slope < 1.0 else 0.0
    shown = 2.0 * beta - 1.0 + (1.0 / slope - 1.0) * ratio
    beta_error = _standard_error(v, logit + beta * v)
    slope_error = _standard_error(market / slope, market)
    shown_error = float(np.hypot(2.0 * beta_error, ratio * slope_error / slope**2))
    proven_beta = max(0.0, beta - beta_error)
    return float(np.sqrt(max(1.0, proven_beta**2, shown - shown_error)))


def _standard_error(column: Floats, logit: Floats) -> float:
    """Return the standard error of the coefficient of a logistic regression whose fitted logits are given."""
    p = logit_to_probability(logit)
    return float(np.sum(column**2 * p * (1.0 - p)) ** -0.5)
