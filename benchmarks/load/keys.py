"""What is on the server at the end of a run: keys by pattern, their number and memory."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from ledger.key_patterns import find_pattern
from ledger.ledger import Ledger

_SAMPLES = 50  # keys of a pattern whose memory is asked for


class KeyUse(Struct, frozen=True):
    """Keys of one pattern: how many, and about how much memory they take together, in MiB."""

    pattern: str
    listed: bool
    keys: int
    mb: float


def key_uses(ledger: Ledger) -> list[KeyUse]:
    """Return the keys of the server by pattern, the largest memory first; those without a pattern by their name."""
    client, namespace = ledger.server.client, ledger.settings.namespace
    counts: Counter[tuple[str, bool]] = Counter()
    sampled: dict[tuple[str, bool], list[int]] = {}
    for key in client.scan_iter(count=1_000):
        found = find_pattern(key.decode(errors="replace"), namespace)
        kind = (found.pattern, True) if found is not None else (key.decode(errors="replace"), False)
        counts[kind] += 1
        if len(some := sampled.setdefault(kind, [])) < _SAMPLES and (size := client.memory_usage(key, samples=0)):
            some.append(size)
    uses = [
        KeyUse(*kind, count, count * sum(sampled[kind]) / max(len(sampled[kind]), 1) / 2**20)
        for kind, count in counts.items()
    ]
    return sorted(uses, key=lambda use: -use.mb)
