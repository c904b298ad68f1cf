"""What a refit learns from: results, and closing odds where training fights have them.

A result is one flip of a coin; a closing price is a far less noisy label of the same coin. So a fight with odds is
learnt from as (1 - a) y + a p: y its result, p the market's probability, recalibrated by the slope that results have on
its logit among the fights that this very refit learns from. A market that says nothing about them has slope 0 and
teaches an even chance. Fights without odds are learnt from by their results, and so are all where fewer than
MIN_PRICED_FIGHTS of a refit's have any. Learning from a teacher's probabilities is distillation (Hinton, Vinyals and
Dean 2015, "Distilling the knowledge in a neural network").

Covers the labels. Odds are no feature: nothing here is needed to predict.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.intervals.half_widths import MIN_PRICED_FIGHTS
from engine.market.consensus import devig
from engine.statistics.calibration import fit_logistic


def market_logit(matrix: TrainingMatrix) -> Floats:
    """Return the de-vigged (power method) closing logit of the first fighter, (n,), NaN where there were no odds."""
    logit = np.full(len(matrix), np.nan)
    priced = np.isfinite(matrix.red_odds) & np.isfinite(matrix.blue_odds)
    if priced.any():
        red = devig(np.column_stack([matrix.red_odds[priced], matrix.blue_odds[priced]]))[:, 0]
        logit[priced] = np.log(red / (1.0 - red))
    return logit


def labels_for(won: NDArray[np.int8], market: Floats, weight: NDArray[np.int64], share: float) -> Floats:
    """Return what each fight is learnt from, float64 (n,) in [0, 1]: how much of it the first fighter has won.

    won: 0 or 1, (n,). market: the market's logit, (n,), NaN where there were no odds. weight: how often the refit
    learns from each fight, (n,); results of weight 0 change nothing. share: of the market in the label, in [0, 1].
    Raises TrainingError for a market that separates the results perfectly.
    """
    labels = won.astype(np.float64)
    priced = np.isfinite(market)
    if not share or np.count_nonzero(priced & (weight > 0)) < MIN_PRICED_FIGHTS:
        return labels
    drawn = np.repeat(np.arange(len(won)), np.where(priced, weight, 0))
    slope = max(0.0, float(fit_logistic(market[drawn, None], won[drawn])[0]))
    labels[priced] += share * (expit(slope * market[priced]) - labels[priced])
    return labels
