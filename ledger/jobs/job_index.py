"""The index of jobs: lists of jobs by state, kind, caller, card and time, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from ledger.contracts import codec
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ROUTES
from ledger.server.base_server import to_milliseconds
from ledger.server.server import Server, to_datetime

INTERNAL_KINDS = frozenset({"shadow_card", "train_part", "backtest_part"})
"""Kinds that workers submit for each other; listed only if asked for."""
_UNHELD = (JobState.UNKNOWN, JobState.FORGOTTEN, JobState.ARCHIVED)
STATES = tuple(state for state in JobState if state not in _UNHELD)
"""The states of jobs that the server holds."""
MAX_PAGE_JOBS = 1_000
_MAX_PAGE_ENTRIES = 1_000  # how many entries one call reads: about 5 ms of the server's time
_MAX_SWEPT_ENTRIES = 1_000  # in one call, which takes the server about as long
_SWEEP_SECONDS = 60.0
_SWEEP_FRACTION = 0.05  # of the retention, if that is less
SUMMARY_FIELDS = (
    "kind",
    "state",
    "queue",
    "attempt",
    "submitted",
    "deadline",
    "settled",
    "card",
    "caller",
    "correlation",
    "not_before",
    "after",
    "superseded_by",
)
"""The fields of a record that a summary needs."""
_CURSOR = re.compile(r"(?P<submitted>[0-9]{1,15})-(?P<job_id>.+)", re.DOTALL)


class JobQuery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The jobs to list; each field that is not set excludes none.

    Attributes
    ----------
    states
        States of the jobs.
    kinds
        Kinds of the jobs; by default all but `INTERNAL_KINDS`.
    caller
        Caller who submitted the jobs.
    card_id
        Card of `predict_card` jobs.
    since, until
        Submitted at or after `since`, and before `until`.
    internal
        Also the kinds that workers submit for each other.
    """

    states: tuple[JobState, ...] = ()
    kinds: tuple[str, ...] = ()
    caller: str | None = None
    card_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    internal: bool = False


class JobSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job in a list. Times are the server's; `failure_code` is that of a job without a report.

    `not_before`, `after` and `superseded_by` are as in `JobStatus`.
    """

    job_id: str
    kind: str
    state: JobState
    queue: str
    attempt: int
    submitted_at: datetime
    deadline: datetime | None = None
    settled_at: datetime | None = None
    card_id: str | None = None
    caller: str | None = None
    correlation_id: str | None = None
    failure_code: str | None = None
    not_before: datetime | None = None
    after: str | None = None
    superseded_by: str | None = None


class JobPage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of jobs, newest first.

    `cursor` continues with the next page and is None after the oldest job. A page may be short, or even empty, although
    there are more jobs: one call reads a limited number of entries.
    """

    jobs: list[JobSummary]
    cursor: str | None = None


class SweepCounts(Struct, frozen=True):
    """Counts of one `sweep`: entries checked and removed; `unfinished` if another call has more to do."""

    checked: int
    removed: int
    unfinished: bool


