"""Frequency of each definition of "too uncertain" and "too unsure" at the migration guide's defaults.

    python -m benchmarks.accuracy.thresholds --data FOLDER

Trains on fights before July 2021 and predicts the priced fights of the following two years; docs/decisions.md has the
chosen definitions.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.intervals.half_widths import experience_class
from engine.market.bet_decision import BettingRules
from engine.training.soft_labels import market_logit
from engine.training.train import TrainingConfig, train_ensemble

TRAIN_BEFORE = datetime.date(2021, 7, 1)
ANSWER_BEFORE = datetime.date(2023, 7, 1)
REPLICAS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.thresholds", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    matrix = build_matrix(read_fight_log(parser.parse_args(arguments).data)).select(MODEL_COLUMNS)
    later = matrix.before(ANSWER_BEFORE)
    later = later.take((later.date >= np.datetime64(TRAIN_BEFORE)) & np.isfinite(market_logit(later)))
    ensemble = train_ensemble(matrix.before(TRAIN_BEFORE), TrainingConfig(bootstrap_samples=REPLICAS))
    answers = ProductionEnsembleManager.from_ensemble(
        ensemble, create_production_ensemble_config(bootstrap_samples=REPLICAS)
    ).predict_fights(
        later.X,
        [(f"first {row}", f"second {row}") for row in range(len(later))],
        experience=later.experience.tolist(),
        levels=(0.8, 0.95),
    )
    rules = BettingRules()
    bounds = {
        f"{level:.0%} interval": np.array([answer.intervals[level] for answer in answers]) for level in (0.8, 0.95)
    }
    bounds["95% percentile interval"] = np.array([answer.sampling_interval for answer in answers], dtype=np.float64)
    classes = experience_class(later.experience)
    print(f"{len(later)} priced fights; by earlier fights of the less experienced fighter: 0, 1-2, 3-5, 6+")
    for name, (low, high) in ((name, ends.T) for name, ends in bounds.items()):
        wide = high - low > rules.max_uncertainty_threshold
        shares = ", ".join(f"{wide[classes == one].mean():.1%}" for one in range(4))
        widths = f"mean width {np.mean(high - low):.3f}, widest {np.max(high - low):.3f}"
        print(f"{name:24} {widths}, too wide {wide.mean():.1%} ({shares})")
    p = np.array([answer.probability for answer in answers])
    low, high = bounds["80% interval"].T
    pays = np.column_stack([low * later.red_odds > 1.0, (1.0 - high) * later.blue_odds > 1.0])
    chosen = np.where(pays[:, 0], p, 1.0 - p)[pays.any(axis=1)]
    print(f"likelier fighter below {rules.min_prediction_confidence}: {np.mean(np.maximum(p, 1 - p) < 0.5):.1%}")
    print(
        f"lower bound pays at closing prices: {pays.any(axis=1).mean():.1%}; of these, chosen fighter below "
        f"{rules.min_prediction_confidence}: {np.mean(chosen < rules.min_prediction_confidence):.1%}"
    )
    errors = [answer.sampling_error for answer in answers if answer.sampling_error is not None]
    print(f"Monte Carlo error of a percentile end at {REPLICAS} replicas: mean {np.mean(errors):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
