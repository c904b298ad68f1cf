"""A season of about a minute under faults: each kind at least once, and nothing lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.season.faults import SeasonFault
from tests.chaos.season.run import SeasonPlan, run_season
from tests.chaos.season.table import lines, summary

SHORT = SeasonPlan(seed=3, cards=3, fights_per_card=6, seconds_per_card=12.0, fault_seconds=2.0, outage_seconds=1.0)


@pytest.mark.acceptance
@pytest.mark.timeout(600)  # it waits long for what does not come, to say what it is
def test_every_quote_result_slot_and_bet_of_a_season_is_there_once_whatever_fails(tmp_path: Path) -> None:
    course = run_season(SHORT, tmp_path, print)
    figures = summary(SHORT, course)
    print("\n".join(lines(figures)))  # noqa: T201 - pytest shows it when the test fails
    assert figures["findings"] == []
    assert set(course.faults) == set(SeasonFault) - course.left_out
    assert figures["counts"]["quotes"]["expected"] > 100
    assert figures["counts"]["results"]["expected"] > 5
    assert figures["counts"]["slots"]["expected"] > 10
    assert figures["restarts"] > 5
