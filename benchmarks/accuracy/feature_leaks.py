"""Leakage through missing values of a fight log: `python -m benchmarks.accuracy.feature_leaks --data FOLDER`.

For each feature, takes the fights in which only one fighter's value is known, and prints the share that this fighter
won. If a source fills in values later, for fighters who stay, the share is far from a half, which no forecast could
know. Then prints out-of-fold forecasts for the fighter whose reach is known: with the gaps, with the gaps filled, as
models are trained, and without the reach.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog, read_fight_log
from engine.data.side_features import BASE_FEATURES
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.members.xgboost_fit import TrainingLimits
from engine.statistics.calibration import Calibration, log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.refits import LOGIT, RefitBatch, RefitPurpose, Trainer
from engine.training.train import TrainingConfig

PERIODS = ((1994, 2009), (2010, 2015), (2016, 2019), (2020, 2022), (2023, 2024))
COLUMNS = tuple(name for name in MODEL_COLUMNS if name != "diff_rating")
"""A model that stands on a rating leaves its members less to say of a reach, and the leak would be harder to see."""
WITHOUT_REACH = tuple(name for name in COLUMNS if name != "diff_reach_cm")


def known_sides(log: FightLog, name: str) -> NDArray[np.bool_]:
    """Return a mask of the sides with a known value in each decided fight, (n, 2): red, blue."""
    if name == "southpaw":  # 0 in a row with gaps
        decided = log.fights[log.is_label]
        stance = log.fighters.set_index("fighter_id")["stance"] != ""
        return np.column_stack([decided[side].map(stance).to_numpy(np.bool_) for side in ("red_id", "blue_id")])
    X = build_matrix(log, keep_gaps=True).X
    return np.column_stack([X[f"{side}_{name}"].notna().to_numpy() for side in ("red", "blue")])


def won_by_known(known: NDArray[np.bool_], matrix: TrainingMatrix, years: tuple[int, int]) -> tuple[int, float]:
    """Return the number of fights of these years with exactly one known side, and the share won by that side."""
    rows = (known[:, 0] != known[:, 1]) & _during(matrix, years)
    return int(rows.sum()), float(np.where(known[:, 0], matrix.won, 1 - matrix.won)[rows].mean()) if rows.any() else 0.5


def out_of_fold(matrix: TrainingMatrix, folds: int = 5, trees: int = 200) -> Floats:
    """Return the out-of-fold P(first-listed wins), (n,), with the corner unknown."""
    members = MemberParams(forest=ForestParams(trees=trees))
    trainer = Trainer(matrix, TrainingConfig(bootstrap_samples=0, fits=1, folds=folds, members=members, n_jobs=1))
    logit = trainer.run(RefitBatch(RefitPurpose.FOLD, 0, folds), TrainingLimits(3600.0, 8192.0), 1, lambda: None)[LOGIT]
    calibration = Calibration.fit(logit, matrix.won, matrix.corner_known)
    return logit_to_probability(calibration(logit, np.zeros(len(matrix), dtype=np.int8)))


def mean_forecast_of_known(p: Floats, known: NDArray[np.bool_], rows: NDArray[np.bool_]) -> float:
    """Return the mean forecast of the known side, over those of `rows` with exactly one known side."""
    alone = (known[:, 0] != known[:, 1]) & rows
    return float(np.where(known[:, 0], p, 1.0 - p)[alone].mean())


def _during(matrix: TrainingMatrix, years: tuple[int, int]) -> NDArray[np.bool_]:
    year = matrix.date.astype("datetime64[Y]").astype(np.int64) + 1970
    return np.asarray((year >= years[0]) & (year <= years[1]))


def _print_row(name: str, cells: Iterable[str]) -> None:
    print(f"| {name} | {' | '.join(cells)} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.feature_leaks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    log = read_fight_log(parser.parse_args(arguments).data)
    matrix = build_matrix(log).select(COLUMNS)
    _print_row("known of one alone", (f"{first} to {last}" for first, last in PERIODS))
    _print_row("---", ("---" for _ in PERIODS))
    for name in BASE_FEATURES:
        known = known_sides(log, name)
        if (known[:, 0] != known[:, 1]).any():
            found = [won_by_known(known, matrix, years) for years in PERIODS]
            _print_row(name, (f"{share:.1%} of {fights}" if fights else "-" for fights, share in found))
    known = known_sides(log, "reach_cm")
    print()
    _print_row("forecast of the fighter with known reach", (f"{first} to {last}" for first, last in PERIODS[:3]))
    _print_row("---", ("---" for _ in PERIODS[:3]))
    for name, rows in (
        ("with gaps", build_matrix(log, keep_gaps=True).select(COLUMNS)),
        ("gaps filled", matrix),
        ("without reach", matrix.select(WITHOUT_REACH)),
    ):
        p = out_of_fold(rows)
        _print_row(
            f"{name} (log loss {log_loss(p, matrix.won):.4f})",
            (f"{mean_forecast_of_known(p, known, _during(matrix, years)):.3f}" for years in PERIODS[:3]),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
