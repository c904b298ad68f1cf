"""Handler of `ArchiveOutcomes`: move old outcomes from the server to the archive, and keep the archive in order.

Each step may be the last one of a killed worker, and two may archive at once: see `archive_writer`.
"""

from __future__ import annotations

from ledger.contracts.failures import ArchiveUnavailableError
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.jobs import ArchiveOutcomes
from ledger.settings import DAY_SECONDS, archive_in
from workers.errors import StoreUnavailableError
from workers.handlers.archive_outcomes.archive_writer import ArchiveConflictError, ArchiveWriter
from workers.handlers.archive_outcomes.due_outcomes import DueOutcomes
from workers.jobs.context import JobContext

_SPARED_FRACTION = 0.25
"""Share of the time limit that is left for merging and the end."""
_CONFLICTS = 20


def archive_outcomes(job: ArchiveOutcomes, context: JobContext) -> OutcomeArchiveReport:
    """Archive what is due. Raises StoreUnavailableError, and ClaimLostError."""
    run = _Run(job, context)
    for _ in range(_CONFLICTS):
        try:
            return run.once()
        except ArchiveConflictError:
            continue
        except ArchiveUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error
    raise StoreUnavailableError("other archivers write to the archive all the time")


class _Run:
    """One run, with what it has done so far."""

    def __init__(self, job: ArchiveOutcomes, context: JobContext) -> None:
        self._job = job
        self._context = context
        settings = context.settings
        self._url = context.ledger.settings.archive_url or archive_in(settings.store or str(settings.models_folder))
        self._archived = self._merged = self._expired = self._bytes = 0

    def once(self) -> OutcomeArchiveReport:
        writer = ArchiveWriter(self._context.ledger, self._url)
        try:
            writer.finish()
            complete = self._move(writer)
            writer.end(complete=complete)
            self._tidy(writer)
        finally:
            self._bytes += writer.bytes_written
        return OutcomeArchiveReport(
            archived=self._archived,
            bytes_written=self._bytes,
            merged_files=self._merged,
            expired=self._expired,
            outcomes=writer.manifest.outcomes,
            files=len(writer.manifest.files),
            bytes=writer.manifest.size,
            complete=complete,
        )

    def _move(self, writer: ArchiveWriter) -> bool:
        """Move what is due; return False if the time ended before."""
        limit_seconds = self._context.claim.time_limit_seconds
        for batch in DueOutcomes(self._context.ledger, self._job.keep_days * DAY_SECONDS).batches():
            self._context.progress("archiving", self._archived, self._archived + len(batch))
            self._archived += writer.add(batch)
            if self._context.remaining_seconds() < _SPARED_FRACTION * limit_seconds:
                return False
        return True

    def _tidy(self, writer: ArchiveWriter) -> None:
        if self._job.keep_archived_days is not None:
            now_ms = self._context.ledger.server.time() * 1000
            self._expired += writer.expire(round(now_ms - self._job.keep_archived_days * DAY_SECONDS * 1000))
        while self._context.remaining_seconds() > 0 and (
            merged := writer.merge(lambda done, total: self._context.progress("merging", done, total))
        ):
            self._merged += merged
        writer.clean()
