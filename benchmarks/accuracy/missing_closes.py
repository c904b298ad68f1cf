"""What missing closing odds of past fights cost: `python -m benchmarks.accuracy.missing_closes --data FOLDER`.

Hides closing odds of the log, runs the rating filters again, and prints the log loss of the rating alone on all priced
fights of 2016 to 2024, calibrated by year on earlier fights as in a backtest. The rating is the part of an answer that
learns from closes. Hidden are 30%, 60% and all closes, at random by fight, and those since 1 January of each forecast
year, as in a log whose closes were no longer added.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.features import build_matrix
from engine.data.fight_log import FightLog, read_fight_log
from engine.evaluation.baseline import rating_forecast
from engine.statistics.complements import logit_to_probability
from engine.statistics.scores import clustered_mean, log_losses
from engine.training.soft_labels import market_logit

YEARS = range(2016, 2025)
SHARES = (0.0, 0.3, 0.6, 1.0)
SEED = 7
ODDS = ["red_decimal_odds", "blue_decimal_odds"]


def without_closes(log: FightLog, hidden: NDArray[np.bool_]) -> FightLog:
    """Return the log without the closing odds of the fights in a mask, (n,)."""
    fights = log.fights.copy()
    fights.loc[hidden, ODDS] = np.nan
    return FightLog(fights, log.stat_lines, log.fighters)


def rating_logits(log: FightLog) -> Floats:
    """Return the one-step forecasts of the rating of the decided fights, float64 (n,)."""
    return build_matrix(log).X["diff_rating"].to_numpy(np.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.missing_closes", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    log = read_fight_log(parser.parse_args(arguments).data)
    matrix = build_matrix(log)
    market = market_logit(matrix)
    year = matrix.date.astype("datetime64[Y]").astype(np.int64) + 1970
    scored = np.isfinite(market) & np.isin(year, YEARS)
    at_random = np.random.default_rng(SEED).uniform(size=len(log.fights))

    def forecast(logit: Floats, years: Sequence[int]) -> Floats:
        p = np.full(len(matrix), np.nan)
        for each in years:
            past, later = year < each, year == each
            p[later] = rating_forecast(logit[past], matrix.take(past), logit[later], matrix.take(later))
        return p

    forecasts = {
        f"{share:.0%} at random": forecast(rating_logits(without_closes(log, at_random < share)), YEARS)
        for share in SHARES
    }
    ended = np.full(len(matrix), np.nan)
    for each in YEARS:
        logit = rating_logits(without_closes(log, (log.fights["date"] >= pd.Timestamp(each, 1, 1)).to_numpy()))
        ended = np.where(year == each, forecast(logit, [each]), ended)
    forecasts["since 1 January of each year"] = ended
    won, event = matrix.won[scored], matrix.event[scored]
    losses = {name: log_losses(p[scored], won) for name, p in forecasts.items()}
    print(
        f"{scored.sum()} priced fights, log loss of the market "
        f"{log_losses(logit_to_probability(market[scored]), won).mean():.4f}"
    )
    print("| closes hidden | log loss of the rating | more than with all closes |")
    print("|---|---|---|")
    whole = losses[f"{SHARES[0]:.0%} at random"]
    for name, loss in losses.items():
        more = clustered_mean(loss - whole, event)
        ends = "" if more.lower is None else f" [{more.lower:+.4f}, {more.upper:+.4f}]"
        print(f"| {name} | {loss.mean():.4f} | {more.value:+.4f}{ends} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
