"""The report of archiving price histories."""

from __future__ import annotations

from msgspec import Struct, field

from ledger.contracts.jobs import current_schema_version


class PriceArchiveReport(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="price_archive_report"
):
    """The report of an `ArchivePrices`.

    Attributes
    ----------
    months
        Months of the archive that were written, such as `2026-08`; those that were up to date already are not among
        them.
    fights, changes
        Numbers of the fights on the server, and of the changes of their prices.
    dropped
        Number of fights whose prices were removed from the server.
    bytes_written
        Size of the written files.
    """

    schema_version: int = field(default_factory=current_schema_version)
    months: tuple[str, ...]
    fights: int
    changes: int
    dropped: int
    bytes_written: int
