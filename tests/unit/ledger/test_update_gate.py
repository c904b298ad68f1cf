"""The rule that promotes a state update."""

from __future__ import annotations

import pytest

from ledger.contracts.job_reports.update_report import StateDifference
from ledger.models.update_gate import MAX_MEAN_CHANGE, MIN_KNOWN_PAIRS, PAST_TOLERANCE, decide_update

SAME = StateDifference(pairs=200, mean=0.0, largest=0.0)
USUAL = StateDifference(pairs=200, mean=0.003, largest=0.1)


def test_an_update_with_the_same_past_passes() -> None:
    assert decide_update(SAME, USUAL).promote
    assert decide_update(SAME, SAME).reasons == ()


@pytest.mark.parametrize(
    ("past", "change", "code"),
    [
        (StateDifference(pairs=MIN_KNOWN_PAIRS - 1, mean=0.0, largest=0.0), USUAL, "too_few_known_pairs"),
        (StateDifference(pairs=200, mean=0.001, largest=PAST_TOLERANCE * 1.01), USUAL, "past_answers_differ"),
        (SAME, StateDifference(pairs=200, mean=MAX_MEAN_CHANGE * 1.01, largest=0.4), "answers_moved_far"),
    ],
)
def test_each_reason_alone_refuses(past: StateDifference, change: StateDifference, code: str) -> None:
    verdict = decide_update(past, change)
    assert not verdict.promote
    assert [reason.code for reason in verdict.reasons] == [code]


def test_a_reanchored_model_goes_through_the_gate_of_challengers() -> None:
    assert [reason.code for reason in decide_update(SAME, USUAL, reanchored=True).reasons] == ["intervals_renewed"]


def test_every_reason_is_listed() -> None:
    bad = StateDifference(pairs=1, mean=0.5, largest=0.5)
    assert len(decide_update(bad, bad).reasons) == 3
