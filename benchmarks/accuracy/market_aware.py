"""Effect of the market-aware correction, year by year, on a fight log.

    python -m benchmarks.accuracy.market_aware --data FOLDER

For each year since 2016 trains on all earlier fights and scores its priced fights: log loss of the market (power
de-vig), its change by the correction, the correction's weight, its shift of the logit, and the width of the assumed
band.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.errors import ValidationError
from engine.model.market_adjustment import band_half_width, fit_market_model, side_differences
from engine.statistics.calibration import log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit

FIRST_YEAR = 2016
LEVEL = 0.95


def score(past: TrainingMatrix, later: TrainingMatrix) -> tuple[float, str]:
    """Train on `past` and predict the priced fights of `later`; return the mean change in log loss and a table row."""
    market = market_logit(later)
    model = fit_market_model(past, market_logit(past))
    if model is None:
        raise ValidationError(f"too few of {len(past):,} earlier fights have odds: take a log with more of them")
    logit = market + model.correction_for(side_differences(later.X.to_numpy(np.float64), list(later.X.columns)))
    before, after = (log_loss(logit_to_probability(one), later.won) for one in (market, logit))
    width = np.mean(
        logit_to_probability(logit + band_half_width(LEVEL)) - logit_to_probability(logit - band_half_width(LEVEL))
    )
    moved = np.std(logit - market)
    return after - before, (
        f"{len(later):6,} fights  market {before:.4f}  market-aware {after - before:+.4f}  weight {model.weight:.2f}  "
        f"moves the logit by {moved:.3f}  {LEVEL:.0%} band {width:.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.market_aware", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    matrix = build_matrix(read_fight_log(parser.parse_args(arguments).data)).select(MODEL_COLUMNS)
    years = matrix.date.astype("datetime64[Y]").astype(np.int64) + 1970
    priced = np.isfinite(market_logit(matrix))
    changes, fights = [], []
    for year in range(FIRST_YEAR, int(years.max()) + 1):
        later = matrix.take(priced & (years == year))
        change, line = score(matrix.take(years < year), later)
        print(f"{year}  {line}")
        changes.append(change)
        fights.append(len(later))
    print(f"all   {sum(fights):6,} fights  market-aware {np.average(changes, weights=fights):+.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
