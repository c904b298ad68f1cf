"""Comparison of feature sets and of training fights on a fight log.

    python -m benchmarks.accuracy.feature_sets --data FOLDER

Trains on fights before 2022 and scores those of 2022 to mid-2023, so that later fights influence no choice. The
official corner is treated as unknown.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import CONTEXT_FEATURES, MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.data.side_features import BASE_FEATURES
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.statistics.calibration import log_loss
from engine.training.train import TrainingConfig, train_ensemble

TRAIN_BEFORE = datetime.date(2022, 1, 1)
SCORE_BEFORE = datetime.date(2023, 7, 1)
SIDES = tuple(f"{side}_{name}" for side in ("red", "blue") for name in BASE_FEATURES)


def score(past: TrainingMatrix, later: TrainingMatrix, columns: Sequence[str]) -> float:
    """Train on `past` and return the log loss on `later`, with these columns."""
    ensemble = train_ensemble(past.select(columns), TrainingConfig(bootstrap_samples=0, folds=5))
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    pairs = [(f"first {row}", f"second {row}") for row in range(len(later))]
    answers = manager.predict_fights(later.select(columns).X, pairs)
    return log_loss(np.array([answer.probability for answer in answers]), later.won)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.feature_sets", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    matrix = build_matrix(read_fight_log(parser.parse_args(arguments).data))
    past = matrix.before(TRAIN_BEFORE)
    later = matrix.before(SCORE_BEFORE)
    later = later.take(later.date >= np.datetime64(TRAIN_BEFORE))
    print(f"trained on {len(past):,} fights, scored on {len(later):,}")
    for name, fights, columns in (
        ("differences and context", past, MODEL_COLUMNS),
        ("and both sides' values", past, (*MODEL_COLUMNS, *SIDES)),
        ("sides and context", past, (*SIDES, *CONTEXT_FEATURES)),
        ("differences, reliable corners only", past.take(past.corner_known), MODEL_COLUMNS),
    ):
        loss = score(fights, later, columns)
        print(f"{name:36} {len(columns):4} columns {len(fights):6,} fights  log loss {loss:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
