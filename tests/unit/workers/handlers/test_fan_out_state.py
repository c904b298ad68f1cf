from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workers.handlers.training.fan_out import FanOutState

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("seconds", "counted"), [(2.0, 2.0), (3600.0, 10.0), (-600.0, 0.0)])
def test_a_training_is_at_work_for_what_passes_and_not_for_what_a_clock_is_set_by(
    seconds: float, counted: float
) -> None:
    note = FanOutState("", NOW, at_work_seconds=60.0).advanced_to(NOW + timedelta(seconds=seconds))
    assert note == FanOutState("", NOW + timedelta(seconds=seconds), at_work_seconds=60.0 + counted)
