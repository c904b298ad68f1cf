"""Compiled loops of the rating filter; `engine.ratings.rating_filter` has its equations.

Matrices that belong to a day have a row for each of its fights. Of the covariance P of the states the lower triangle
alone is used. Arguments are not checked here. Numbers are written one by one, not as expressions of whole arrays, which
take numba four times as long to compile.
"""

from __future__ import annotations

from math import exp, sqrt

import numpy as np

from engine.arrays import Array
from engine.compilation import kernel

DAYS_A_YEAR = 365.25
NEVER = np.iinfo(np.int64).min
"""Day of the last fight of a fighter without any."""
_SLOTS = 64
_SWEEP_DAYS = 60
_MAX_STEPS = 50
_TOLERANCE = 1e-10


@kernel
def replay(
    fighters: Array,
    day: Array,
    edges: Array,
    x: Array,
    market: Array,
    score: Array,
    sharpness: Array,
    prior: Array,
    rates: Array,
    strength: Array,
    last: Array,
    out: Array,
) -> Array:
    """Run the filter; fills `strength`, `last` and `out`, and returns the means of b and g."""
    coefficient_drift, strength_drift, fade, market_noise, max_idle_days = rates
    base = x.shape[1]
    slots = np.full(len(last), -1)  # the state that holds a fighter's strength, -1 for none
    owners = np.full(base + _SLOTS, -1)  # the fighter of each state
    P, mean = np.zeros((len(owners), len(owners))), np.zeros(len(owners))  # of P the lower triangle alone is used
    for i in range(base):
        P[i, i] = prior[i]
    used = base
    before = swept = day[0]
    for number in range(len(edges) - 1):
        start, end = edges[number], edges[number + 1]
        today = day[start]
        for i in range(base - 1):
            P[i, i] += coefficient_drift * (today - before) / DAYS_A_YEAR
        before = today
        if today - swept > _SWEEP_DAYS:
            swept = today
            _drop_idle(P, mean, slots, owners, strength, last, today - max_idle_days)
        if _count_free(owners, base) < 2 * (end - start):
            P, mean, owners = _grown(P, mean, owners)
        m = end - start
        sides = np.empty((m, 2), np.int64)
        for t in range(m):
            lower = 0 if fighters[start + t, 0] < fighters[start + t, 1] else 1
            for side in (lower, 1 - lower):  # so that no state depends on who is listed first
                f = fighters[start + t, side]
                if slots[f] < 0:
                    _enter(f, P, mean, slots, owners, strength, base)
                s = slots[f]
                if last[f] != NEVER and last[f] < today:
                    _drift(P, mean, s, exp(-fade * (today - last[f]) / DAYS_A_YEAR))
                    P[s, s] += strength_drift * (today - last[f]) / DAYS_A_YEAR
                last[f] = today
                sides[t, side] = s
                used = max(used, s + 1)
        H, first, second = x[start:end], sides[:, 0], sides[:, 1]
        PH = _covariances(P, H, first, second, used)
        _forecast(PH, H, first, second, mean, out[start:end])
        _observe_odds(P, PH, H, first, second, mean, market[start:end], market_noise)
        _observe_results(P, H, first, second, mean, score[start:end], sharpness[start:end], used)
    _drop_idle(P, mean, slots, owners, strength, last, day[-1] + 1.0)
    return mean[:base].copy()


@kernel
def _drop_idle(P: Array, mean: Array, slots: Array, owners: Array, strength: Array, last: Array, before: float) -> None:
    """Free the states of fighters whose last fight was before a day; their means and variances are kept."""
    for s in range(len(owners)):
        f = owners[s]
        if f >= 0 and last[f] < before:
            strength[f, 0], strength[f, 1] = mean[s], P[s, s]
            mean[s] = 0.0
            for i in range(len(owners)):
                P[max(s, i), min(s, i)] = 0.0
            slots[f] = owners[s] = -1


@kernel
def _count_free(owners: Array, base: int) -> int:
    """Return the number of states without a fighter."""
    free = 0
    for s in range(base, len(owners)):
        if owners[s] < 0:
            free += 1
    return free


@kernel
def _grown(P: Array, mean: Array, owners: Array) -> tuple[Array, Array, Array]:
    """Return copies with half as many states again."""
    size = len(mean)
    more = size + size // 2
    larger, longer, others = np.zeros((more, more)), np.zeros(more), np.full(more, -1)
    for s in range(size):
        longer[s], others[s] = mean[s], owners[s]
        for i in range(size):
            larger[s, i] = P[s, i]
    return larger, longer, others


