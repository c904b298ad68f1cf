"""Ways to measure half-widths and to follow the market, compared on one-step forecasts of past fights.

    python -m benchmarks.intervals.recipes --data FOLDER

The forecast of a fight is the rating of the day before (`diff_rating`), with the slope and the corner term of the
fights of earlier years. For each year the half-widths are measured on all earlier ones since 2011, and each recipe is
scored by the share of closing probabilities, recalibrated on earlier years, inside the intervals. Fights from July 2023
to the end of 2024 have rows of their own, for the recipe in use.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import build_matrix
from engine.data.fight_log import read_fight_log
from engine.evaluation.reanchored_forecasts import reanchored_forecasts
from engine.intervals import half_widths, reanchor
from engine.intervals.half_widths import fit_half_widths, years_before_end
from engine.statistics.calibration import Calibration
from engine.statistics.complements import logit_to_probability
from engine.training.data_diagnostics import market_band
from engine.training.soft_labels import market_logit

FIRST_DAY = datetime.date(2011, 1, 1)
YEARS = range(2016, 2025)
HELD_BACK = np.datetime64("2023-07-01")
LEVELS = (0.8, 0.95)
MIN_BAND_FIGHTS = 100
NEVER = 1e-9  # a step or a prior so small that nothing moves


@dataclass(frozen=True, slots=True)
class Recipe:
    """A name, the constants of the engine that differ from those in use, and whether the corner is known."""

    name: str
    half_widths: dict[str, object] = field(default_factory=dict)
    reanchor: dict[str, object] = field(default_factory=dict)
    corner_known: bool = True


AS_TRAINED: dict[str, object] = {"LEVEL_STEPS": (0.0, 0.0), "SLOPE_PRIOR_SD": NEVER}
OLD: dict[str, object] = {"OUTWARD": 0.0, "RECENCY_HALF_LIFE_YEARS": inf}
RECIPES = (
    Recipe("as trained, equal weights, not outwards", OLD, AS_TRAINED),
    *(
        Recipe(
            f"as trained, half-life {years:g} years, not outwards", OLD | {"RECENCY_HALF_LIFE_YEARS": years}, AS_TRAINED
        )
        for years in (6.0, 3.0, 1.5)
    ),
    *(Recipe(f"as trained, outwards {outward:g}", {"OUTWARD": outward}, AS_TRAINED) for outward in (0.3, 0.5, 0.8)),
    *(
        Recipe(f"re-anchored, steps {steps[0]:g} and {steps[1]:g}", reanchor={"LEVEL_STEPS": steps})
        for steps in ((0.005, 0.0025), (0.01, 0.005), (0.03, 0.015))
    ),
    Recipe("re-anchored, not outwards", {"OUTWARD": 0.0}),
    Recipe("re-anchored, equal weights", {"RECENCY_HALF_LIFE_YEARS": inf}),
    Recipe("re-anchored, slope stays", reanchor={"SLOPE_PRIOR_SD": NEVER}),
    Recipe("re-anchored, slope prior 0.2", reanchor={"SLOPE_PRIOR_SD": 0.2}),
    Recipe("re-anchored: in use"),
    Recipe("as trained: in use, corner unknown", {}, AS_TRAINED, corner_known=False),
    Recipe("re-anchored: in use, corner unknown", corner_known=False),
)


def forecast(matrix: TrainingMatrix, recipe: Recipe) -> pd.DataFrame:
    """Return the closes, the intervals and what they are counted by, of the priced fights of YEARS."""
    with ExitStack() as changed:
        for module, constants in ((half_widths, recipe.half_widths), (reanchor, recipe.reanchor)):
            for name, value in constants.items():
                changed.enter_context(patch.object(module, name, value))
        return pd.concat([_year(matrix, year, recipe) for year in YEARS], ignore_index=True)


def _year(matrix: TrainingMatrix, year: int, recipe: Recipe) -> pd.DataFrame:
    past = matrix.before(datetime.date(year, 1, 1))
    past = past.take(past.date >= np.datetime64(FIRST_DAY))
    later = matrix.before(datetime.date(year + 1, 1, 1))
    later = later.take((later.date >= np.datetime64(f"{year}-01-01")) & np.isfinite(market_logit(later)))
    rating, newer = (fights.X["diff_rating"].to_numpy(np.float64) for fights in (past, later))
    calibration = Calibration.fit(rating, past.won, past.corner_known)
    red = past.corner_known.astype(np.int8)
    measured = fit_half_widths(
        unknown_logit=calibration(rating, np.zeros_like(red)),
        known_logit=calibration(rating, red),
        market_logit=market_logit(past),
        won=past.won,
        corner_known=past.corner_known,
        experience=past.experience,
        spread=None,
        age_years=years_before_end(past.date),
    )
    corner = later.corner_known.astype(np.int8)
    known, unknown = (logit_to_probability(calibration(newer, side)) for side in (corner, np.zeros_like(corner)))
    found = reanchored_forecasts(measured, later, known, unknown, LEVELS)
    if found is None or measured.market_slope is None:
        raise ValueError(f"too few fights before {year} have closing odds")
    probability, intervals = found[0 if recipe.corner_known else 1]
    close = logit_to_probability(measured.market_slope * market_logit(later))
    columns = {"date": later.date, "year": year, "band": market_band(logit_to_probability(market_logit(later)))}
    columns["loss"] = -np.log(np.where(later.won == 1, probability, 1.0 - probability))
    for level, (low, high) in intervals.items():
        columns[f"inside {level}"] = (low <= close) & (close <= high)
        columns[f"width {level}"] = high - low
    return pd.DataFrame(columns)


def table(matrix: TrainingMatrix) -> Iterator[str]:
    """Yield the table as lines of Markdown."""
    titles = [
        *("recipe", "fights", "log loss", "inside 80%", "width", "inside 95%", "width"),
        *("years, 80%", "years, 95%", "lowest band"),
    ]
    yield f"| {' | '.join(titles)} |"
    yield "|" + len(titles) * "---|"
    for recipe in RECIPES:
        fights = forecast(matrix, recipe)
        yield _row(recipe.name, "to June 2023", fights[fights["date"] < HELD_BACK])
        if "in use" in recipe.name:
            yield _row(recipe.name, "from July 2023", fights[fights["date"] >= HELD_BACK])
            yield _row(recipe.name, "all", fights)


def _row(name: str, period: str, fights: pd.DataFrame) -> str:
    """Return a row; a band counts if it has MIN_BAND_FIGHTS fights."""
    cells = [name, f"{len(fights):,} {period}", f"{fights['loss'].mean():.4f}"]
    for level in LEVELS:
        cells += [f"{fights[f'inside {level}'].mean():.1%}", f"{fights[f'width {level}'].mean():.3f}"]
    for level in LEVELS:
        by_year = fights.groupby("year")[f"inside {level}"].mean()
        cells.append(f"{by_year.min():.1%} to {by_year.max():.1%}")
    bands = fights.groupby("band")["inside 0.8"].agg(["mean", "size"])
    counted = bands.loc[bands["size"] >= MIN_BAND_FIGHTS, "mean"]
    cells.append(f"{counted.min():.1%}" if len(counted) else "-")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals.recipes", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    log = read_fight_log(parser.parse_args(arguments).data)
    for line in table(build_matrix(log).before(datetime.date(YEARS.stop, 1, 1))):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
