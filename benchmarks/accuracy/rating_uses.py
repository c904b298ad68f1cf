"""Uses of the rating, and what it is made of, walk-forward by year on a fight log.

    python -m benchmarks.accuracy.rating_uses --data FOLDER

The first table gives the rating filter other inputs. The second gives the ensemble the rating in other ways: not at
all, as a column, stacked (members and rating weighted by a regression of earlier results), and as the offset whose
error the members learn. A year's forecasts come from models of the years before, its calibration from earlier
forecasts. Printed are the log loss minus the market's on priced fights of 2016 and later, with the corner known and
unknown, the same for fights before and from mid-2023 on, and the mean squared distance to the recalibrated closing
logit, which decides the width of intervals.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import FEATURE_COLUMNS, MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog, read_fight_log
from engine.data.fighter_state import SKILL_FIELDS
from engine.data.rated_log import rate_log
from engine.data.side_features import BASE_FEATURES, fill_biographies
from engine.members.member_stack import stack_from_arrays
from engine.members.xgboost_fit import TrainingLimits
from engine.model.rating_offset import RatingOffset
from engine.model.trained_ensemble import point_margins
from engine.ratings.rating_filter import RatedFights, run_rating_filter
from engine.statistics.calibration import fit_logistic
from engine.statistics.complements import margin_to_logit
from engine.training.refits import RefitBatch, RefitPurpose, Trainer, TrainingConfig
from engine.training.soft_labels import market_logit

FIRST_FORECAST, FIRST_SCORED = 2014, 2016
LATE = np.datetime64("2023-07-01")
FITS = 2
RECORD = (
    "debut",
    "debut_age",
    "log_fights",
    "win_share",
    "ko_win_share",
    "sub_win_share",
    "decision_win_share",
    "streak",
)
_PLAIN = "diff_plain_rating"  # a name that makes the rating a column like any other
HEAD = f"{'':46} {'corner known':>12} {'unknown':>8} {'to mid-2023':>12} {'later':>8} {'mean v^2':>9}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.rating_uses", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    log = read_fight_log(parser.parse_args(arguments).data)
    matrix = build_matrix(log)
    print(run_seconds(log))
    print(f"{HEAD}\ninputs of the rating filter")
    for name, logit in _filters(log):
        print(f"  {name:44} {score(matrix, logit[:, None])}", flush=True)
    print("uses of the rating by the ensemble")
    for name, columns in _ensembles(matrix):
        print(f"  {name:44} {score(matrix, columns)}", flush=True)
    return 0


def run_seconds(log: FightLog) -> str:
    """Return the processor time of one compiled run of the filter, with past odds and without."""
    fights = rate_log(log).fights  # compiles the loops
    seconds = []
    for each in (fights, replace(fights, market=np.full(len(fights.day), np.nan))):
        start = time.process_time()
        run_rating_filter(each, len(log.fighters))
        seconds.append(time.process_time() - start)
    return f"one run of the filter: {seconds[0]:.1f} s of processor time with past odds, {seconds[1]:.1f} s without"


def score(matrix: TrainingMatrix, columns: Floats) -> str:
    """Return a table row for logits (n, k) that a regression of earlier results weighs, from FIRST_FORECAST on."""
    year = matrix.date.astype("datetime64[Y]").astype(int) + 1970
    corner = matrix.corner_known.astype(np.float64)
    known = _calibrated(np.column_stack([columns, corner]), matrix, year)
    unknown = _calibrated(columns, matrix, year)
    market = market_logit(matrix)
    scored = np.isfinite(market) & (year >= FIRST_SCORED)
    recalibrated = np.full(len(matrix), np.nan)
    for each in np.unique(year[scored]):
        past = np.isfinite(market) & (year < each)
        recalibrated[year == each] = fit_logistic(market[past, None], matrix.won[past])[0] * market[year == each]
    worse, without = (_losses(logit, matrix, scored) - _losses(market, matrix, scored) for logit in (known, unknown))
    late = matrix.date[scored] >= LATE
    distance = np.mean((recalibrated[scored] - known[scored]) ** 2)
    return (
        f"{worse.mean():+12.4f} {without.mean():+8.4f} {worse[~late].mean():+12.4f} {worse[late].mean():+8.4f} "
        f"{distance:9.4f}"
    )


def _calibrated(columns: Floats, matrix: TrainingMatrix, year: Floats) -> Floats:
    logit = np.full(len(matrix), np.nan)
    for each in range(FIRST_SCORED, int(year.max()) + 1):
        past = (year >= FIRST_FORECAST) & (year < each)
        logit[year == each] = columns[year == each] @ fit_logistic(columns[past], matrix.won[past])
    return logit


def _losses(logit: Floats, matrix: TrainingMatrix, rows: NDArray[np.bool_]) -> Floats:
    return np.asarray(np.logaddexp(0.0, np.where(matrix.won[rows] == 1, -logit[rows], logit[rows])))


def _filters(log: FightLog) -> list[tuple[str, Floats]]:
    rated, label = rate_log(log), log.is_label.to_numpy()
    fights = rated.fights
    names = list(BASE_FEATURES)
    skills = [names.index(name) for name in SKILL_FIELDS]
    record = [names.index(name) for name in RECORD]
    totals = [position for position in range(len(names)) if position not in {*skills, *record}]
    sides = fill_biographies(*rated.sides)
    ages, idle = ([side[:, names.index(name)] for side in sides] for name in ("age", "days_since"))
    old = [np.maximum(0.0, age - 32.0) for age in ages]
    away = [np.log1p(np.minimum(np.nan_to_num(days, nan=730.0), 1825.0)) for days in idle]
    rusty = [years * (days > np.log(366.0)) for years, days in zip(old, away, strict=True)]

    def and_difference(*features: list[Floats]) -> RatedFights:
        more = np.column_stack([first - second for first, second in features])
        return replace(fights, x=np.column_stack([fights.x, np.clip(more / more.std(axis=0), -3.0, 3.0)]))

    none = np.full(len(fights.day), np.nan)
    variants: list[tuple[str, RatedFights]] = [
        ("past odds and results, all differences (default)", fights),
        ("  without record", replace(fights, x=fights.x[:, [*totals, *skills]])),
        ("  without skill ratings", replace(fights, x=fights.x[:, [*totals, *record]])),
        ("  without record and skill ratings", replace(fights, x=fights.x[:, totals])),
        ("  without rates and totals", replace(fights, x=fights.x[:, [*skills, *record]])),
        ("  strengths alone", replace(fights, x=fights.x[:, :0])),
        ("  and age curves of each side", and_difference([(age - 29.0) ** 2 for age in ages], old)),
        ("  and the logarithm of idle days", and_difference(away)),
        ("  and years above 32 after a year away", and_difference(rusty)),
        ("past odds alone, no results", replace(fights, score=none)),
        ("results alone, no odds (statistics only)", replace(fights, market=none)),
        ("  strengths alone", replace(fights, market=none, x=fights.x[:, :0])),
    ]
    return [(name, run_rating_filter(each, len(log.fighters))[0][label, 0]) for name, each in variants]


def _ensembles(matrix: TrainingMatrix) -> list[tuple[str, Floats]]:
    rating = matrix.X["diff_rating"].to_numpy()
    plain = replace(matrix, X=matrix.X.assign(**{_PLAIN: rating}))
    bare = [name for name in MODEL_COLUMNS if name != "diff_rating"]
    rates = [name for name in FEATURE_COLUMNS if name.startswith("diff_") and "rating" not in name and name not in bare]
    alone = _members(plain.select(bare))
    column = _members(plain.select([*bare, _PLAIN]))
    return [
        ("members alone", alone[:, None]),
        ("rating alone", rating[:, None]),
        ("members stacked with the rating", np.column_stack([alone, rating])),
        ("rating as a column", column[:, None]),
        ("rating as a column, stacked too", np.column_stack([column, rating])),
        ("rating as offset and column (default)", _members(matrix.select(MODEL_COLUMNS))[:, None]),
        ("  and rates with gaps", _members(matrix.select([*MODEL_COLUMNS, *rates]))[:, None]),
        (
            "results rating as offset (statistics only)",
            _members(matrix.select([*bare, "diff_results_rating"]), 0.0)[:, None],
        ),
    ]


def _members(matrix: TrainingMatrix, teaching: float = TrainingConfig().teaching) -> Floats:
    """Return the logits of ensembles of earlier years, (n,), uncalibrated; NaN before FIRST_FORECAST."""
    config = TrainingConfig(fits=FITS, bootstrap_samples=0, teaching=teaching)
    year = matrix.date.astype("datetime64[Y]").astype(int) + 1970
    logit = np.full(len(matrix), np.nan)
    for each in range(FIRST_FORECAST, int(year.max()) + 1):
        trainer = Trainer(matrix.before(datetime.date(each, 1, 1)), config)
        arrays = trainer.run(RefitBatch(RefitPurpose.FIT, 0, FITS), TrainingLimits(np.inf, np.inf))
        values = matrix.X.to_numpy(np.float64)[year == each]
        members = stack_from_arrays(trainer.rows.cuts, arrays).by_name()
        margin, _ = point_margins(members, trainer.weights, trainer.plan, values)
        offset: RatingOffset = trainer.offset
        logit[year == each] = (
            margin_to_logit(margin)
            if offset.position is None
            else offset.add_members(offset.rating_logit(values), margin)
        )
    return logit


if __name__ == "__main__":
    sys.exit(main())
