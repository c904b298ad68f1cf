"""Power of the promotion gate: share of challengers that pass, by loss difference and number of fights.

    python -m benchmarks.accuracy.gate_power --data FOLDER

Shifts the fight-by-fight difference of log loss between real models on real fights (walk forward, 2016 to 2024) to a
known mean, and draws whole events from it with replacement. Pairs of models: another seed, a model up to a year older,
and a single member. The models are small, because only the spread of their differences matters.

A second part simulates times in which every model is underconfident: results are redrawn from the champion's logits
times `SHARPER`, which becomes its calibration slope. It shows how often the gate refuses challengers for their slope,
with and without a comparison with the champion's.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.fight_log import read_fight_log
from engine.evaluation.backtest import BacktestConfig, backtest_data_from_log, forecast_fights
from engine.evaluation.challenger import evaluate_challenger
from engine.evaluation.served_scores import SERVED_FORECASTS
from engine.evaluation.walk_forward import FightSet
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.statistics.scores import clustered_mean, clustered_upper_bound, log_losses
from engine.training.train import TrainingConfig
from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.judgement_report import EvaluatedForecast, PairedDifference
from ledger.models.promotion_gate import decide_promotion, error_for_try

PRODUCTION_FORECAST = SERVED_FORECASTS["fresh", "unknown"]

FIRST_DAY, LAST_DAY = date(2016, 1, 1), date(2024, 12, 31)
FIGHTS = (200, 400, 800, 1600)
LOSS_DIFFERENCES = (0.0, 0.0025, 0.005, 0.01)
TRIES = (1, 4, 12)
DRAWS = 500
SHARPER = 1.45
UNDERCONFIDENT_FIGHTS = 800
SMALL = MemberParams(forest=ForestParams(trees=50))
PLAN = TrainingConfig(bootstrap_samples=0, fits=2, folds=5, members=SMALL)


def forecasts(season: FightSet, plan: TrainingConfig, refit_months: int = 12) -> pd.DataFrame:
    """Walk forward and return the forecasts of the fights with odds."""
    table = forecast_fights(season, BacktestConfig(FIRST_DAY, LAST_DAY, refit_months, plan))
    return table[table["market"].notna()].reset_index(drop=True)


def losses(table: pd.DataFrame) -> Floats:
    """Return the log loss of each fight."""
    return log_losses(table[PRODUCTION_FORECAST].to_numpy(np.float64), table["won"].to_numpy())


def passes(difference: Floats, event: NDArray[np.str_], tries: int) -> bool:
    """Return True if the gate passes a challenger with these loss differences from the champion, at this try."""
    found = clustered_mean(difference, event)
    estimate = Estimate(value=found.value, lower=found.lower, upper=found.upper)
    nothing = Estimate(value=0.0, lower=None, upper=None)
    models = [EvaluatedForecast(forecast=role, log_loss=nothing, brier=nothing) for role in ("challenger", "champion")]
    most = clustered_upper_bound(difference, event, error_for_try(tries))
    return decide_promotion(
        models, [PairedDifference(against="champion", log_loss=estimate, brier=nothing, most=most)]
    ).promote


def draws(event: NDArray[np.str_], fights: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.str_]]]:
    """Yield DRAWS samples of whole events with at least `fights` fights: rows, and an event name for each."""
    rng = np.random.default_rng(fights)
    names, member = np.unique(event, return_inverse=True)
    rows_of = [np.flatnonzero(member == index) for index in range(len(names))]
    size_of = np.array([len(rows) for rows in rows_of])
    for _ in range(DRAWS):
        drawn = rng.integers(len(names), size=fights)  # enough, because an event has several fights
        drawn = drawn[: int(np.searchsorted(np.cumsum(size_of[drawn]), fights)) + 1]
        label = np.repeat(np.arange(len(drawn)), size_of[drawn]).astype(np.str_)
        yield np.concatenate([rows_of[index] for index in drawn]), label


def pass_rate(difference: Floats, event: NDArray[np.str_], fights: int, tries: int) -> float:
    """Return the share of draws that pass the gate."""
    return float(np.mean([passes(difference[rows], label, tries) for rows, label in draws(event, fights)]))


def reasons(table: pd.DataFrame, event: NDArray[np.str_], fights: int) -> Counter[str]:
    """Count the reasons of refusals without a champion over the draws: calibration and intervals alone."""
    counted: Counter[str] = Counter()
    for rows, label in draws(event, fights):
        drawn = table.iloc[rows].reset_index(drop=True).assign(event=label)
        found = evaluate_challenger(drawn, {}, error_for_try(1))
        forecasts = msgspec.convert(found.forecasts, tuple[EvaluatedForecast, ...], from_attributes=True)
        paired = msgspec.convert(found.paired, tuple[PairedDifference, ...], from_attributes=True)
        corner_known = msgspec.convert(found.corner_known, tuple[EvaluatedForecast, ...], from_attributes=True)
        counted.update({reason.code for reason in decide_promotion(forecasts, paired, corner_known).reasons})
    return counted


def sharper(table: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.int8]:
    """Draw results of the fights for which this model is underconfident."""
    logit = np.log(table[PRODUCTION_FORECAST]) - np.log1p(-table[PRODUCTION_FORECAST])
    return np.asarray(rng.uniform(size=len(table)) < 1.0 / (1.0 + np.exp(-SHARPER * logit))).astype(np.int8)


def stretched(table: pd.DataFrame, by: float) -> pd.DataFrame:
    """Return the same forecasts with their logits multiplied by `by`."""
    p = table[PRODUCTION_FORECAST]
    return table.assign(**{PRODUCTION_FORECAST: 1.0 / (1.0 + np.exp(-by * (np.log(p) - np.log1p(-p))))})


def refused_for_slope(base: pd.DataFrame, challenger: pd.DataFrame, event: NDArray[np.str_]) -> tuple[float, float]:
    """Return the shares of draws refused for their slope: compared with the champion, and by the slope alone."""
    rng = np.random.default_rng(1)
    compared = alone = 0
    for rows, label in draws(event, UNDERCONFIDENT_FIGHTS):
        drawn = {"event": label, "won": sharper(base.iloc[rows], rng)}
        champion, other = (table.iloc[rows].reset_index(drop=True).assign(**drawn) for table in (base, challenger))
        found = evaluate_challenger(other, {"champion": champion}, error_for_try(1))
        forecasts = msgspec.convert(found.forecasts, tuple[EvaluatedForecast, ...], from_attributes=True)
        paired = msgspec.convert(found.paired, tuple[PairedDifference, ...], from_attributes=True)
        verdict = decide_promotion(forecasts, paired)
        slope = [reason.code == "uncalibrated_slope" for reason in (*verdict.reasons, *verdict.remarks)]
        alone += any(slope)
        compared += any(slope[: len(verdict.reasons)])
    return compared / DRAWS, alone / DRAWS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.gate_power", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a fight log")
    season = backtest_data_from_log(read_fight_log(parser.parse_args(arguments).data))
    base = forecasts(season, PLAN)
    alone = {"random_forest": 1.0, "xgboost": 0.0, "neural_network": 0.0}
    others = {
        "another seed": forecasts(season, replace(PLAN, seed=1)),
        "up to a year older": forecasts(season, PLAN, refit_months=24),
        "a forest alone": forecasts(season, replace(PLAN, model_weights=alone)),
    }
    event = base["event"].to_numpy(dtype=np.str_)
    print(f"{len(base):,} fights with odds, {len(np.unique(event))} events; share that passes, of {DRAWS} draws")
    for name, table in others.items():
        difference = losses(table) - losses(base)
        found = clustered_mean(difference, event)
        print(f"\n{name}: difference {found.value:+.4f} [{found.lower:+.4f}, {found.upper:+.4f}], ", end="")
        print(f"standard deviation a fight {difference.std():.3f}")
        print("  worse by " + "".join(f"{fights:>8} fights" for fights in FIGHTS))
        for shift in LOSS_DIFFERENCES:
            shifted = difference - difference.mean() + shift
            for tries in TRIES:
                shares = [pass_rate(shifted, event, fights, tries) for fights in FIGHTS]
                print(f"  {shift:>8.4f} " + "".join(f"{share:>15.1%}" for share in shares) + f"   try {tries}")
    print(f"\nthe model without a champion, refused of {DRAWS} draws")
    for fights in FIGHTS:
        counted = reasons(base, event, fights)
        print(
            f"  {fights:>5} fights: " + (", ".join(f"{code} {n / DRAWS:.1%}" for code, n in counted.items()) or "none")
        )
    print(
        f"\nresults as sharp as the champion's logits times {SHARPER:g}: refused for the slope, of {DRAWS} draws of "
        f"{UNDERCONFIDENT_FIGHTS} fights"
    )
    challengers = {
        "another seed": others["another seed"],
        "up to a year older": others["up to a year older"],
        "less confident: logits times 0.9": stretched(base, 0.9),
        "less confident: logits times 0.8": stretched(base, 0.8),
        "calibrated: logits times 1.45": stretched(base, SHARPER),
        "overconfident: logits times 2.2": stretched(base, 2.2),
    }
    for name, table in challengers.items():
        compared, alone_share = refused_for_slope(base, table, event)
        print(f"  {name:32} {compared:>6.1%} compared with the champion, {alone_share:>6.1%} by the slope alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
