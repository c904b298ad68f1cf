"""Reading of a stream between two times, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from ledger.server.base_server import to_milliseconds
from ledger.server.server import Server

PAGE_ENTRIES = 500


def stream_between(
    server: Server, key: str, since: datetime, until: datetime
) -> Iterator[tuple[str, Mapping[bytes, bytes]]]:
    """Yield the entries that the server added at or after `since` and before `until`, oldest first, with their places.

    Once the server's clock has reached `until` no entry is added to the range, unless that clock is set back.
    """
    start = str(to_milliseconds(since))
    end = str(to_milliseconds(until) - 1)  # a place without its second number is the last of its millisecond
    while entries := server.execute("XRANGE", key, start, end, "COUNT", PAGE_ENTRIES):
        for place, fields in entries:
            yield place.decode(), fields
        start = f"({entries[-1][0].decode()}"
        if len(entries) < PAGE_ENTRIES:
            return
