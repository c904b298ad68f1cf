"""The rating as the offset of the ensemble: members learn what the rating has missed.

With r the rating's log-odds of a fight and s the slope of results on r among the training fights, each member is
trained on the labels

    1/2 + (y - expit(s r)) / 2    instead of    y

so that its answer is 1/2 + e / 2, with e the expected error of the rating's probability. The ensemble's logit is

    s r + 2 logit(answer)

which is s r + 4 e for small e: to first order the logit of expit(s r) + e where the fight is even, and less than that
where the rating is sure. It is then calibrated as any other. All steps are odd under a swap of the fighters. Replicas
differ in the members alone; the rating is the same for all of them.

A model without a rating among its columns, such as one of a ready feature matrix, has no offset.

References
----------
Friedman (2001), "Greedy function approximation: a gradient boosting machine" (fitting residuals of an offset).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from engine.arrays import Floats
from engine.data.rated_log import RATING_COLUMNS
from engine.statistics.calibration import fit_logistic
from engine.statistics.complements import margin_to_logit


@dataclass(frozen=True, slots=True)
class RatingOffset:
    """The offset of a model.

    Attributes
    ----------
    position
        Position of the rating among the model's columns; None for a model without a rating.
    slope
        Slope of results on the rating; 0 without a rating.
    """

    position: int | None
    slope: float

    @classmethod
    def fit(cls, columns: Sequence[str], values: Floats, won: NDArray[np.int8]) -> RatingOffset:
        """Fit the slope on training fights.

        Parameters
        ----------
        columns
            The model's columns; the first of `engine.data.rated_log.RATING_COLUMNS` among them is the rating.
        values
            Features, float64 (n, columns).
        won
            1 if the first fighter won, 0 otherwise, (n,).
        """
        position = rating_position(columns)
        if position is None or not np.any(values[:, position]):
            return cls(position, 0.0)
        return cls(position, max(0.0, float(fit_logistic(values[:, [position]], won)[0])))

    def rating_logit(self, values: Floats) -> Floats:
        """Return the rating's part of the logit, float64 (n,), for rows of features (n, columns)."""
        if self.position is None:
            return np.zeros(len(values))
        return np.asarray(self.slope * np.nan_to_num(values[:, self.position]))

    def residual_labels(self, labels: Floats, values: Floats) -> Floats:
        """Return what the members learn instead of labels in [0, 1], float64 (n,) in [0, 1]."""
        if self.position is None:
            return labels
        return np.asarray(0.5 + (labels - expit(self.rating_logit(values))) / 2.0)

    def add_members(self, rating_logit: Floats, margin: Floats) -> Floats:
        """Return the uncalibrated logit, (..., n), of margins of the members, (..., n), and rating parts, (n,)."""
        if self.position is None:
            return margin_to_logit(margin)
        return np.asarray(rating_logit + 2.0 * margin_to_logit(margin))


NO_OFFSET = RatingOffset(None, 0.0)


def rating_position(columns: Sequence[str]) -> int | None:
    """Return the position of the rating among a model's columns; None without one."""
    found = [position for position, name in enumerate(columns) if name in RATING_COLUMNS]
    return found[0] if found else None