class JobIndex:
    """The index of jobs.

    The scripts that change a job keep its entries: one in the set of its kind and state, and one for its card and one
    for its caller, if it has them. So a page needs no scan: it is read from the smallest sets that have all matches.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def page(self, query: JobQuery | None = None, *, limit: int = 50, cursor: str | None = None) -> JobPage:
        """Return the next jobs of a query, newest first.

        Jobs submitted or ended between two calls neither repeat nor hide others. A job whose state changes meanwhile is
        listed as it is when its page is read.

        Parameters
        ----------
        query
            The jobs to list, by default all but internal ones.
        limit
            Maximum of jobs, up to `MAX_PAGE_JOBS`.
        cursor
            `cursor` of the page before; None begins with the newest job.

        Raises
        ------
        JobRefusedError
            `invalid_input`: a state, a kind, the limit or the cursor is none.
        """
        query = query or JobQuery()
        states, kinds = _checked_states(query), _checked_kinds(query)
        if not 1 <= limit <= MAX_PAGE_JOBS:
            raise codec.job_refused(f"the limit of a page is 1 to {MAX_PAGE_JOBS:,} jobs, not {limit}")
        submitted, job_id = _checked_cursor(cursor)
        place, last_id, *rows = self._server.run_script(
            "list_jobs",
            limit,
            _MAX_PAGE_ENTRIES,
            _milliseconds(query.since),
            _milliseconds(query.until),
            submitted,
            job_id,
            query.card_id or "",
            query.caller or "",
            msgspec.json.encode(states),
            msgspec.json.encode(kinds),
        )
        onwards = f"{place.decode()}-{last_id.decode()}" if place else None
        return JobPage(jobs=[summary_of(row[0].decode(), row[1:]) for row in rows], cursor=onwards)

    def jobs(self, query: JobQuery | None = None) -> Iterator[JobSummary]:
        """Yield all jobs of a query, newest first, page by page. Raises as `page` does."""
        cursor = None
        while True:
            page = self.page(query, limit=MAX_PAGE_JOBS, cursor=cursor)
            yield from page.jobs
            if (cursor := page.cursor) is None:
                return

    def sweep(self) -> SweepCounts:
        """Remove entries of records that have expired, and index jobs that earlier versions submitted.

        Supervisors call it again and again; each call does a limited part.
        """
        settings = self._server.settings
        pause_seconds = min(_SWEEP_SECONDS, _SWEEP_FRACTION * settings.retention_seconds)
        checked, removed, unfinished = self._server.run_script(
            "sweep_index", _MAX_SWEPT_ENTRIES, round(pause_seconds * 1000), *ROUTES
        )
        return SweepCounts(checked, removed, bool(unfinished))


def _checked_states(query: JobQuery) -> tuple[JobState, ...]:
    if unheld := [state for state in query.states if state not in STATES]:
        raise codec.job_refused(f"no job is listed as {unheld[0]}: choose of {', '.join(STATES)}")
    return query.states or STATES


def _checked_kinds(query: JobQuery) -> tuple[str, ...]:
    if unknown := [kind for kind in query.kinds if kind not in ROUTES]:
        raise codec.job_refused(f"{unknown[0]!r} is no kind of job: choose of {', '.join(sorted(ROUTES))}")
    return query.kinds or tuple(kind for kind in ROUTES if query.internal or kind not in INTERNAL_KINDS)


def _checked_cursor(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    parts = _CURSOR.fullmatch(cursor)
    if parts is None:
        raise codec.job_refused(f"{cursor[:80]!r} is no cursor: pass the `cursor` of the page before")
    return parts["submitted"], parts["job_id"]


def _milliseconds(moment: datetime | None) -> int | str:
    if moment is None:
        return ""
    if moment.tzinfo is None:
        raise codec.job_refused(f"the time {moment.isoformat()} has no time zone: write it as {moment.isoformat()}Z")
    return max(0, to_milliseconds(moment))


def summary_of(job_id: str, values: Sequence[bytes | None]) -> JobSummary:
    """Return a summary from the values of `SUMMARY_FIELDS` in a record, and the code of its failure."""
    decoded = (value.decode() if value else None for value in values)
    kind, state, queue, attempt, submitted, deadline, settled, card, caller, correlation, *waited, code = decoded
    not_before, after, superseded_by = waited
    return JobSummary(
        job_id=job_id,
        kind=kind or "",
        state=JobState(state or ""),
        queue=queue or "",
        attempt=int(attempt or 0),
        submitted_at=to_datetime(float(submitted or 0)),
        deadline=to_datetime(float(deadline)) if deadline else None,
        settled_at=to_datetime(float(settled)) if settled else None,
        card_id=card,
        caller=caller,
        correlation_id=correlation,
        failure_code=code,
        not_before=to_datetime(float(not_before)) if not_before else None,
        after=after,
        superseded_by=superseded_by,
    )
