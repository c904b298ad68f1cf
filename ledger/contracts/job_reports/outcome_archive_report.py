"""The report of archiving outcomes."""

from __future__ import annotations

from msgspec import Struct, field

from ledger.contracts.jobs import current_schema_version


class OutcomeArchiveReport(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="outcome_archive_report"
):
    """The report of an `ArchiveOutcomes`.

    Attributes
    ----------
    archived
        Number of outcomes that were moved.
    bytes_written
        Size of the files that were written, also of those that were merged of others.
    merged_files
        Number of files that were merged into larger ones.
    expired
        Number of outcomes that were removed from the archive by its retention.
    outcomes, files, bytes
        What the archive has now.
    complete
        False if the time of the job ended before all that was due was moved: the next run goes on.
    """

    schema_version: int = field(default_factory=current_schema_version)
    archived: int
    bytes_written: int
    merged_files: int
    expired: int
    outcomes: int
    files: int
    bytes: int
    complete: bool
