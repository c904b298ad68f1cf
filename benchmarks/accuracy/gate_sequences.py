"""Accumulated loss of a sequence of promotions through the gate, in which every challenger is slightly worse.

    python -m benchmarks.accuracy.gate_sequences

Simulates the fight-by-fight log losses of models with known true means: the difference of two models on a fight has the
standard deviation of real pairs (0.027, measured by the benchmark of the gate's power), and part of it is common to the
fights of an event. Each challenger is worse than the current champion by a fixed amount and is evaluated on the same or
on other fights; a challenger that passes becomes champion. Prints by how much the last champion is truly worse than the
first, over many sequences, for the gate as it is, and without the anchor or the count of tries.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats
from engine.statistics.scores import clustered_mean, clustered_upper_bound
from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.judgement_report import EvaluatedForecast, PairedDifference
from ledger.models.promotion_gate import decide_promotion, error_for_try

SPREAD = 0.027
IN_COMMON = 0.1
"""Share of the variance that is common to the fights of an event."""
CARD = 12
NOTHING = Estimate(value=0.0, lower=None, upper=None)
MODELS = {
    role: EvaluatedForecast(forecast=role, log_loss=NOTHING, brier=NOTHING) for role in ("challenger", "champion")
}
ANCHOR = EvaluatedForecast(forecast="anchor", log_loss=NOTHING, brier=NOTHING)


@dataclass(frozen=True)
class SequencePlan:
    """Settings of a sequence.

    Attributes
    ----------
    challengers
        Number of challengers.
    worse_by
        Excess of each challenger's mean log loss over the current champion's.
    same_fights
        Evaluate all challengers on the same fights, or each on others.
    """

    challengers: int
    fights: int
    worse_by: Callable[[np.random.Generator], float]
    same_fights: bool = True


@dataclass(frozen=True)
class SimulatedModel:
    """A simulated model: `true` is its excess mean log loss over the first champion, `noise` its losses by fight."""

    true: float
    noise: Floats


@dataclass(frozen=True)
class SequenceResult:
    """Result of a sequence: excess log loss of the last champion and of the worst one, and the number of promotions."""

    lost: float
    worst: float
    promotions: int


def sequence(plan: SequencePlan, seed: int, *, anchored: bool = True, counted: bool = True) -> SequenceResult:
    """Evaluate challengers one after the other, with or without the anchor and the count of tries."""
    rng = np.random.default_rng(seed)
    event = (np.arange(plan.fights) // CARD).astype(np.str_)

    def model(true: float) -> SimulatedModel:
        return SimulatedModel(true, _noise(rng, plan.fights))

    champion = anchor = model(0.0)
    worst, promotions, tries = 0.0, 0, 0
    for _ in range(plan.challengers):
        if not plan.same_fights:
            same = champion is anchor
            champion = model(champion.true)
            anchor = champion if same else model(anchor.true)
        challenger = model(champion.true + plan.worse_by(rng))
        tries += 1
        error = error_for_try(tries) if counted else 0.025
        paired = [_paired("champion", challenger, champion, event, error)]
        models = [*MODELS.values()]
        if anchored and anchor is not champion:
            paired.append(_paired("anchor", challenger, anchor, event, error))
            models.append(ANCHOR)
        if decide_promotion(models, paired).promote:
            bound = paired[-1].most
            anchor = challenger if bound is not None and bound < 0.0 else anchor
            champion = challenger
            tries, promotions, worst = 0, promotions + 1, max(worst, champion.true)
    return SequenceResult(champion.true, worst, promotions)


def _noise(rng: np.random.Generator, fights: int) -> Floats:
    own = rng.normal(size=fights)
    common = np.repeat(rng.normal(size=-(-fights // CARD)), CARD)[:fights]
    return np.asarray(SPREAD / np.sqrt(2.0) * (np.sqrt(1.0 - IN_COMMON) * own + np.sqrt(IN_COMMON) * common))


def _paired(role: str, one: SimulatedModel, other: SimulatedModel, event: np.ndarray, error: float) -> PairedDifference:
    difference = one.true - other.true + one.noise - other.noise
    found = clustered_mean(difference, event)
    return PairedDifference(
        against="anchor" if role == "anchor" else "champion",
        log_loss=Estimate(value=found.value, lower=found.lower, upper=found.upper),
        brier=NOTHING,
        most=clustered_upper_bound(difference, event, error),
    )


PLANS = {
    "worse by 0.004 each, 800 fights": SequencePlan(50, 800, lambda rng: 0.004),
    "worse by 0.004 each, 3,200 fights": SequencePlan(50, 3200, lambda rng: 0.004),
    "worse by 0.004 each, 3,200 other fights": SequencePlan(50, 3200, lambda rng: 0.004, same_fights=False),
    "worse by 0.0025 each, 800 fights": SequencePlan(50, 800, lambda rng: 0.0025),
    "worse by 0.006 each, 400 fights": SequencePlan(50, 400, lambda rng: 0.006),
    "equal on average, spread 0.002, 800 fights": SequencePlan(50, 800, lambda rng: float(rng.normal(0.0, 0.002))),
    "equal on average, spread 0.002, 800 other fights": SequencePlan(
        50, 800, lambda rng: float(rng.normal(0.0, 0.002)), same_fights=False
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.gate_sequences", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--sequences", type=int, default=200)
    sequences = parser.parse_args(arguments).sequences
    print(f"{sequences} sequences of 50 challengers; lost: mean, 95%, maximum; above 0.005: share of sequences")
    for name, plan in PLANS.items():
        print(f"\n{name}")
        for gate, options in (
            ("against the champion only", {"anchored": False, "counted": False}),
            ("and the anchor", {"anchored": True, "counted": False}),
            ("and counted tries", {"anchored": True, "counted": True}),
        ):
            ended = [sequence(plan, seed, **options) for seed in range(sequences)]
            made = np.mean([one.promotions for one in ended])
            lost, worst = np.array([one.lost for one in ended]), np.array([one.worst for one in ended])
            print(
                f"  {gate:26} lost {lost.mean():+.4f}, {np.quantile(lost, 0.95):+.4f}, {worst.max():+.4f}; "
                f"above 0.005: {np.mean(worst > 0.005):.1%}; promotions {made:.1f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
