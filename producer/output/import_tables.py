"""Tables of joblib files and of the model imported from them. Layout only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ledger.contracts.local_protocol import FileListing, ImportReport

NOTHING = "-"


def listing_table(listings: Sequence[FileListing]) -> Table:
    """Return the table of the files' contents."""
    table = _table("Files, listed without unpickling", "member", "type", "saved by", "size", "SHA-256", "loads")
    for listing in listings:
        versions = ", ".join(f"{name} {version}" for name, version in listing.versions.items())
        packed = f", {listing.compression}" if listing.compression else ""
        loads = Text(f"{len(listing.names)} names of estimators")
        if listing.strange:
            loads = Text(f"UNKNOWN: {', '.join(listing.strange)}", style="red")
        table.add_row(
            listing.member,
            Text(listing.type),
            Text(versions or NOTHING),
            f"{listing.file_bytes / 1e6:.1f} MB{packed}",
            listing.sha256,
            loads,
        )
    return table


def import_table(report: ImportReport) -> Table:
    """Return the table of an imported model."""
    table = _table("Imported", "model", "features", "missing values", "largest difference", "intervals", "MB")
    table.add_row(
        report.model[:12],
        f"{report.features:,}",
        "accepted" if report.takes_missing else "refused, as by the originals",
        f"{report.largest_difference:.1e} on {report.probe_rows:,} rows",
        report.interval_method or f"none: {report.interval_reason}",
        f"{report.bundle_bytes / 1e6:.1f}",
    )
    if report.metrics:
        table.caption = "on the later fights: " + ", ".join(f"{n} {v:.4g}" for n, v in sorted(report.metrics.items()))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
