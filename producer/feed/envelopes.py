"""Extraction of the events from a feed and its wrappers.

Accepts a list of events, one event, an object that holds either under one of `WRAPPERS`, nested or not, and an object
of these by sport. Anything else is an error that names the outer keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct

from producer.feed.parsing import ParseError, parse_datetime, quoted

MAX_FEED_BYTES = 8_000_000
WRAPPERS = ("data", "events", "odds", "results", "response", "items", "body")
_EVENT_KEYS = {"commence_time", "home_team", "away_team", "bookmakers"}
_MAX_DEPTH = 6
_SHOWN_KEYS = 8

Feed = bytes | str | list[Any] | dict[str, Any]
"""A response's body, or its parsed JSON."""


class UnwrappedFeed(Struct, frozen=True, kw_only=True):
    """The events of a feed, and the time at which their prices were read if the wrapper has a `timestamp`."""

    events: list[Any]
    read_at: datetime | None = None


def unwrap(feed: Feed) -> UnwrappedFeed:
    """Return the events of a feed. Raises ParseError if it contains none."""
    value = _parsed(feed) if isinstance(feed, bytes | str) else feed
    found = _events(value, _MAX_DEPTH)
    if found is None:
        raise ParseError(_no_feed(value))
    return UnwrappedFeed(events=list(found), read_at=_read_at(value))


def _parsed(body: bytes | str) -> Any:
    if len(body) > MAX_FEED_BYTES:
        raise ParseError(f"the feed has {len(body):,} bytes, the limit is {MAX_FEED_BYTES:,}: ask for fewer markets")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"the feed is not valid JSON: {error}") from error


def _events(value: Any, depth: int) -> list[Any] | None:
    """Return the events in a value, or None if it is neither a list of events nor a wrapper of one."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not depth:
        return None
    if _EVENT_KEYS & value.keys():
        return [value]
    for name in WRAPPERS:
        if isinstance(value.get(name), list | dict):
            events = _events(value[name], depth - 1)
            return events if events is None else list(_with_sport(value.get("sport_key"), events))
    return _by_sport(value, depth)


def _by_sport(value: dict[str, Any], depth: int) -> list[Any] | None:
    """Return the events of an object whose keys are sports."""
    if not value or not all(isinstance(inner, list | dict) for inner in value.values()):
        return None
    found: list[Any] = []
    for sport, inner in value.items():
        events = _events(inner, depth - 1)
        if events is None:
            return None
        found += _with_sport(sport, events)
    return found


def _with_sport(sport: Any, events: list[Any]) -> Iterator[Any]:
    """Yield the events; those without a sport get the sport of their wrapper."""
    for event in events:
        without_sport = isinstance(event, dict) and event.get("sport_key") is None
        yield {**event, "sport_key": sport} if without_sport else event


def _read_at(value: Any) -> datetime | None:
    if not isinstance(value, dict) or value.get("timestamp") is None or _EVENT_KEYS & value.keys():
        return None
    try:
        return parse_datetime(value["timestamp"])
    except ParseError as error:
        raise ParseError(f"timestamp: {error}") from error


def _no_feed(value: Any) -> str:
    if not isinstance(value, dict):
        return f"expected a list of events, found {quoted(value)}"
    if "message" in value:
        return f"the feed contains a message and no events: {quoted(value['message'])}"
    keys = ", ".join(quoted(key) for key in list(value)[:_SHOWN_KEYS]) + (" ..." if len(value) > _SHOWN_KEYS else "")
    wrappers = f"{', '.join(WRAPPERS)} or under the name of each sport"
    return (
        f"the outer object contains no events: its keys are {keys or 'none'}. Expected a list of events, "
        f"one event (with {', '.join(sorted(_EVENT_KEYS))}), or an object that holds them under {wrappers}"
    )
