"""What jobs cost the server that wait or supersede others, and what those cost that do neither.

    python -m benchmarks.queue.waiting_jobs [--before FOLDER]

Prints the server's time per job: of jobs that are queued at once, and of cards that wait for a time or another job, or
supersede another. With --before, jobs that are queued at once are measured with the code of FOLDER, too, a checkout of
another version, in turn with this one. The figures are of the time that the server spends in scripts: of many calls
the tenth percentile, and of several runs the least, because other work of the machine makes the others longer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

from benchmarks.queue.cards import card, report
from ledger.contracts.jobs import CheckHealth, Job
from ledger.contracts.reports import HealthReport, Report
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

ROUNDS, CALLS, AT_ONCE = 4, 200, 50
OWNER = "bench#1/1"
HEALTHY = HealthReport(status="healthy", checks=(), memory_mb=1.0)


class Meter:
    """A ledger, and the time that its server spends in scripts, by what it does."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._spent: dict[str, list[float]] = {}

    @contextmanager
    def measured(self, what: str, jobs: int = 1) -> Iterator[None]:
        """Note the time of a block per job."""
        before = self._script_microseconds()
        yield
        self._spent.setdefault(what, []).append((self._script_microseconds() - before) / jobs)

    def figures(self) -> dict[str, float]:
        """Return the tenth percentile of each, in microseconds."""
        return {what: quantiles(values, n=10)[0] for what, values in self._spent.items()}

    def _script_microseconds(self) -> float:
        stats = self.ledger.server.client.info("commandstats")
        return float(stats.get("cmdstat_evalsha", {"usec": 0})["usec"])


@contextmanager
def opened_meter() -> Iterator[Meter]:
    """Open a ledger on a server of its own."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, namespace="bench"))
        yield Meter(ledger)
        ledger.close()


def measure_plain(meter: Meter, what: str, jobs: Sequence[Job], answer: Report, at_once: int) -> None:
    """Submit, claim and settle jobs that are queued at once."""
    for first in range(0, len(jobs), at_once):
        batch = jobs[first : first + at_once]
        with meter.measured(f"{what}: submit", len(batch)):
            meter.ledger.submit_many(batch)
        with meter.measured(f"{what}: claim", len(batch)):
            claims = meter.ledger.claim("predict", OWNER, limit=at_once)
        with meter.measured(f"{what}: settle", len(batch)):
            meter.ledger.settle_many([(claim, answer) for claim in claims])


def plain_figures() -> dict[str, float]:
    """Return the figures of small jobs and cards that are queued at once, one a call and many."""
    with opened_meter() as meter:
        warming = [CheckHealth(nonce=f"warm up {number}") for number in range(CALLS)]
        measure_plain(Meter(meter.ledger), "warm up", warming, HEALTHY, 1)
        for at_once, count in ((1, CALLS), (AT_ONCE, AT_ONCE * 20)):
            small = [CheckHealth(nonce=f"{at_once} {number}") for number in range(count)]
            cards = [card(f"card {at_once} {number % 30}", 1.5 + number / 10_000) for number in range(count)]
            measure_plain(meter, f"small job, {at_once} a call", small, HEALTHY, at_once)
            measure_plain(meter, f"card, {at_once} a call", cards, report(cards[0]), at_once)
        return meter.figures()


def waiting_figures() -> dict[str, float]:
    """Return the figures of the calls that let a card wait or supersede, one a call."""
    with opened_meter() as meter:
        ledger = meter.ledger
        for number in range(CALLS):
            timed, following, old = (card(f"{what} {number}", 1.5 + number / 10_000) for what in ("t", "f", "s"))
            newer = card(old.card_id, 1.6 + number / 10_000)
            before = ledger.submit(CheckHealth(nonce=str(number)), key=f"before {number}").job_id
            with meter.measured("submit a card that waits for a job"):
                ledger.submit(following, after=before)
            (claim,) = ledger.claim("predict", OWNER)
            with meter.measured("settle the job that it waits for"):
                ledger.settle(claim, HEALTHY)
            ledger.submit(old)
            with meter.measured("submit a card that supersedes a queued one"):
                ledger.submit(newer, supersede=True)
            ledger.claim("predict", OWNER, limit=10)
            soon = datetime.fromtimestamp(ledger.server.time(), UTC) + timedelta(milliseconds=20)
            with meter.measured("submit a card that waits for a time"):
                waiting = ledger.submit(timed, not_before=soon)
            while ledger.server.time() < soon.timestamp() + 0.002:
                pass
            with meter.measured("reap that queues it"):
                ledger.reap()
            ledger.cancel(waiting.job_id)
        return meter.figures()


def compared(folder: Path) -> list[tuple[str, float, float]]:
    """Return each figure of jobs that are queued at once, with the code of a folder and with this one, in turn."""
    found: dict[Path, list[dict[str, float]]] = {}
    here = Path(__file__).parents[2]
    for number in range(ROUNDS):
        for root in (folder.absolute(), here)[:: 1 if number % 2 else -1]:
            command = [sys.executable, str(Path(__file__).absolute()), "--plain"]
            environment = {**os.environ, "PYTHONPATH": str(root)}
            ran = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
            found.setdefault(root, []).append(json.loads(ran.stdout))
    before, now = found[folder.absolute()], found[here]
    return [(name, min(run[name] for run in before), min(run[name] for run in now)) for name in now[0]]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, metavar="FOLDER")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        print(json.dumps(plain_figures()))
    elif given.before is not None:
        for name, before, now in compared(given.before):
            print(f"{name:32} before {before:7.1f} us   now {now:7.1f} us   {now / before - 1:+.1%}")
    else:
        for name, value in (plain_figures() | waiting_figures()).items():
            print(f"{name:44} {value:7.1f} us")


if __name__ == "__main__":
    main()
