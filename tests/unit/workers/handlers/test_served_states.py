from __future__ import annotations

from datetime import UTC, date, datetime
from math import log

import pytest

from ledger.contracts.prediction_record import PredictionRecord
from workers.handlers.monitoring.result_matching import ScoredPrediction
from workers.handlers.monitoring.served_states import answer_states, served_windows, state_kind

EVENTS = (date(2098, 1, 4), date(2098, 1, 11))


def answer(day: date, cutoff: date | None, at: datetime | None = None, red: int | None = None) -> PredictionRecord:
    return PredictionRecord(
        day=day,
        fighters=("Ana", "Bea"),
        model="ab" * 32,
        role="live",
        job_id="j",
        probability=0.25,
        intervals=(),
        market=0.5,
        red=red,  # type: ignore[arg-type]
        action="abstain",
        state_cutoff=cutoff,
        at=at,
    )


@pytest.mark.parametrize(
    ("day", "cutoff", "at", "kind"),
    [
        (date(2098, 1, 18), date(2098, 1, 11), None, "fresh"),
        (date(2098, 1, 18), date(2098, 1, 4), None, "lagging"),
        (date(2098, 1, 11), date(2098, 1, 4), None, "fresh"),  # the event itself is no earlier result
        (date(2098, 1, 18), date(2098, 1, 4), datetime(2098, 1, 11, 9, tzinfo=UTC), "fresh"),  # given before that event
        (date(2098, 1, 18), date(2098, 1, 4), datetime(2098, 1, 12, 9, tzinfo=UTC), "lagging"),
        (date(2098, 1, 18), None, None, None),
    ],
)
def test_a_state_lags_if_a_later_result_was_known(day: date, cutoff: date, at: datetime | None, kind: str) -> None:
    assert state_kind(answer(day, cutoff, at), EVENTS) == kind


def test_answers_are_scored_by_state_and_corner() -> None:
    scored = [
        ScoredPrediction(answer(date(2098, 1, 18), date(2098, 1, 11), red=0), 0, 1),
        ScoredPrediction(answer(date(2098, 1, 18), date(2098, 1, 4)), 1, 1),
        ScoredPrediction(answer(date(2098, 1, 18), date(2098, 1, 4)), 0, 1),
        ScoredPrediction(answer(date(2098, 1, 18), None), 0, 1),
    ]
    fresh, lagging = served_windows(scored, EVENTS)
    assert (fresh.state, fresh.corner, fresh.fights) == ("fresh", "known", 1)
    assert fresh.log_loss == pytest.approx(-log(0.25))
    assert fresh.minus_market is not None
    assert fresh.minus_market.value == pytest.approx(log(2.0))
    assert (lagging.state, lagging.corner, lagging.fights) == ("lagging", "unknown", 2)
    assert lagging.log_loss == pytest.approx(-(log(0.25) + log(0.75)) / 2)
    counts = answer_states("champion", scored, EVENTS)
    assert (counts.fresh, counts.lagging) == (1, 2)
