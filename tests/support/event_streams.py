"""Server-sent events as tests read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx


class Event(NamedTuple):
    """One event; `data` is its JSON."""

    event: str
    data: Any
    event_id: str | None


def read_events(response: httpx.Response) -> Iterator[Event]:
    """Yield the events of a stream until it ends; comments are skipped."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}
        else:
            fields = {}


@contextmanager
def open_events(
    http: httpx.Client, path: str, last_event_id: str | None = None, **parameters: str
) -> Iterator[Iterator[Event]]:
    """Open a stream of events for the duration of a block."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with http.stream("GET", path, headers=headers, params=parameters) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield read_events(response)
