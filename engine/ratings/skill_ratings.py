"""Ratings of single skills: offence and vulnerability of every fighter, adjusted for opponents, shrunk, forgetting.

For each statistic, what fighter i does to fighter j in one fight is

    value = class mean + offence_i + vulnerability_j + e,    Var(e) = noise / weight

with independent Kalman updates of offence and vulnerability, whose variances grow by `drift` times the prior a year up
to the prior. The class mean is the running mean of the weight class, shrunk towards that of all classes. A fighter
without history is at 0, the mean, so no rating is ever missing. All fights of a day are read before any is counted.

References
----------
Kalman (1960); Maystre, Kristof and Grossglauser (2019), "Pairwise comparisons with flexible time-dynamics" (the model).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.compilation import kernel
from engine.ratings.filter_kernels import DAYS_A_YEAR, NEVER


@dataclass(frozen=True, slots=True)
class Skill:
    """A statistic and the parameters of its ratings.

    Attributes
    ----------
    unit, cap
        One unit of the ratings, in the statistic's own, and the largest counted value in units: rounded standard
        deviation and 99.5% quantile of fights before 2016.
    offence, vulnerability
        Prior variances, in squared units.
    drift
        Share of the prior by which the variances grow a year.
    noise
        Variance of one observation of weight 1, in squared units.
    """

    unit: float
    cap: float
    offence: float
    vulnerability: float
    drift: float
    noise: float


SKILLS = {
    "strikes": Skill(2.9, 7.2, 0.1, 0.1, 0.03, 0.3),
    "strikes_attempted": Skill(5.2, 6.5, 0.1, 0.1, 0.03, 0.3),
    "takedowns": Skill(0.195, 6.7, 0.3, 0.3, 0.1, 1.5),
    "takedowns_attempted": Skill(0.37, 6.2, 0.6, 0.3, 0.1, 1.5),
    "knockdowns": Skill(0.31, 9.3, 0.1, 0.1, 0.03, 1.5),
    "submissions": Skill(0.2, 7.7, 0.1, 0.1, 0.1, 0.7),
    "control": Skill(0.245, 3.7, 0.3, 0.3, 0.03, 0.7),
    "strike_accuracy": Skill(0.184, 5.4, 0.3, 0.3, 0.1, 1.5),
    "takedown_accuracy": Skill(0.376, 2.66, 0.1, 0.3, 0.03, 1.5),
}
"""Rates are a minute, control is a share of the time, accuracies are landed over attempted. Priors, drifts and noise
minimise the one-step error on fights of 2006 to 2015."""

MAX_WEIGHT = 3.0
_CLASS_WEIGHT = 30.0  # weight of the mean over all classes in a class mean


@dataclass(frozen=True, slots=True, eq=False)
class SkillObservations:
    """What each fighter did in each fight; n fights in order of (date, id), k skills.

    Attributes
    ----------
    fighters
        Positions of both fighters, intp (n, 2).
    day
        Days since 1970-01-01, int64 (n,).
    group
        Weight class of each fight, 0 to the number of classes - 1, int64 (n,).
    value
        Statistics of each side in units, float64 (n, 2, k), NaN if unknown.
    weight
        Weights, float64 (n, 2, k), in [0, MAX_WEIGHT].
    """

    fighters: NDArray[np.intp]
    day: NDArray[np.int64]
    group: NDArray[np.int64]
    value: Floats
    weight: Floats


def run_skill_ratings(observed: SkillObservations, n_fighters: int) -> tuple[Floats, Floats]:
    """Rate the fighters before every fight and after the last one.

    Returns
    -------
    before : float64 (n, 2, 2k)
        Offence, then vulnerability, of both fighters before the day of each fight.
    after : float64 (n_fighters, 2k)
        The same after the last day.
    """
    n, k = len(observed.day), len(SKILLS)
    skills = SKILLS.values()
    prior = np.array([*(skill.offence for skill in skills), *(skill.vulnerability for skill in skills)])
    drift = np.array([skill.drift for skill in skills] * 2)
    noise = np.array([skill.noise for skill in skills])
    edges = np.concatenate([[0], np.flatnonzero(np.diff(observed.day)) + 1, [n]]).astype(np.int64)
    before, after = np.zeros((n, 2, 2 * k)), np.zeros((n_fighters, 2 * k))
    classes = int(observed.group.max()) + 1
    _replay(
        np.ascontiguousarray(observed.fighters.astype(np.int64)),
        observed.day,
        edges,
        observed.group,
        observed.value,
        observed.weight,
        prior,
        drift,
        noise,
        np.full(n_fighters, NEVER),
        np.tile(prior, (n_fighters, 1)),
        np.zeros((2, classes + 1, k)),
        before,
        after,
    )
    return before, after


@kernel
def _replay(
    fighters: Array,
    day: Array,
    edges: Array,
    group: Array,
    value: Array,
    weight: Array,
    prior: Array,
    drift: Array,
    noise: Array,
    last: Array,
    variance: Array,
    sums: Array,
    before: Array,
    rating: Array,
) -> None:
    """Run the ratings; fills `before` and `rating`.

    `last` is the day of each fighter's last fight, `variance` that of the ratings, `sums` are weighted sums and weights
    of each class, and of all classes at the end: they change. Numbers are written one by one, as in
    `engine.ratings.filter_kernels`.
    """
    k, everything = len(noise), sums.shape[1] - 1
    mean = np.empty(k)
    sums[1, everything] = 1e-9
    for number in range(len(edges) - 1):
        start, end = edges[number], edges[number + 1]
        for t in range(start, end):
            for side in range(2):
                f = fighters[t, side]
                years = (day[start] - last[f]) / DAYS_A_YEAR if last[f] != NEVER else 0.0
                for c in range(2 * k):
                    before[t, side, c] = rating[f, c]
                    variance[f, c] = min(prior[c], variance[f, c] + drift[c] * years * prior[c])
                last[f] = day[start]
        for t in range(start, end):
            g = group[t]
            for c in range(k):
                overall = sums[0, everything, c] / sums[1, everything, c] * _CLASS_WEIGHT
                mean[c] = (sums[0, g, c] + overall) / (sums[1, g, c] + _CLASS_WEIGHT)
            for side in range(2):  # the two sides change different numbers, so their order does not matter
                doer, other = fighters[t, side], fighters[t, 1 - side]
                did, counted = value[t, side], weight[t, side]
                _observe(did, counted, mean, noise, rating[doer], rating[other], variance[doer], variance[other])
            _add(value[t], weight[t], sums[0, g], sums[1, g])
            _add(value[t], weight[t], sums[0, everything], sums[1, everything])


@kernel
def _observe(
    value: Array,
    weight: Array,
    mean: Array,
    noise: Array,
    doing: Array,
    suffering: Array,
    doing_variance: Array,
    suffering_variance: Array,
) -> None:
    """Update the offence of one fighter and the vulnerability of the other, one statistic after the other."""
    k = len(noise)
    for c in range(k):
        if np.isnan(value[c]) or weight[c] <= 0.0:
            continue
        error = value[c] - mean[c] - (doing[c] + suffering[k + c])
        spread = doing_variance[c] + suffering_variance[k + c] + noise[c] / weight[c]
        own, opposing = doing_variance[c] / spread, suffering_variance[k + c] / spread
        doing[c] += own * error
        suffering[k + c] += opposing * error
        doing_variance[c] -= own * doing_variance[c]
        suffering_variance[k + c] -= opposing * suffering_variance[k + c]


@kernel
def _add(value: Array, weight: Array, sums: Array, counts: Array) -> None:
    """Add both sides' statistics, (2, skills), to running sums."""
    for c in range(value.shape[1]):
        amount, added = 0.0, 0.0
        for side in range(2):
            if not np.isnan(value[side, c]) and weight[side, c] > 0.0:
                amount += value[side, c] * weight[side, c]
                added += weight[side, c]
        sums[c] += amount
        counts[c] += added
