"""Chains of jobs: each is queued when the one before has succeeded, and all together have one state to look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Unpack

from ledger.contracts import codec
from ledger.contracts.chains import ChainState, ChainStatus
from ledger.contracts.failures import UnknownJobError
from ledger.contracts.job_state import Durability, JobState, JobStatus, Receipt
from ledger.contracts.reports import Report
from ledger.jobs.conditions import ChainConditions
from ledger.jobs.job_entries import JobInput
from ledger.jobs.outcome_reader import OutcomeReader, cancel_jobs
from ledger.jobs.submission import Submission
from ledger.server.server import Server

MAX_CHAIN_JOBS = 50
MAX_NAME_CHARACTERS = 190
_MARK = re.compile(r"(?P<number>[0-9]+)/(?P<jobs>[0-9]+) (?P<name>.+)")


class Chains:
    """Chains of jobs."""

    def __init__(self, server: Server, submission: Submission, outcomes: OutcomeReader) -> None:
        self._server = server
        self._submission = submission
        self._outcomes = outcomes

    def submit(
        self,
        name: str,
        jobs: Sequence[JobInput],
        *,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[ChainConditions],
    ) -> list[Receipt[Report]]:
        """Accept a chain, once and in one step: each job is queued when the one before has succeeded.

        Parameters
        ----------
        name
            Name of the chain, and id of its first job; the others are `name/2`, `name/3`, and so on. Submitting the
            same chain again returns the same receipts with `created=False`.
        jobs
            The jobs in their order, 1 to 50.
        correlation_id, durable, caller
            As in `Ledger.submit`.
        not_before, after
            What the first job waits for, as in `Ledger.submit`.

        Raises
        ------
        JobRefusedError
            As from `Ledger.submit`, and for a name that another job or another chain has. Nothing was written.
        LedgerError, LedgerUnavailableError
            As from `Ledger.submit`.
        """
        if not 1 <= len(jobs) <= MAX_CHAIN_JOBS:
            raise codec.job_refused(f"a chain has 1 to {MAX_CHAIN_JOBS} jobs, not {len(jobs)}")
        return self._submission.submit_chain(
            name,
            jobs,
            job_ids(name, len(jobs)),
            correlation_id=correlation_id,
            durable=durable,
            caller=caller,
            **conditions,
        )

    def status(self, name: str) -> ChainStatus:
        """Return the state of a chain and of each of its jobs. Raises UnknownJobError if there is no such chain."""
        ids = job_ids(name, MAX_CHAIN_JOBS)
        records = self._server.transaction(*(("HGET", self._server.key("job", job_id), "chain") for job_id in ids))
        marks = (_MARK.fullmatch(record.decode()) for record in records if record is not None)
        length = next((int(mark["jobs"]) for mark in marks if mark is not None and mark["name"] == name), None)
        if length is None:
            raise UnknownJobError(
                f"chain {name} is {self._outcomes.status(name).state}: no job was submitted as a part of it, or its "
                "retention is over"
            )
        return self._status(name, self._outcomes.statuses(ids[:length]))

    def cancel(self, name: str) -> ChainStatus:
        """End the jobs of a chain that have no outcome yet, in one step, and return its state. Raises as `status`."""
        jobs = self.status(name).jobs
        self._server.run(cancel_jobs(self._server, [job.job_id for job in reversed(jobs)]))
        return self.status(name)

    def _status(self, name: str, jobs: Sequence[JobStatus]) -> ChainStatus:
        step = next((number for number, job in enumerate(jobs, 1) if not _succeeded(job)), len(jobs))
        current = jobs[step - 1]
        outcome = self._outcomes.outcome(current.job_id) if current.state.final else None
        return ChainStatus(
            name=name,
            state=_CHAIN_STATES.get(current.state, ChainState.RUNNING),
            step=step,
            jobs=tuple(jobs),
            failure=None if outcome is None else outcome.failure,
        )


def job_ids(name: str, jobs: int) -> list[str]:
    """Return the ids of the jobs of a chain. Raises JobRefusedError if it cannot be the name of one."""
    if not (0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and "/" not in name):
        raise codec.job_refused(
            f"the name of a chain has 1 to {MAX_NAME_CHARACTERS} printable characters and no '/', {name[:40]!r} has not"
        )
    return [name, *(f"{name}/{number}" for number in range(2, jobs + 1))]


def _succeeded(job: JobStatus) -> bool:
    """Return True if a job of a known chain succeeded: those before one that is known did, or that one had ended."""
    return job.state in (JobState.SUCCEEDED, JobState.FORGOTTEN)


_CHAIN_STATES = {
    JobState.WAITING: ChainState.WAITING,
    JobState.SUCCEEDED: ChainState.SUCCEEDED,
    JobState.FORGOTTEN: ChainState.SUCCEEDED,
    JobState.FAILED: ChainState.FAILED,
    JobState.EXPIRED: ChainState.FAILED,
    JobState.CANCELLED: ChainState.CANCELLED,
}
