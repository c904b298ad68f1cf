"""Submission of the jobs of a slot: submit.lua within the step that decides the slot and notes the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger.contracts.failures import LedgerError
from ledger.contracts.jobs import Job
from ledger.contracts.schedules import MAX_RUNS
from ledger.jobs.chains import job_ids
from ledger.jobs.submission import SubmissionExchanges
from ledger.server.exchanges import Exchange
from ledger.server.server import Server

MAX_CHANGES = 10_000
"""About how many entries the audit trail of schedules keeps."""
_VERDICTS = frozenset({b"decided", b"changed", b"early"})


class SlotDecidedError(LedgerError):
    """The slot was decided by another pool, or the schedule has changed: nothing was written."""


class _SlotExchanges(SubmissionExchanges):
    """Submission within schedule_submit.lua."""

    def __init__(self, server: Server, arguments: Sequence[Any]) -> None:
        super().__init__(server)
        self._slot_arguments = arguments

    def _run_script(self, arguments: Sequence[Any]) -> Exchange[list[Any]]:
        reply = yield from self._server.script("schedule_submit", *self._slot_arguments, *arguments)
        if reply[0] in _VERDICTS:
            raise SlotDecidedError(reply[0].decode())
        return list(reply)


def submit_run(
    server: Server,
    name: str,
    revision: int,
    run_id: str,
    due_ms: int,
    run: bytes,
    jobs: Sequence[Job],
    *,
    audit: tuple[str, str] | None = None,
) -> None:
    """Submit the jobs of a run and note it, in one step. `audit` (who, why): it is a run by hand, and no slot.

    Raises
    ------
    JobRefusedError
        As from `Ledger.submit`; nothing was written.
    SlotDecidedError
        Another pool has decided the slot, or the schedule has changed.
    LedgerUnavailableError
        The server does not answer; for a slot, trying again is safe.
    """
    slot = due_ms if audit is None else ""
    arguments = (name, revision, slot, run_id, due_ms, run, MAX_RUNS, *(audit or ("", "")), MAX_CHANGES)
    exchanges = _SlotExchanges(server, arguments)
    if len(jobs) == 1:
        server.run(exchanges.submit_many(jobs, keys=[run_id], correlation_id=run_id))
    else:
        server.run(exchanges.submit_chain(run_id, jobs, job_ids(run_id, len(jobs)), correlation_id=run_id))
