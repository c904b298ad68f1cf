"""False alarm rate and detection delay of the tests on live predictions: `python -m benchmarks.accuracy.alarm_rates`.

Simulates a shop with 12 fights a week. The market knows each fight's probability; the model knows a part of it, is
calibrated on that part, and so has a higher log loss than the market, as a statistics-only model has. Faults of the
model are a slope or a red-corner term on its logits, or a total loss of information (it predicts other fights). The
tests run after every event, for `--years`. With --json prints one document.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, ndtri

from engine.arrays import Floats
from engine.monitoring.sequential_tests import (
    ALPHA,
    LOSS_ALLOWANCE,
    ScoredFights,
    calibration_e_process,
    market_e_process,
)
from engine.statistics.scores import log_losses

FIGHTS = 12
WEEKS = 50  # weeks with an event in a year
KNOWN, HIDDEN = 0.6, 0.6
"""Standard deviations on the logit scale: of the part that the model knows, and of the part only the market knows."""
GRID = np.linspace(-8.0, 8.0, 1601)


@dataclass(frozen=True)
class Scenario:
    """A fault from week `start` on; `together` is the correlation of the results of one night (Gaussian copula)."""

    name: str
    slope: float = 1.0
    corner: float = 0.0
    ignorant: bool = False
    start: int = 0
    together: float = 0.0


SCENARIOS = (
    Scenario("no fault"),
    Scenario("no fault, correlated results of a night (0.3)", together=0.3),
    Scenario("favourites win far less often than forecast (true slope 0.5)", slope=0.5),
    Scenario("favourites win less often than forecast (true slope 0.7)", slope=0.7),
    Scenario("favourites win slightly less often than forecast (true slope 0.85)", slope=0.85),
    Scenario("favourites win more often than forecast (true slope 1.4)", slope=1.4),
    Scenario("the red corner wins more often than forecast (0.2 in logit)", corner=0.2),
    Scenario("the red corner wins more often than forecast (0.4 in logit)", corner=0.4),
    Scenario("true slope 0.5, from week 100 on", slope=0.5, start=100),
    Scenario("the model has no information, from week 100 on", ignorant=True, start=100),
)


def season(scenario: Scenario, weeks: int, rng: np.random.Generator) -> ScoredFights:
    """Simulate a model's predictions and their results."""
    n = weeks * FIGHTS
    week = np.repeat(np.arange(weeks), FIGHTS)
    known, hidden = rng.normal(0.0, KNOWN, n), rng.normal(0.0, HIDDEN, n)
    forecast = _given(known)
    corner = rng.choice(np.array([-1, 1], dtype=np.int8), n)
    wrong = week >= scenario.start
    fact = expit(scenario.slope * np.log(forecast / (1.0 - forecast)) + scenario.corner * corner)
    # The market knows the part that the model lacks, independently of the model's fault.
    truth = np.where(wrong, np.interp(fact, _given(GRID), GRID), known) + hidden
    true = expit(truth)
    shared = np.repeat(rng.normal(size=weeks), FIGHTS) * corner
    luck = np.sqrt(scenario.together) * shared + np.sqrt(1.0 - scenario.together) * rng.normal(size=n)
    won = (luck < ndtri(true)).astype(np.int8)
    if scenario.ignorant:
        forecast = np.where(wrong, rng.permutation(forecast), forecast)
    return ScoredFights(forecast, won, corner, week, true, {})


def _given(known: Floats) -> Floats:
    """Return the win probability given the model's part, (n,): the mean over the other part."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    return np.asarray(expit(known[:, None] + HIDDEN * nodes) @ (weights / weights.sum()))


def usual_excess(rng: np.random.Generator) -> float:
    """Return the excess log loss of a faultless model over the market, in nats."""
    shop = season(SCENARIOS[0], 20_000, rng)
    return float(np.mean(log_losses(shop.probability, shop.won) - log_losses(shop.market, shop.won)))


def first_alarm(process: Floats | None, alpha: float) -> float:
    """Return the number of events until the alarm, or infinity without one."""
    over = np.flatnonzero(process >= 1.0 / alpha) if process is not None else np.array([])
    return float(over[0] + 1) if len(over) else np.inf


def measure(scenario: Scenario, paths: int, weeks: int, excess: float, rng: np.random.Generator) -> dict[str, Any]:
    """Simulate a scenario and return the alarms of each test, in weeks after the fault began."""
    alarms = np.empty((paths, 2))
    for path in range(paths):
        shop = season(scenario, weeks, rng)
        alarms[path, 0] = first_alarm(calibration_e_process(shop), ALPHA["calibration"])
        alarms[path, 1] = first_alarm(market_e_process(shop, excess + LOSS_ALLOWANCE), ALPHA["market"])
    delays = alarms - scenario.start
    early = (delays <= 0).any(axis=1)  # a false alarm before the fault began
    either = np.where(early, np.inf, delays.min(axis=1))
    return {
        "scenario": scenario.name,
        "calibration": float(np.isfinite(alarms[:, 0]).mean()),
        "market": float(np.isfinite(alarms[:, 1]).mean()),
        "either": float(np.isfinite(alarms).any(axis=1).mean()),
        "weeks": [_or_none(value) for value in np.quantile(either, (0.1, 0.5, 0.9), method="inverted_cdf")],
    }


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.alarm_rates", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--paths", type=int, default=500)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    excess = usual_excess(rng)
    weeks = options.years * WEEKS
    rows = [measure(scenario, options.paths, weeks, excess, rng) for scenario in SCENARIOS]
    if options.json:
        print(json.dumps({"usual_excess": excess, "paths": options.paths, "weeks": weeks, "rows": rows}))
        return
    above = f"a faultless model's log loss is {excess:.4f} above the market's"
    print(f"{options.paths} shops, {weeks} events of {FIGHTS} fights; {above}\n")
    print("| fault | calibration alarms | market alarms | either | weeks until the alarm (10%, median, 90%) |")
    print("|---|---|---|---|---|")
    for row in rows:
        shares = " | ".join(f"{row[name]:.1%}" for name in ("calibration", "market", "either"))
        later = ", ".join(f"over {weeks}" if value is None else f"{value:.0f}" for value in row["weeks"])
        print(f"| {row['scenario']} | {shares} | {later} |")


if __name__ == "__main__":
    main()
