"""The slots of schedules, counted: each one submitted or skipped by its rule, once, and its jobs ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile

from ledger.contracts.schedules import Schedule, ScheduleRun
from ledger.schedules.cron_slots import slots_after
from producer.season.count import Count

FINAL = frozenset({"succeeded", "failed", "expired", "cancelled", "skipped"})


def count_slots(
    schedule: Schedule, begin: datetime, end: datetime, runs: Sequence[ScheduleRun], jobs: Mapping[str, int]
) -> Count:
    """Count the slots of one schedule after a moment, up to another.

    Parameters
    ----------
    schedule
        The schedule, the same all the time.
    begin, end
        When it was put, and when it was paused or removed.
    runs
        Its history; runs by hand do not count.
    jobs
        How many outcomes each job has in the stream of outcomes.
    """
    moments = slots_after(schedule.cron, schedule.zone, begin)
    slots = [*takewhile(lambda moment: moment <= end, moments)]
    lost, doubled, wrong = [], [], []
    counted = [run for run in runs if not run.manual and begin < run.slot <= end]
    for slot in slots:
        covering = [run for run in counted if run.slot <= slot <= (run.through or run.slot)]
        place = f"{schedule.name} at {slot:%H:%M:%S}"
        if not covering:
            lost.append(f"{place} was neither submitted nor skipped")
        elif len(covering) > 1:
            doubled.append(f"{place} has {len(covering)} runs")
    known = set(slots)
    for run in counted:
        if run.slot not in known:
            wrong.append(f"{run.run_id} is a run of no slot")
        if run.state not in FINAL:
            wrong.append(f"{run.run_id} is {run.state}: {run.message or 'no reason'}")
        if run.state == "skipped" and schedule.catch_up == "all" and run.slots <= schedule.max_catch_up:
            wrong.append(f"{run.run_id} was skipped, and the schedule catches up all")
    lost += _without_outcome(counted, jobs)
    doubled += [
        f"{job_id} has {jobs[job_id]} outcomes" for run in counted for job_id in run.job_ids if jobs.get(job_id, 0) > 1
    ]
    return Count.of(len(slots), lost, doubled, wrong)


def _without_outcome(runs: Iterable[ScheduleRun], jobs: Mapping[str, int]) -> Iterator[str]:
    for run in runs:
        for job_id in run.job_ids:
            if run.state in FINAL and not jobs.get(job_id):
                yield f"{job_id} of {run.run_id} has no outcome, and the run {run.state}"
