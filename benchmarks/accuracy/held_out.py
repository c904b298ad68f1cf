"""Scores of a model on real fights after its training data.

    python -m benchmarks.accuracy.held_out --data FOLDER

Trains on fights before July 2023 with the defaults, and scores those to the end of 2024: log loss without and with the
official corner, and the share of closing probabilities inside the intervals, in total and by the probability of the
market's favourite. Closing probabilities are de-vigged (power method) and recalibrated on the earlier fights.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.ensemble import Corner, ProductionEnsembleManager, create_production_ensemble_config
from engine.evaluation.walk_forward import market_slope
from engine.statistics.calibration import log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit
from engine.training.train import TrainingConfig, train_ensemble

TRAIN_BEFORE = datetime.date(2023, 7, 1)
SCORE_BEFORE = datetime.date(2025, 1, 1)
LEVELS = (0.8, 0.95)
FAVOURITES = (0.5, 0.6, 0.75, 1.0)
"""Bin edges of the recalibrated closing probability of the market's favourite."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.held_out", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    matrix = build_matrix(read_fight_log(parser.parse_args(arguments).data)).select(MODEL_COLUMNS)
    later = matrix.before(SCORE_BEFORE)
    later = later.take(later.date >= np.datetime64(TRAIN_BEFORE))
    ensemble = train_ensemble(matrix.before(TRAIN_BEFORE), TrainingConfig())
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    later = later.take(np.isfinite(market_logit(later)))
    market = logit_to_probability(market_logit(later))
    close = logit_to_probability(market_slope(matrix.before(TRAIN_BEFORE)) * market_logit(later))
    favourite = np.maximum(close, 1.0 - close)
    print(f"{len(later)} priced fights, log loss of the market {log_loss(market, later.won):.4f}")
    corners: tuple[Corner, ...] = ("unknown", "red")
    for corner in corners:
        answers = manager.predict_fights(
            later.X,
            [(f"first {row}", f"second {row}") for row in range(len(later))],
            corners=[corner] * len(later),
            experience=later.experience.tolist(),
            levels=LEVELS,
        )
        p = np.array([answer.probability for answer in answers])
        print(f"corner {corner}: log loss {log_loss(p, later.won):.4f}")
        for level in LEVELS:
            low, high = np.array([answer.intervals[level] for answer in answers]).T
            inside = (low <= close) & (close <= high)
            width = np.mean(high - low)
            print(f"  {level:.0%} interval: {inside.mean():.1%} of closing probabilities inside, width {width:.3f}")
            for least, most in itertools.pairwise(FAVOURITES):
                rows = (favourite >= least) & (favourite < most)
                share = f"{inside[rows].mean():.1%} of {rows.sum()}"
                print(f"    market's favourite at {least:.0%} to {most:.0%}: {share} inside")
    return 0


if __name__ == "__main__":
    sys.exit(main())