@kernel
def _enter(f: int, P: Array, mean: Array, slots: Array, owners: Array, strength: Array, base: int) -> None:
    """Give a fighter the first free state."""
    s = base
    while owners[s] >= 0:
        s += 1
    slots[f], owners[s] = s, f
    mean[s], P[s, s] = strength[f, 0], strength[f, 1]


@kernel
def _drift(P: Array, mean: Array, s: int, factor: float) -> None:
    """Multiply a state by a factor."""
    mean[s] *= factor
    for i in range(s + 1):
        P[s, i] *= factor
    for i in range(s, len(mean)):
        P[i, s] *= factor


@kernel
def _forecast(PH: Array, H: Array, first: Array, second: Array, mean: Array, out: Array) -> None:
    """Write the log-odds without the corner, and the variance of the linear form."""
    base = H.shape[1]
    for t in range(len(H)):
        total = 0.0
        for i in range(base - 1):
            total += H[t, i] * mean[i]
        out[t, 0] = total + (mean[first[t]] - mean[second[t]])
        out[t, 1] = _row_times(H[t], PH[t], first[t], second[t])


@kernel
def _observe_odds(
    P: Array, PH: Array, H: Array, first: Array, second: Array, mean: Array, market: Array, noise: float
) -> None:
    """Condition the state on closing logits, (fights,), NaN if unknown."""
    rows = _known(market)
    if len(rows):
        some, V, centre = _select(PH, H, first, second, mean, rows)
        for i in range(len(rows)):
            V[i, i] += noise
        root = _cholesky(V)
        gain = _solve(root, some)
        error = np.empty((len(rows), 1))
        for i in range(len(rows)):
            error[i, 0] = market[rows[i]] - centre[i]
        _shift(mean, some, _solve(root, error))
        _reduce(P, some, gain)


@kernel
def _observe_results(
    P: Array, H: Array, first: Array, second: Array, mean: Array, score: Array, sharpness: Array, used: int
) -> None:
    """Condition the state on results, (fights,), NaN if there is none."""
    rows = _known(score)
    if len(rows):
        some, V, centre = _select(_covariances(P, H, first, second, used), H, first, second, mean, rows)
        gradient, root_weight = _mode(V, centre, score, sharpness, rows)
        _shift(mean, some, gradient)
        for i in range(len(rows)):
            for s in range(used):
                some[i, s] *= root_weight[i]
        _reduce(P, some, _solve(_cholesky(_weighted(V, root_weight)), some))


@kernel
def _known(values: Array) -> Array:
    """Return the positions of the values that are not NaN."""
    rows, count = np.empty(len(values), np.int64), 0
    for t in range(len(values)):
        if values[t] == values[t]:
            rows[count] = t
            count += 1
    return rows[:count]


@kernel
def _row_times(row: Array, states: Array, first: int, second: int) -> float:
    """Return one row of H times a vector of states; the two strengths are one term, for the swap of the fighters."""
    total = 0.0
    for i in range(len(row)):
        total += row[i] * states[i]
    return float(total + (states[first] - states[second]))


@kernel
def _covariances(P: Array, H: Array, first: Array, second: Array, used: int) -> Array:
    """Return (P H')', (fights, states), from the lower triangle of P."""
    m, base = H.shape
    result = np.zeros((m, used))
    for t in range(m):
        a, b = first[t], second[t]
        for s in range(used):
            total = 0.0
            if s < base:
                for i in range(base):
                    total += H[t, i] * (P[s, i] if i <= s else P[i, s])
            else:
                for i in range(base):
                    total += H[t, i] * P[s, i]
            # The difference of the two strengths is one term: it changes its sign with the order of the fighters.
            result[t, s] = total + ((P[s, a] if a <= s else P[a, s]) - (P[s, b] if b <= s else P[b, s]))
    return result


@kernel
def _select(PH: Array, H: Array, first: Array, second: Array, mean: Array, rows: Array) -> tuple[Array, Array, Array]:
    """Return (P H')', H P H' and H mean of some of the day's fights."""
    m = len(rows)
    some, V, centre = np.empty((m, PH.shape[1])), np.empty((m, m)), np.empty(m)
    for i in range(m):
        t = rows[i]
        for s in range(PH.shape[1]):
            some[i, s] = PH[t, s]
        centre[i] = _row_times(H[t], mean, first[t], second[t])
        for j in range(i + 1):
            V[i, j] = V[j, i] = _row_times(H[t], some[j], first[t], second[t])
    return some, V, centre


