"""What many promotions may lose, simulated: `benchmarks.accuracy.gate_sequences` with more sequences."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.gate_sequences import SequencePlan, sequence
from ledger.models.promotion_gate import LOG_LOSS_TOLERANCE, TOTAL_ERROR


@pytest.fixture(scope="module")
def creeping() -> SequencePlan:
    """Each is worse than the champion of the day by less than is allowed, on fights enough to show it."""
    return SequencePlan(challengers=25, fights=3200, worse_by=lambda rng: 0.004, same_fights=False)


def test_promotions_that_are_each_a_little_worse_do_not_add_up(creeping: SequencePlan) -> None:
    ended = [sequence(creeping, seed) for seed in range(20)]
    assert max(one.worst for one in ended) <= LOG_LOSS_TOLERANCE
    assert max(one.promotions for one in ended) >= 1  # the gate is not shut
    alone = [sequence(creeping, seed, anchored=False, counted=False) for seed in range(5)]
    assert min(one.lost for one in alone) > 2 * LOG_LOSS_TOLERANCE  # so the simulation would show it


def test_many_tries_get_no_poor_challenger_through() -> None:
    poor = SequencePlan(challengers=40, fights=400, worse_by=lambda rng: LOG_LOSS_TOLERANCE + 1e-6)
    sequences = 60
    through = sum(sequence(poor, seed).promotions > 0 for seed in range(sequences))
    uncounted = sum(sequence(poor, seed, counted=False).promotions > 0 for seed in range(sequences))
    allowed = TOTAL_ERROR * sequences + 3 * np.sqrt(TOTAL_ERROR * sequences)
    assert through <= allowed < uncounted
