"""Effect of the announced winners of fights that were overturned later.

    python -m benchmarks.accuracy.overturned_results --data FOLDER

For a log with final results only. Assumes that the announced winner was red, blue or random in all fights whose method
is `Overturned`; runs a ridge regression walk-forward over 2016 to 2024, and compares its log loss on the other fights
with that on the original log.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog, read_fight_log
from engine.evaluation.baseline import ridge_forecast
from engine.statistics.scores import clustered_mean, log_losses

YEARS = range(2016, 2025)
DAYS = 180


def losses(log: FightLog, scored: pd.Series) -> pd.DataFrame:
    """Return the log loss and event of each fight of YEARS that is decided in every variant."""
    matrix = build_matrix(log).select(MODEL_COLUMNS).take(scored[log.is_label].to_numpy())
    found = []
    for year in YEARS:
        first, end = date(year, 1, 1), date(year + 1, 1, 1)
        later = matrix.before(end)
        later = later.take(later.date >= np.datetime64(first))
        loss = log_losses(ridge_forecast(matrix.before(first), later), later.won)
        found.append(pd.DataFrame({"event": later.event, "loss": loss}))
    return pd.concat(found, ignore_index=True)


def fought_again(log: FightLog, overturned: pd.Series) -> int:
    """Count the fighters who fought again within DAYS after an overturned fight."""
    fights = log.fights
    again = 0
    for _, row in fights[overturned].iterrows():
        within = (fights["date"] > row["date"]) & (fights["date"] <= row["date"] + pd.Timedelta(days=DAYS))
        for fighter in (row["red_id"], row["blue_id"]):
            again += bool((within & ((fights["red_id"] == fighter) | (fights["blue_id"] == fighter))).any())
    return again


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the change of the log loss for each assumption."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.overturned_results", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    log = read_fight_log(parser.parse_args(arguments).data)
    overturned = log.fights["method"] == "Overturned"
    print(
        f"{overturned.sum()} of {len(overturned):,} fights; {fought_again(log, overturned)} fought again in {DAYS} days"
    )
    base = losses(log, ~overturned)
    size = len(overturned)
    guesses = {"red": ["red"] * size, "blue": ["blue"] * size}
    guesses["either"] = np.random.default_rng(0).choice(["red", "blue"], size=size).tolist()
    for name, winner in guesses.items():
        fights = log.fights.assign(announced_winner=pd.Series(winner).where(overturned, ""))
        changed = losses(FightLog(fights, log.stat_lines, log.fighters), ~overturned)
        found = clustered_mean((changed["loss"] - base["loss"]).to_numpy(), base["event"].to_numpy(dtype=np.str_))
        print(f"{name:8} log loss {found.value:+.5f} [{found.lower:+.5f}, {found.upper:+.5f}] on {len(base):,} fights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
