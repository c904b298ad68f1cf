"""What the tests leave on a server: keys that are in no row of the table of patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import redis

from ledger.key_patterns import find_pattern

_NAMESPACE = re.compile(r"\{?([A-Za-z0-9_.-]{1,64})\}?[:/]")


def unlisted_keys(url: str, **options: Any) -> list[str]:
    """Return the keys of all namespaces that have no listed pattern, or another type than it says."""
    with redis.Redis.from_url(url, socket_timeout=60.0, **options) as client:
        keys = [key.decode(errors="replace") for key in client.scan_iter(count=1_000)]
        return sorted(_unlisted(client, keys))


def _unlisted(client: redis.Redis, keys: list[str]) -> Iterator[str]:
    types: dict[str, str] = {}  # of each pattern one key is looked at
    for key in keys:
        namespace = _NAMESPACE.match(key)
        pattern = find_pattern(key, namespace[1]) if namespace is not None else None
        if pattern is None:
            yield key
        elif pattern.pattern not in types:
            types[pattern.pattern] = found = client.type(key).decode()  # type: ignore[union-attr]
            if found not in (pattern.kind, "none"):
                yield f"{key} is a {found}, listed as a {pattern.kind}"
