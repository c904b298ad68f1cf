"""Handler of `ArchivePrices`: write price histories into the store, and remove old ones from the server.

Each step may be the last one of a killed worker: prices leave the server only once the archive has been read back with
them, and archiving them again changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.jobs import ArchivePrices
from ledger.contracts.prices import StartReading
from ledger.prices.archive import ArchiveUnavailableError, PriceArchive, month_of
from ledger.prices.merging import merge
from ledger.prices.prices import Prices, PriceState
from ledger.prices.stream_entries import FightPrices
from workers.errors import StoreUnavailableError
from workers.jobs.context import JobContext

_EMPTY = FightPrices()


def archive_prices(job: ArchivePrices, context: JobContext) -> PriceArchiveReport:
    """Archive the prices of all fights. Raises StoreUnavailableError, and ClaimLostError."""
    archive = PriceArchive.in_store(context.settings.store, context.settings.models_folder)
    prices = context.ledger.prices
    oldest_kept = datetime.fromtimestamp(context.ledger.server.time(), UTC) - timedelta(days=job.keep_days)
    months: dict[str, list[PriceState]] = {}
    for state in prices.states(prices.fights()):
        if state is not None:
            months.setdefault(month_of(state.start or state.read_at), []).append(state)
    reports: list[PriceArchiveReport] = []
    for month, states in sorted(months.items()):
        context.progress("archiving", len(reports), len(months))
        try:
            reports.append(_archive_month(month, states, prices, archive, oldest_kept))
        except ArchiveUnavailableError as error:
            raise StoreUnavailableError(str(error)) from error
    return PriceArchiveReport(
        months=tuple(month for report in reports for month in report.months),
        fights=sum(report.fights for report in reports),
        changes=sum(report.changes for report in reports),
        dropped=sum(report.dropped for report in reports),
        bytes_written=sum(report.bytes_written for report in reports),
    )


def _archive_month(
    month: str, states: list[PriceState], prices: Prices, archive: PriceArchive, oldest_kept: datetime
) -> PriceArchiveReport:
    before = archive.read_month(month)
    merged, newest, changes = dict(before.prices), {}, 0
    old = {state.fight_id for state in states if max(state.start or state.read_at, state.read_at) < oldest_kept}
    for state in states:
        found, newest[state.fight_id] = prices.read_whole(state.fight_id)
        changes += len(found.changes)
        if state.fight_id in old:
            found = _with_last_reading(found, state)
        merged[state.fight_id] = merge(merged.get(state.fight_id, _EMPTY), found)
    written = archive.write_month(month, merged, before.files)
    dropped = 0
    for fight_id in sorted(old):  # one without a price or a start has nothing in the archive
        place = month if merged[fight_id] != _EMPTY else ""
        dropped += prices.drop_archived(fight_id, newest[fight_id], place)
    return PriceArchiveReport(
        months=(month,) if written else (),
        fights=len(states),
        changes=changes,
        dropped=dropped,
        bytes_written=written,
    )


def _with_last_reading(prices: FightPrices, state: PriceState) -> FightPrices:
    """Add the last reading before the start: up to then the close is known to have stood."""
    last = state.read_before_start
    if state.start is None or last is None or not prices.starts or last <= prices.starts[-1].read_at:
        return prices
    reading = StartReading(fight_id=state.fight_id, start=state.start, read_at=last)
    return msgspec.structs.replace(prices, starts=(*prices.starts, reading))
