"""Training labels: fight results, blended with closing odds for the fights that have some.

A result is one flip of a coin; a closing price is a far less noisy label of the same coin. So the label of a fight with
odds is (1 - a) y + a p: y its result, p the market's probability, recalibrated by the slope of a regression of results
on its logit among the fights of this very refit. A market without information about them has slope 0 and gives a label
of one half. Fights without odds are labelled by their results, as are all fights of a refit in which fewer than
MIN_PRICED_FIGHTS have odds. Odds are no feature: none are needed to predict.

References
----------
Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network" (learning from probabilities).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.data.rated_log import closing_logits
from engine.intervals.half_widths import MIN_PRICED_FIGHTS
from engine.statistics.calibration import fit_logistic


def market_logit(matrix: TrainingMatrix) -> Floats:
    """Return the de-vigged (power method) closing logit of the first fighter, float64 (n,), NaN without odds."""
    return closing_logits(np.column_stack([matrix.red_odds, matrix.blue_odds]))


def soft_labels(won: NDArray[np.int8], market: Floats, weight: NDArray[np.int64], share: float) -> Floats:
    """Return the label of each fight, float64 (n,) in [0, 1]: the first fighter's share of the win.

    Parameters
    ----------
    won
        1 if the first fighter won, else 0, int8 (n,).
    market
        The market's logit, float64 (n,), NaN without odds.
    weight
        How often the refit uses each fight, int64 (n,); results of weight 0 change no label.
    share
        Weight of the market in the label, in [0, 1].

    Raises
    ------
    TrainingError
        If the market separates the results perfectly.
    """
    labels = won.astype(np.float64)
    priced = np.isfinite(market)
    if not share or np.count_nonzero(priced & (weight > 0)) < MIN_PRICED_FIGHTS:
        return labels
    drawn = np.repeat(np.arange(len(won)), np.where(priced, weight, 0))
    slope = max(0.0, float(fit_logistic(market[drawn, None], won[drawn])[0]))
    labels[priced] += share * (expit(slope * market[priced]) - labels[priced])
    return labels
