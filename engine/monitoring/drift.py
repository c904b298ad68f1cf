"""Feature drift: whether recent fights have the feature distributions of the training data.

A bundle's manifest holds, for every feature, the quintiles of the last fights of its training, seen from both sides,
and the shares of its rows between them and of missing values. Of a new row only the bins of its values are stored. The
hypothesis that is tested, event by event (`engine.statistics.e_processes`), is that no bin's expected share exceeds its
training share by more than TOLERANCE: features move with the sport, and a small shift is no fault. The population
stability index, the sum of (now - then) log(now / then) over bins, is reported as well; it has no false-alarm rate.

Columns that a request may omit (`engine.data.features.CONTEXT_FEATURES`) are missing in rows of feeds that never carry
them, without any drift: The Odds API has no title bouts, scheduled rounds or weight classes, while nearly all training
rows do. So missing values of these columns never count as drift. Their present values do, as shares of all rows, so
that a context unlike that of the training is found.

Not covered: features that drift together within their bins, and harm: a shift does not show that predictions are worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix
from engine.data.features import CONTEXT_FEATURES
from engine.statistics.e_processes import bet_factors, e_process

RECENT_FIGHTS = 2000
BINS = 5
MISSING = BINS
TOLERANCE = 0.1
BET_SIZES = (1.0, 2.0, 4.0)
ALPHA = 0.01


@dataclass(frozen=True, eq=False)
class FeatureBins:
    """Histogram bins of the features of a training.

    Attributes
    ----------
    columns : tuple of str
        The features.
    edges : float64 (columns, BINS - 1)
        Inner edges of the bins, ascending.
    shares : float64 (columns, BINS + 1)
        Share of the rows in each bin; the last is that of missing values.
    """

    columns: tuple[str, ...]
    edges: Floats
    shares: Floats

    @classmethod
    def from_matrix(cls, matrix: TrainingMatrix) -> FeatureBins:
        """Summarise the last RECENT_FIGHTS of a training, each from both sides."""
        columns = tuple(matrix.X.columns)
        rows = matrix.X.to_numpy(np.float64)[-RECENT_FIGHTS:]
        both = np.concatenate([rows, MirrorPlan.from_columns(columns)(rows)])
        quantiles = np.arange(1, BINS) / BINS
        known = [both[~np.isnan(both[:, column]), column] for column in range(len(columns))]
        edges = np.array([np.quantile(values, quantiles) if len(values) else np.zeros(BINS - 1) for values in known])
        found = cls(columns, edges, np.zeros((len(columns), BINS + 1)))
        return cls(columns, edges, bin_shares(found.bin_indices(both)))

    @classmethod
    def from_manifest(cls, columns: tuple[str, ...], entry: dict[str, Any]) -> FeatureBins:
        """Build the bins from the output of `to_manifest`."""
        return cls(columns, np.array(entry["edges"], dtype=np.float64), np.array(entry["shares"], dtype=np.float64))

    def to_manifest(self) -> dict[str, Any]:
        """Return the bins as JSON values."""
        return {"edges": self.edges.tolist(), "shares": self.shares.tolist()}

    @property
    def max_shares(self) -> Floats:
        """The largest share of each bin that is no drift, (columns, BINS + 1)."""
        allowed = np.minimum(self.shares + TOLERANCE, 1.0)
        allowed[self.optional, MISSING] = 1.0
        return allowed

    @property
    def optional(self) -> NDArray[np.bool_]:
        """True for each column that a request may omit, bool (columns,)."""
        return np.array([name in CONTEXT_FEATURES for name in self.columns], dtype=np.bool_)

    def bin_indices(self, rows: Floats) -> NDArray[np.uint8]:
        """Return the bin of every value of rows, (n, columns); MISSING for NaN."""
        found = (rows[:, :, None] >= self.edges).sum(axis=2)
        return np.asarray(np.where(np.isnan(rows), MISSING, found), dtype=np.uint8)

    def encode_bins(self, rows: Floats) -> list[str]:
        """Encode the bins of each row and of its mirror image as digits; the order of the fighters is irrelevant."""
        both = np.concatenate(
            [self.bin_indices(rows), self.bin_indices(MirrorPlan.from_columns(self.columns)(rows))], axis=1
        )
        return ["".join(map(str, row)) for row in both.tolist()]


def decode_bins(encoded: list[str], columns: int) -> NDArray[np.uint8]:
    """Decode the bins of fights, (n, 2, columns): each from both sides."""
    digits = np.array([[int(digit) for digit in text] for text in encoded], dtype=np.uint8)
    return digits.reshape(len(encoded), 2, columns)


def bin_shares(indices: NDArray[np.uint8]) -> Floats:
    """Return the share of each bin, (columns, BINS + 1), from the bins of rows, (n, columns)."""
    return np.asarray((indices[:, :, None] == np.arange(BINS + 1)).mean(axis=0))


def drift_e_process(indices: NDArray[np.uint8], event: NDArray[np.int64], allowed: Floats) -> Floats:
    """Return the e-process against the absence of drift after each event, (events,).

    Parameters
    ----------
    indices
        Bins of the fights, (n, 2, columns).
    event
        Event of each fight, (n,).
    allowed
        The largest share of each bin that is no drift, (columns, BINS + 1), as `FeatureBins.max_shares`.
    """
    now = np.stack([bin_shares(indices[event == one].reshape(-1, indices.shape[2])) for one in np.unique(event)])
    factors = bet_factors(now - allowed, np.broadcast_to(-allowed, now.shape), BET_SIZES)
    return e_process(factors.reshape(len(now), -1))


def stability_index(indices: NDArray[np.uint8], bins: FeatureBins) -> Floats:
    """Return the population stability index of each feature, (columns,); an empty bin counts as half a row.

    For columns that a request may omit, only present values are compared; the index is 0 if there are none.
    """
    rows = indices.reshape(-1, indices.shape[2])
    least = 0.5 / len(rows)
    now, then = bin_shares(rows), bins.shares.copy()
    for shares in (now, then):
        carried = shares[bins.optional, :MISSING]
        total = carried.sum(axis=1, keepdims=True)
        shares[bins.optional, :MISSING] = np.divide(carried, total, out=np.zeros_like(carried), where=total > 0.0)
        shares[bins.optional, MISSING] = 0.0
    now, then = np.maximum(now, least), np.maximum(then, least)
    index = np.asarray(((now - then) * np.log(now / then)).sum(axis=1))
    never_carried = bins.optional & (rows == MISSING).all(axis=0)
    return np.where(never_carried, 0.0, index)
