"""Export of what a ledger holds to an audit file."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from ledger.contracts.codec import job_refused
from ledger.ledger import Ledger
from ledger.server.base_server import to_datetime, to_milliseconds
from producer.audit.audit_files import Format, new_file
from producer.audit.audit_lines import BEGIN, END, Chain
from producer.audit.ledger_records import records_between
from producer.audit.verification import AuditRange, AuditTotals, IntactFile

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def export_audit(
    ledger: Ledger,
    path: Path,
    kind: Format,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    former: IntactFile | None = None,
) -> IntactFile:
    """Write what happened in a range of time to an audit file, and return what it has.

    Other clients may go on meanwhile: what they do has times after the range.

    Parameters
    ----------
    ledger
        The ledger to read; any user that may read it suffices.
    path
        The file; it appears when it is complete, in place of an older one.
    kind
        JSON lines or Parquet.
    since, until
        The range, on the server's clock, rounded down to a millisecond; by default from the end of the former file, or
        from the beginning, to now.
    former
        The file that this one continues.

    Raises
    ------
    JobRefusedError
        The range is empty or ends in the future, the former file is of another ledger or ends later, or the file
        cannot be written.
    NotInstalledError
        Parquet needs pyarrow.
    LedgerUnavailableError
        The server does not answer; there is no file, and an older one stays.
    """
    now = _next_millisecond(ledger)
    begun = _range(ledger, since, until, former, now)
    chain = Chain() if former is None else Chain(former.hash)
    counts: Counter[str] = Counter()
    with new_file(path, kind) as file:
        file.write(first := chain.line(BEGIN, now, begun))
        for record in records_between(ledger, begun.since, begun.until):
            file.write(chain.line(record.kind, record.at, record.value))
            counts[record.kind] += 1
        file.write(last := chain.line(END, now, AuditTotals(counts=counts)))
    return IntactFile(
        file=str(path), lines=last.number, range=begun, counts=counts, previous=first.previous, hash=last.hash
    )


def _next_millisecond(ledger: Ledger) -> datetime:
    """Return a time of the server's clock that has just begun, so that all that was done before is before it."""
    asked = int(ledger.server.time() * 1000)
    while (now := int(ledger.server.time() * 1000)) == asked:
        pass
    return to_datetime(now)


def _range(
    ledger: Ledger, since: datetime | None, until: datetime | None, former: IntactFile | None, now: datetime
) -> AuditRange:
    namespace = ledger.settings.namespace
    if former is not None:
        if former.range.namespace != namespace:
            raise job_refused(
                f"{former.file} is of the ledger {former.range.namespace}: name a file of the ledger {namespace}"
            )
        since = former.range.until
    since, until = _to_millisecond(since or BEGINNING), _to_millisecond(until or now)
    shown = f"the range from {since.isoformat()} to {until.isoformat()}"
    if until > now:
        raise job_refused(f"{shown} has not ended: the server's clock is at {now.isoformat()}")
    if since > until or (since == until and former is None):
        raise job_refused(f"{shown} is empty: choose an earlier start")
    return AuditRange(
        server=ledger.address,
        namespace=namespace,
        since=since,
        until=until,
        kept_since=now - timedelta(seconds=ledger.settings.retention_seconds),
        software=version("cornerman"),
    )


def _to_millisecond(moment: datetime) -> datetime:
    return to_datetime(to_milliseconds(moment))