@kernel
def _mode(V: Array, centre: Array, score: Array, sharpness: Array, rows: Array) -> tuple[Array, Array]:
    """Return the gradient of the log likelihood at the posterior's mode, (fights, 1), and W^1/2 there."""
    m = len(rows)
    shift, gradient, root_weight, target = np.zeros((m, 1)), np.empty((m, 1)), np.empty(m), np.empty((m, 1))
    for _ in range(_MAX_STEPS):
        _slopes(centre, shift, score, sharpness, rows, gradient, root_weight)
        for i in range(m):
            target[i, 0] = root_weight[i] * root_weight[i] * shift[i, 0] + gradient[i, 0]
        inner = _times(V, target)
        for i in range(m):
            inner[i, 0] *= root_weight[i]
        inner = _solve(_cholesky(_weighted(V, root_weight)), inner)
        for i in range(m):
            target[i, 0] -= root_weight[i] * inner[i, 0]
        following = _times(V, target)
        largest = 0.0
        for i in range(m):
            largest = max(largest, abs(following[i, 0] - shift[i, 0]))
        shift = following
        if largest < _TOLERANCE:
            break
    _slopes(centre, shift, score, sharpness, rows, gradient, root_weight)
    return gradient, root_weight


@kernel
def _slopes(
    centre: Array, shift: Array, score: Array, sharpness: Array, rows: Array, gradient: Array, root_weight: Array
) -> None:
    """Write the first derivative of each fight's log likelihood, and the root of the negative second one."""
    for i in range(len(rows)):
        logit, won, sharp = centre[i] + shift[i, 0], score[rows[i]], sharpness[rows[i]]
        p = 1.0 / (1.0 + exp(-sharp * abs(logit)))  # the favourite's, so that a swap changes only signs
        gradient[i, 0] = sharp * (won - p if logit >= 0.0 else p - (1.0 - won))
        root_weight[i] = sharp * sqrt(p * (1.0 - p))


@kernel
def _weighted(V: Array, root_weight: Array) -> Array:
    """Return I + W^1/2 V W^1/2."""
    m = len(V)
    result = np.empty((m, m))
    for i in range(m):
        for j in range(m):
            result[i, j] = root_weight[i] * V[i, j] * root_weight[j]
        result[i, i] += 1.0
    return result


@kernel
def _times(V: Array, vector: Array) -> Array:
    """Return a matrix times a vector, (m, 1)."""
    result = np.zeros((len(V), 1))
    for i in range(len(V)):
        for j in range(len(vector)):
            result[i, 0] += V[i, j] * vector[j, 0]
    return result


@kernel
def _cholesky(V: Array) -> Array:
    """Return the lower Cholesky factor of a positive definite matrix."""
    m = len(V)
    root = np.zeros((m, m))
    for i in range(m):
        for j in range(i + 1):
            total = V[i, j]
            for c in range(j):
                total -= root[i, c] * root[j, c]
            root[i, j] = sqrt(total) if i == j else total / root[j, j]
    return root


@kernel
def _solve(root: Array, right: Array) -> Array:
    """Return (L L')^-1 times a matrix of m rows."""
    m = len(root)
    result = right.copy()
    for i in range(m):
        for j in range(i):
            _subtract(result[i], root[i, j], result[j])
        _divide(result[i], root[i, i])
    for i in range(m - 1, -1, -1):
        for j in range(i + 1, m):
            _subtract(result[i], root[j, i], result[j])
        _divide(result[i], root[i, i])
    return result


@kernel
def _subtract(row: Array, factor: float, other: Array) -> None:
    """Subtract a multiple of another row from a row."""
    for c in range(len(row)):
        row[c] -= factor * other[c]


@kernel
def _divide(row: Array, divisor: float) -> None:
    """Divide a row by a number."""
    for c in range(len(row)):
        row[c] /= divisor


@kernel
def _shift(mean: Array, PH: Array, weight: Array) -> None:
    """Add P H' times a weight of each fight, (fights, 1), to the means."""
    for i in range(len(weight)):
        for s in range(PH.shape[1]):
            mean[s] += PH[i, s] * weight[i, 0]


@kernel
def _reduce(P: Array, PH: Array, gain: Array) -> None:
    """Subtract P H' times the gain from the lower triangle of P."""
    for s in range(PH.shape[1]):
        row = P[s]
        for i in range(len(PH)):
            factor = PH[i, s]
            if factor != 0.0:
                for c in range(s + 1):
                    row[c] -= factor * gain[i, c]
