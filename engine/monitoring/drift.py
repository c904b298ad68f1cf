"""Whether the features of recent fights are still those that a model was trained on.

A bundle's manifest holds, for every feature, the quintiles of the last fights of its training, seen from both sides,
and the shares of its rows between them and of missing values. Of a new row only the bins of its values are kept. Tested
is, event by event (`engine.statistics.e_processes`), that no bin is expected to hold more than its share and TOLERANCE:
features move with the sport, and a small shift is no fault. The population stability index, the sum of (now - then)
log(now / then) over bins, is shown beside it: it has no false-alarm rate of its own.

What a request need not carry (`engine.data.features.CONTEXT`) and a feed never does is missing from its rows without
anything having changed: that of The Odds API tells neither title bouts nor scheduled rounds nor weight classes, while
nearly every row of a training has them. So of these columns no missing value counts as drift. The values that are there
do, as shares of all rows, so that a context other than the training's is found.

Not covered: features that drift together within their bins, and harm: a shift says nothing about who wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix
from engine.data.features import CONTEXT
from engine.statistics.e_processes import bets, evidence

RECENT_FIGHTS = 2000
BINS = 5
MISSING = BINS
TOLERANCE = 0.1
SIZES = (1.0, 2.0, 4.0)
ALPHA = 0.01


@dataclass(frozen=True, eq=False)
class FeatureBins:
    """edges: float64 (columns, BINS - 1), ascending. shares: float64 (columns, BINS + 1), last of missing ones."""

    columns: tuple[str, ...]
    edges: Floats
    shares: Floats

    @classmethod
    def of(cls, matrix: TrainingMatrix) -> FeatureBins:
        """Summarise the last RECENT_FIGHTS of a training, each from both sides."""
        columns = tuple(matrix.X.columns)
        rows = matrix.X.to_numpy(np.float64)[-RECENT_FIGHTS:]
        both = np.concatenate([rows, MirrorPlan.of(columns)(rows)])
        quantiles = np.arange(1, BINS) / BINS
        known = [both[~np.isnan(both[:, column]), column] for column in range(len(columns))]
        edges = np.array([np.quantile(values, quantiles) if len(values) else np.zeros(BINS - 1) for values in known])
        found = cls(columns, edges, np.zeros((len(columns), BINS + 1)))
        return cls(columns, edges, shares_of(found.numbers(both)))

    @classmethod
    def from_manifest(cls, columns: tuple[str, ...], said: dict[str, Any]) -> FeatureBins:
        """Return what `to_manifest` took apart."""
        return cls(columns, np.array(said["edges"], dtype=np.float64), np.array(said["shares"], dtype=np.float64))

    def to_manifest(self) -> dict[str, Any]:
        """Return plain values."""
        return {"edges": self.edges.tolist(), "shares": self.shares.tolist()}

    @property
    def allowed(self) -> Floats:
        """The greatest share of each bin that is no drift, (columns, BINS + 1)."""
        allowed = np.minimum(self.shares + TOLERANCE, 1.0)
        allowed[self.optional, MISSING] = 1.0
        return allowed

    @property
    def optional(self) -> NDArray[np.bool_]:
        """Whether a request may leave the column out, (columns,)."""
        return np.array([name in CONTEXT for name in self.columns], dtype=np.bool_)

    def numbers(self, rows: Floats) -> NDArray[np.uint8]:
        """Return the bin of every value of rows, (n, columns); MISSING for NaN."""
        found = (rows[:, :, None] >= self.edges).sum(axis=2)
        return np.asarray(np.where(np.isnan(rows), MISSING, found), dtype=np.uint8)

    def written(self, rows: Floats) -> list[str]:
        """Write the bins of each row and of its mirror image as digits, so that it does not matter who stands first."""
        both = np.concatenate([self.numbers(rows), self.numbers(MirrorPlan.of(self.columns)(rows))], axis=1)
        return ["".join(map(str, row)) for row in both.tolist()]


def read_bins(written: list[str], columns: int) -> NDArray[np.uint8]:
    """Return the bins of fights, (n, 2, columns): each from both sides."""
    digits = np.array([[int(digit) for digit in text] for text in written], dtype=np.uint8)
    return digits.reshape(len(written), 2, columns)


def shares_of(numbers: NDArray[np.uint8]) -> Floats:
    """Return the share of each bin, (columns, BINS + 1), of rows' bins (n, columns)."""
    return np.asarray((numbers[:, :, None] == np.arange(BINS + 1)).mean(axis=0))


def drift(numbers: NDArray[np.uint8], event: NDArray[np.int64], allowed: Floats) -> Floats:
    """Return the evidence of drift after each event, (events,), from the bins of fights (n, 2, columns).

    allowed: the greatest share of each bin that is no drift, (columns, BINS + 1), as `FeatureBins.allowed`.
    """
    now = np.stack([shares_of(numbers[event == one].reshape(-1, numbers.shape[2])) for one in np.unique(event)])
    factors = bets(now - allowed, np.broadcast_to(-allowed, now.shape), SIZES)
    return evidence(factors.reshape(len(now), -1))


def stability_index(numbers: NDArray[np.uint8], bins: FeatureBins) -> Floats:
    """Return the population stability index of each feature, (columns,); empty bins count as half a row.

    Of a column that a request need not carry, only the values that are there are compared; 0 if there are none.
    """
    rows = numbers.reshape(-1, numbers.shape[2])
    least = 0.5 / len(rows)
    now, then = shares_of(rows), bins.shares.copy()
    for shares in (now, then):
        carried = shares[bins.optional, :MISSING]
        total = carried.sum(axis=1, keepdims=True)
        shares[bins.optional, :MISSING] = np.divide(carried, total, out=np.zeros_like(carried), where=total > 0.0)
        shares[bins.optional, MISSING] = 0.0
    now, then = np.maximum(now, least), np.maximum(then, least)
    index = np.asarray(((now - then) * np.log(now / then)).sum(axis=1))
    never_carried = bins.optional & (rows == MISSING).all(axis=0)
    return np.where(never_carried, 0.0, index)
