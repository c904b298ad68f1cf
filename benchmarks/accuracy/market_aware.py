"""Effect of the market-aware correction, year by year, on a fight log.

    python -m benchmarks.accuracy.market_aware --data FOLDER

For each year since 2016 trains on all earlier fights and scores its priced fights: log loss of the market (power
de-vig), its change by the correction with and without the official corner, the correction's weight, its shift of the
logit, and the width of the assumed band. The last lines are the change over all years and over the fights from
2023-07 on, with 95% intervals clustered by event.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.errors import ValidationError
from engine.model.market_adjustment import band_half_width, fit_market_model, side_differences
from engine.statistics.complements import logit_to_probability
from engine.statistics.scores import clustered_mean
from engine.training.soft_labels import market_logit

FIRST_YEAR = 2016
LEVEL = 0.95
LATE = np.datetime64("2023-07-01")


def score(past: TrainingMatrix, later: TrainingMatrix) -> tuple[Floats, str]:
    """Train on `past` and predict the priced fights of `later`; return the changes in log loss and a table row.

    The changes are float64 (2, n): with the official corner, and with the corner unknown.
    """
    market = market_logit(later)
    model = fit_market_model(past, market_logit(past))
    if model is None:
        raise ValidationError(f"too few of {len(past):,} earlier fights have odds: take a log with more of them")
    differences = side_differences(later.X.to_numpy(np.float64), list(later.X.columns))
    known = later.corner_known.astype(np.int8)
    logit, cornerless = (market + model.correction_for(differences, sides) for sides in (known, np.zeros_like(known)))
    before, *after = (_losses(one, later) for one in (market, logit, cornerless))
    changes = np.array([one - before for one in after])
    width = np.mean(
        logit_to_probability(logit + band_half_width(LEVEL)) - logit_to_probability(logit - band_half_width(LEVEL))
    )
    moved = np.std(logit - market)
    with_corner, without = changes.mean(axis=1)
    return changes, (
        f"{len(later):6,} fights  market {before.mean():.4f}  market-aware {with_corner:+.4f}, corner unknown "
        f"{without:+.4f}  weight {model.weight:.2f}  "
        f"moves the logit by {moved:.3f}  {LEVEL:.0%} band {width:.3f}"
    )


def _losses(logit: Floats, fights: TrainingMatrix) -> Floats:
    return np.logaddexp(0.0, np.where(fights.won == 1, -logit, logit))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.market_aware", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    matrix = build_matrix(read_fight_log(parser.parse_args(arguments).data)).select(MODEL_COLUMNS)
    years = matrix.date.astype("datetime64[Y]").astype(np.int64) + 1970
    priced = np.isfinite(market_logit(matrix))
    changes, scored = [], []
    for year in range(FIRST_YEAR, int(years.max()) + 1):
        later = matrix.take(priced & (years == year))
        change, line = score(matrix.take(years < year), later)
        print(f"{year}  {line}")
        changes.append(change)
        scored.append(later)
    both = np.concatenate(changes, axis=1)
    event, date = (np.concatenate([getattr(later, name) for later in scored]) for name in ("event", "date"))
    for name, rows in (("all", date >= date.min()), ("until 2023-06", date < LATE), ("since 2023-07", date >= LATE)):
        for corner, change in zip(("corner known", "corner unknown"), both[:, rows], strict=True):
            found = clustered_mean(change, event[rows])
            print(
                f"{name}, {corner}  {rows.sum():6,} fights  market-aware {found.value:+.4f} "
                f"[{found.lower:+.4f}, {found.upper:+.4f}]"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
