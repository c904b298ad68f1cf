"""The index of jobs against the records that it is an index of."""

from __future__ import annotations

from ledger.contracts.job_state import JobState
from ledger.ledger import Ledger

Entries = set[tuple[str, str, int]]
"""(set of the index, job id, submitted in ms)"""


def indexed(ledger: Ledger) -> Entries:
    """Return every entry of the index."""
    prefix = ledger.server.key("index", "")
    entries: Entries = set()
    for key in ledger.server.client.scan_iter(f"{prefix}*", count=1000):
        name = key.decode().removeprefix(prefix)
        if name.partition(":")[0] in ("kind", "card", "caller"):
            for job_id, submitted in ledger.server.client.zrange(key, 0, -1, withscores=True):
                entries.add((name, job_id.decode(), int(submitted)))
    return entries


def recorded(ledger: Ledger) -> Entries:
    """Return the entries that the records call for."""
    prefix = ledger.server.key("job", "")
    entries: Entries = set()
    for key in ledger.server.client.scan_iter(f"{prefix}*", count=1000):
        job_id = key.decode().removeprefix(prefix)
        fields = ledger.server.client.hmget(key, "kind", "state", "submitted", "card", "caller")
        kind, state, submitted, card, caller = (value.decode() if value else "" for value in fields)
        if not state:
            continue  # it expired meanwhile
        phase = state if JobState(state).final else "open"
        names = [f"kind:{kind}:{phase}"]
        names += [f"card:{card}"] * bool(card)
        names += [f"caller:{caller}"] * bool(caller)
        entries |= {(name, job_id, int(submitted)) for name in names}
    return entries


def index_differences(ledger: Ledger) -> list[str]:
    """Say what is wrong with the index: nothing, if each job is in exactly the sets that its record says.

    Nobody may change the ledger meanwhile.
    """
    found, wanted = indexed(ledger), recorded(ledger)
    return [f"{job_id} is wrongly in the index {name}" for name, job_id, _ in sorted(found - wanted)] + [
        f"{job_id} is missing in the index {name}" for name, job_id, _ in sorted(wanted - found)
    ]


def check_index(ledger: Ledger) -> None:
    """Assert that each job is in exactly the sets that its record says. Nobody may change the ledger meanwhile."""
    assert index_differences(ledger) == []
