"""Percentile intervals over bootstrap replicas, and their Monte Carlo error."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from engine.arrays import Floats


def percentile_interval(values: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the central percentile interval over replicas, two arrays (n,).

    Linear interpolation, as in numpy.quantile; the interval of -values is exactly the negative one.

    Parameters
    ----------
    values
        Values of the replicas, float64 (replicas, n).
    level
        Confidence level in (0, 1).
    """
    tail = (1.0 - level) / 2.0
    return np.asarray(np.quantile(values, tail, axis=0)), np.asarray(-np.quantile(-values, tail, axis=0))


def percentile_error(values: Floats, level: float) -> Floats:
    """Return the Monte Carlo standard deviation of the ends of `percentile_interval`, (n,).

    The root mean square over both ends of the change that another draw of as many replicas would cause. Closed form of
    the bootstrap over replicas: the sorted values, weighted by the Beta distribution of the percentile's rank. On
    normal values it is 15% too high for 100 replicas and 3% for 1000. The result for -values is exactly the same.

    Parameters
    ----------
    values
        Values of the replicas, float64 (replicas, n).
    level
        Confidence level in (0, 1).

    References
    ----------
    Maritz and Jarrett (1978), "A note on estimating the variance of the sample median", Journal of the American
    Statistical Association 73.
    """
    replicas = len(values)
    rank = 1.0 + (replicas - 1) * (1.0 - level) / 2.0
    weight = np.diff(betainc(rank, replicas + 1 - rank, np.arange(replicas + 1) / replicas))[:, None]

    def variance(ascending: Floats) -> Floats:
        # Running sums: numpy's sum of one column uses another order of additions than that of many columns.
        mean = np.cumsum(weight * ascending, axis=0)[-1]
        return np.asarray(np.cumsum(weight * (ascending - mean) ** 2, axis=0)[-1])

    return np.sqrt((variance(np.sort(values, axis=0)) + variance(np.sort(-values, axis=0))) / 2.0)
