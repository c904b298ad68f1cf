"""Price streams as the server has them: what reading them back would hide is found here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Entry = tuple[bytes, dict[bytes, bytes]]


def stream_repeats(command: Callable[..., Any], namespace: str, fight_ids: Sequence[str]) -> list[str]:
    """Return a sentence for each entry of a price stream that repeats what the stream says already.

    Parameters
    ----------
    command
        Runs a command on the server.
    namespace
        Namespace of the ledger.
    fight_ids
        The fights whose streams are read.
    """
    found: list[str] = []
    for fight_id in fight_ids:
        entries = command("XRANGE", f"{namespace}:prices:{fight_id}", "-", "+")
        found += (f"{fight_id}: {sentence}" for sentence in repeats([(name, as_fields(raw)) for name, raw in entries]))
    return found


def as_fields(raw: Any) -> dict[bytes, bytes]:
    """Return the fields of an entry, which the server gives as a list or as a mapping."""
    return raw if isinstance(raw, dict) else dict(zip(raw[::2], raw[1::2], strict=True))


def repeats(entries: Sequence[Entry]) -> Iterator[str]:
    """Say which fields of entries change nothing: the price of a bookmaker, without the moment that goes with it."""
    state: dict[bytes, bytes] = {}
    for name, fields in entries:
        if b"names" in fields:
            state = {key: value for key, value in state.items() if not key.startswith(b"=")}
        for key, value in fields.items():
            price = value.partition(b" ")[2] if key.startswith(b"=") and value != b"-" else value
            if state.get(key, b"-" if key.startswith(b"=") else None) == price:
                yield f"{key.decode()} is {price.decode()} twice, again at {name.decode()}"
            state[key] = price
