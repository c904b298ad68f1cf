"""What the index of jobs and their histories cost: processor time of the server and of the caller, and memory, per job.

    python -m benchmarks.queue.job_index [--json]

Cards of a caller, and small jobs of none, are submitted, claimed and settled with a report, 50 a call, by scripts with
the index and the history and by scripts without, batch by batch in turn on one server. Then pages of the list are read.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.queue.cards import card, report
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, Job
from ledger.contracts.reports import HealthReport, Report
from ledger.jobs.job_index import JobQuery
from ledger.ledger import Ledger, LedgerSettings
from ledger.server import lua_scripts
from ledger.server.embedded_server import EmbeddedServer

COMMAND = "python -m benchmarks.queue.job_index"
JOBS, AT_ONCE, CARDS = 3_000, 50, 30
REMOVED = {
    "index of the kind": r"  add_entry\(kind_index\(kind, 'queued'\), now_text, id\)\n",
    "index of card and caller": r"  index_by_field\(id, now_text, card_id or '', caller\)\n",
    "index of the state": r"    remove_entry\(kind_index.*?\n    add_entry\(kind_index.*?\n",
    "history": r", 'history',\n    with_event\(job.*?\)\)",
}
"""What scripts without the index lack; the last is in claim.lua."""


def without_index(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the scripts without index and history."""
    changed = dict(texts)
    for what, pattern in REMOVED.items():
        removed = 0
        for name in ("submit", "claim", "settle"):
            changed[name], times = re.subn(pattern, ")" if what == "history" else "", changed[name])
            removed += times
        if not removed:
            raise ValueError(f"no script has the {what}: have they changed?")
    return changed


def measure(*, jobs: int = JOBS) -> dict[str, dict[str, float]]:
    """Return the figures of both ways."""
    texts = lua_scripts.script_texts()
    cards = [card(f"card {number % CARDS}", 1.5 + number / 10_000) for number in range(jobs)]
    small = [CheckHealth(nonce=str(number)) for number in range(jobs)]
    healthy = HealthReport(status="healthy", checks=(), memory_mb=1.0)
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        ledgers = {
            "without": _ledger(server.url, "without", without_index(texts)),
            "with": _ledger(server.url, "with", texts),
        }
        found = _compare(ledgers, "small job", small, healthy, None)
        for way, figures in _compare(ledgers, "card", cards, report(cards[0]), "bench").items():
            found[way] |= figures
        found["with"] |= _pages(ledgers["with"])
        for ledger in ledgers.values():
            ledger.close()
    return found


def _ledger(url: str, namespace: str, scripts: Mapping[str, str]) -> Ledger:
    ledger = Ledger.connect(LedgerSettings(redis_url=url, namespace=namespace))
    for name, text in scripts.items():
        ledger.server.scripts[name] = ledger.server.client.register_script(text)
        ledger.server.client.script_load(text)
    return ledger


def _compare(
    ledgers: Mapping[str, Ledger], what: str, jobs: Sequence[Job], answer: Report, caller: str | None
) -> dict[str, dict[str, float]]:
    """Let both ways take turns, a batch each, so that what else the machine does slows both."""
    found = {way: dict.fromkeys(("server and caller, us", "server, us", "memory, bytes"), 0.0) for way in ledgers}
    for first in range(0, len(jobs), AT_ONCE):
        batch = jobs[first : first + AT_ONCE]
        order = sorted(ledgers, reverse=first // AT_ONCE % 2 == 1)
        for way in order:
            ledger, figures = ledgers[way], found[way]
            before_bytes, server, ours = _used_bytes(ledger), _cpu_seconds(ledger), time.process_time()
            ledger.submit_many(batch, caller=caller)
            claims = ledger.claim("predict", "bench#1/1", limit=AT_ONCE)
            ledger.settle_many([(claim, answer) for claim in claims])
            ours, server = time.process_time() - ours, _cpu_seconds(ledger) - server
            figures["server and caller, us"] += (server + ours) / len(jobs) * 1e6
            figures["server, us"] += server / len(jobs) * 1e6
            figures["memory, bytes"] += (_used_bytes(ledger) - before_bytes) / len(jobs)
    return {way: {f"{what}: {name}": value for name, value in figures.items()} for way, figures in found.items()}


def _pages(ledger: Ledger) -> dict[str, float]:
    queries = {
        "all": JobQuery(),
        "a card": JobQuery(card_id="card 7"),
        "failed of a caller": JobQuery(states=(JobState.FAILED,), caller="bench"),
    }
    times = {}
    for name, query in queries.items():
        start = time.perf_counter()
        for _ in range(20):
            ledger.job_index.page(query, limit=50)
        times[f"a page of 50, {name}, ms"] = (time.perf_counter() - start) / 20 * 1e3
    return times


def _used_bytes(ledger: Ledger) -> float:
    return float(ledger.server.client.info("memory")["used_memory"])


def _cpu_seconds(ledger: Ledger) -> float:
    cpu = ledger.server.client.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def main() -> None:
    """Print both ways and the difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure()
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found["with"].items():
        before = found["without"].get(name)
        change = "" if before is None else f"  without {before:8,.1f}  {value / before - 1:+.1%}"
        print(f"{name:40} {value:8,.1f}{change}")


if __name__ == "__main__":
    main()
