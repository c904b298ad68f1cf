"""A short chaos run: short leases, 1,500 jobs, and each kind of fault at least once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.faults import Fault
from tests.chaos.run import Plan, run
from tests.chaos.table import lines, summary

SHORT = Plan(
    seed=1,
    jobs=1500,
    jobs_per_fault=50,
    jobs_per_second=20,
    lease_seconds=2.0,
    reply_timeout_seconds=1.0,
    outage_seconds=(1.0, 3.0),
    at_once=(2,),
    children=2,
    models=3,
)


@pytest.mark.acceptance
@pytest.mark.timeout(900)  # it waits long for what hangs, to say what it is
def test_every_accepted_job_gets_its_one_right_outcome_whatever_fails(tmp_path: Path) -> None:
    course = run(SHORT, tmp_path, print)
    verdict = check(course.evidence)
    figures = summary(SHORT, course, verdict)
    print("\n".join(lines(figures)))  # noqa: T201 - pytest shows it when the test fails
    assert verdict.kept
    assert course.oddities == []
    assert {blow.fault for blow in course.blows} == set(Fault) - course.left_out
    assert figures["trainings"] > 0
    assert all(blow.answered_seconds is not None for blow in course.blows)
    assert figures["submitted"] >= SHORT.jobs - course.refused
    assert figures["redeliveries"] > 0
    assert figures["delivered"] == figures["submitted"]
