"""False alarms of the features' drift test with feeds of The Odds API: `python -m benchmarks.accuracy.feed_drift`.

Such a feed has only two names and a time for each fight. Simulates `--shops` shops that predict `--years` of events of
12 fights, drawn from the training fights, with the fields of the feed: no title bout, no scheduled rounds, and the
weight class of the fighters' last fights. Nothing drifts, so every alarm is false. With `--data FOLDER`, a fight log,
also tests for each year the fights of the following twelve months, as a model of the log before them sees them through
such a feed; the ageing of the model is drift, and may raise an alarm.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog, read_fight_log
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.monitoring.drift import ALPHA, RECENT_FIGHTS, TOLERANCE, FeatureBins, decode_bins, drift_e_process
from engine.simulation.league import LeagueConfig, simulate_league

FIGHTS = 12
EVENTS_A_YEAR = 50
YEARS = range(2014, 2024)


def drop_corners(rows: Floats, rng: np.random.Generator) -> Floats:
    """Return rows, (n, columns), without the values that the feed lacks; a tenth also without the weight class."""
    kept = rows.copy()
    unsure = rng.random(len(rows)) < 0.1
    for name in ("title_bout", "scheduled_rounds"):
        kept[:, MODEL_COLUMNS.index(name)] = np.nan
    for name in ("women", "weight_limit_lbs"):
        kept[unsure, MODEL_COLUMNS.index(name)] = np.nan
    return kept


def highest(bins: FeatureBins, numbers: NDArray[np.uint8], event: NDArray[np.int64], *, strict: bool) -> float:
    """Return the highest evidence over all events; `strict` counts missing values of the context as drift."""
    allowed = np.minimum(bins.shares + TOLERANCE, 1.0) if strict else bins.max_shares
    return float(drift_e_process(numbers, event, allowed).max())


def answered(log: FightLog, first_day: datetime.date, last_day: datetime.date) -> tuple[Floats, NDArray[np.int64]]:
    """Return the feature rows of fights from `first_day` on, as a model of the earlier log sees them, and the days."""
    fights = log.fights[log.fights["date"].between(str(first_day), str(last_day)) & ~log.fights["history_only"]]
    names = log.fighters.set_index("fighter_id")["name"]
    days = fights["date"].dt.date.tolist()
    found = FighterSnapshot.from_log(log.before(first_day)).features(
        [
            FightRequest(first=FighterRequest(name=names[red]), second=FighterRequest(name=names[blue]), date=day)
            for red, blue, day in zip(fights["red_id"], fights["blue_id"], days, strict=True)
        ]
    )
    ordinals = np.array([day.toordinal() for day in days], dtype=np.int64)
    return found.X[list(MODEL_COLUMNS)].to_numpy(np.float64), ordinals[found.X.index.to_numpy()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.feed_drift", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--shops", type=int, default=300)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--data", type=Path, help="folder of a fight log")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    folder = options.data
    log = simulate_league(LeagueConfig(fights=3000, seed=4)).log if folder is None else read_fight_log(folder)
    matrix = build_matrix(log).select(MODEL_COLUMNS)
    bins = FeatureBins.from_matrix(matrix)
    rows = drop_corners(matrix.X.to_numpy(np.float64)[-RECENT_FIGHTS:], rng)
    event = np.repeat(np.arange(options.years * EVENTS_A_YEAR), FIGHTS)
    alarms = {True: 0, False: 0}
    for _ in range(options.shops):
        numbers = decode_bins(bins.encode_bins(rows[rng.integers(0, len(rows), len(event))]), len(bins.columns))
        for strict in alarms:
            alarms[strict] += highest(bins, numbers, event, strict=strict) >= 1.0 / ALPHA
    print(f"{options.shops} shops of {options.years} years, {FIGHTS} fights an event: false alarms {alarms[False]}; ")
    print(f"if missing values of the context counted: {alarms[True]}")
    if folder is None:
        return 0
    for year in YEARS:
        first = datetime.date(year, 1, 1)
        bins = FeatureBins.from_matrix(matrix.before(first))
        rows, days = answered(log, first, datetime.date(year, 12, 31))
        numbers = decode_bins(bins.encode_bins(rows), len(bins.columns))
        found = [highest(bins, numbers, days, strict=strict) for strict in (False, True)]
        print(f"{year}: {len(rows)} fights of {len(np.unique(days))} events, evidence {found[0]:.3g}; {found[1]:.3g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
