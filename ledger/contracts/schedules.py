"""Schedules: jobs that pools submit by themselves at the times of a cron text, and the runs that come of them.

Times of day are those of the schedule's zone; every moment that is stored or shown is UTC. A slot is one moment at
which a schedule is due.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union, get_args

from msgspec import Meta, Struct

from ledger.contracts.jobs import BacktestPart, Job, ShadowCard, TrainPart

MAX_SCHEDULES = 100
MAX_JOBS = 16
MAX_CRON_CHARACTERS = 200
MAX_CATCH_UP = 1_000
MAX_RUNS = 500
"""How many runs of a schedule are kept."""

CatchUp = Literal["skip", "last", "all"]
RunState = Literal[
    "submitted", "refused", "succeeded", "failed", "expired", "cancelled", "forgotten", "missed", "skipped"
]
FAILED_STATES = frozenset({"failed", "expired", "missed"})
"""States in which a schedule's last run is an alert."""

if TYPE_CHECKING:
    SchedulableJob: TypeAlias = Job
else:
    _INTERNAL = (ShadowCard, TrainPart, BacktestPart)
    SchedulableJob = Union[tuple(kind for kind in get_args(Job) if kind not in _INTERNAL)]  # noqa: UP007 - of a tuple
"""Every job except those that workers submit for each other."""

ScheduleName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Schedule(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Jobs that are submitted at each slot of a cron text.

    Attributes
    ----------
    cron
        Five fields (minute, hour, day of the month, month, day of the week), or six with the seconds first.
    zone
        IANA time zone of the cron text, such as Europe/Berlin.
    jobs
        One job, or a chain of which each waits until the one before has succeeded. The same for every slot.
    catch_up
        What becomes of slots that were missed, because no monitoring pool was alive: `skip` none of them is submitted,
        `last` only the newest, `all` the newest `max_catch_up`, oldest first.
    max_catch_up
        Maximum of missed slots that `all` submits.
    grace_seconds
        How late a slot may be and still be on time. Only `skip` distinguishes slots that are late from missed ones.
    deadline_seconds
        The jobs' deadline, from the slot on; by default they have the one of the template, or none.
    paused
        No slot is submitted, and those that pass meanwhile are not caught up.
    """

    name: ScheduleName
    cron: Annotated[str, Meta(min_length=1, max_length=MAX_CRON_CHARACTERS)]
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    jobs: Annotated[tuple[SchedulableJob, ...], Meta(min_length=1, max_length=MAX_JOBS)]
    catch_up: CatchUp = "last"
    max_catch_up: Annotated[int, Meta(ge=1, le=MAX_CATCH_UP)] = 10
    grace_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    deadline_seconds: Annotated[float, Meta(gt=0, le=31_536_000)] | None = None
    paused: bool = False


class ScheduleRun(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a slot, or of slots that were skipped together.

    Attributes
    ----------
    run_id
        `NAME@SLOT`, also the id of the job if it is one.
    slot
        The moment at which it was due; of a run by hand, when it was asked for.
    state
        `submitted` until the last job has an outcome, then that of the chain; `refused` while the ledger does not
        accept the jobs, which is tried until the next slot; `missed` if it never did; `skipped` by the catch-up rule;
        `forgotten` if no monitoring pool was alive between the outcome and the end of its retention.
    job_ids
        Ids of the jobs.
    decided_at
        When it was submitted, refused, skipped or failed.
    ended_at
        When the end was seen.
    slots, through
        How many slots were skipped together, and the last of them.
    manual
        Run by hand.
    tries
        How often the ledger has refused it.
    code, message
        Why it failed or was refused.
    """

    run_id: str
    slot: datetime
    state: RunState
    job_ids: tuple[str, ...] = ()
    decided_at: datetime
    ended_at: datetime | None = None
    slots: int = 1
    through: datetime | None = None
    manual: bool = False
    tries: int = 0
    code: str | None = None
    message: str = ""


class ScheduleStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule as it stands.

    Attributes
    ----------
    revision
        Number of its last change, for a change that expects it.
    decided_until
        Slots up to this moment are submitted or skipped.
    next_slot
        First slot that is not; absent if it is paused, or has no slot in the next 50 years.
    late_seconds
        How long that slot has been due.
    ahead_seconds
        How far `decided_until` is ahead of the server's clock, after that was set back.
    last_run
        The newest run.
    last_failure
        The newest run that has ended, if it failed.
    """

    schedule: Schedule
    revision: int
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    decided_until: datetime
    next_slot: datetime | None = None
    late_seconds: float = 0.0
    ahead_seconds: float = 0.0
    last_run: ScheduleRun | None = None
    last_failure: ScheduleRun | None = None


class ScheduleChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the audit trail. `before` and `after` are the schedule, absent if there was or is none."""

    place: str
    at: datetime
    who: str
    what: Literal["created", "changed", "removed", "paused", "resumed", "run"]
    name: str
    why: str
    before: Schedule | None = None
    after: Schedule | None = None
