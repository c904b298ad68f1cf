"""The archive of outcomes: how many a second move, the memory of the archiver, bytes each, and how soon one is found.

    python -m benchmarks.queue.archive [--outcomes 10000000] [--cards 0.02] [--folder FOLDER] [--json]

Outcomes are of three sorts: `--cards` of them are cards of 12 fights with 4 bookmakers and full answers (38 kB of
JSON), as many again are of one fight (3 kB), and the others are health checks (0.5 kB). All are copies of some hundreds
that were drawn at random, of which each has its own numbers, under ids of their own; so the size in Parquet is that of
a store in which answers repeat.

The server holds `--round` outcomes at a time: they are put there as submitting and settling leave them, the handler
`archive_outcomes` moves them, and so on. Tombstones end after a minute, so that the search is by the archive alone. The
files are in a folder of this machine, which is removed at the end. Naive reads all of the files for one id.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pyarrow.dataset

from ledger.archive.manifest import Manifest
from ledger.archive.outcome_archive import OutcomeArchive
from ledger.compression.sample_cards import SampleCards
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.jobs import ArchiveOutcomes, CheckHealth, Job
from ledger.contracts.reports import HealthCheck, HealthReport, Report
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from workers.handlers.archive_outcomes.archive_outcomes import archive_outcomes
from workers.settings import WorkerSettings

COMMAND = "python -m benchmarks.queue.archive"
OUTCOMES, ROUND = 10_000_000, 200_000
CARD_SHARE, DISTINCT = 0.02, 400
FOUND = 1_000
TOMBSTONE_SECONDS = 60
REPLY_SECONDS = 120.0  # one call of LOAD settles thousands, also on a machine with other work
START = datetime(2099, 1, 3, 22, tzinfo=UTC)
_LOADED_AT_ONCE = 2_000
LOAD = """
-- Settle copies of jobs. ARGV: namespace, number of the first, how many, of one how many are cards and how many small
-- cards (per 10,000), how many distinct ones there are, tombstone (ms), then kind, digest and caller of the three sorts
local ns, first, many = ARGV[1] .. ':', tonumber(ARGV[2]), tonumber(ARGV[3])
local cards, small, distinct = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for number = first, first + many - 1 do
  local place = (number * 7919) % 10000
  local sort = place < cards and 'card' or place < cards + small and 'small' or 'health'
  local kind = sort == 'health' and 'check_health' or 'predict_card'
  local id = 'job-' .. number
  redis.call('COPY', ns .. 'template:' .. sort .. ':' .. number % distinct, ns .. 'job:' .. id)
  redis.call('HSET', ns .. 'job:' .. id, 'submitted', now, 'settled', now, 'place',
    string.format('%016d:', number) .. id)
  redis.call('ZADD', ns .. 'index:kind:' .. kind .. ':succeeded', now, id)
  redis.call('ZADD', ns .. 'index:caller:bench', now, id)
  redis.call('SET', ns .. 'forgotten:' .. id, redis.call('HGET', ns .. 'job:' .. id, 'digest'), 'PX', ARGV[7])
end
return many
"""


class Bench:
    """A ledger, and an archive in a folder."""

    def __init__(self, url: str, folder: Path, card_share: float) -> None:
        self.ledger = Ledger.connect(
            LedgerSettings(
                redis_url=url,
                namespace="bench",
                archive_url=str(folder),
                tombstone_seconds=TOMBSTONE_SECONDS,
                reply_timeout_seconds=REPLY_SECONDS,
            )
        )
        self.folder = folder
        self.card_share = round(card_share * 10_000)
        self._load = self.ledger.server.client.register_script(LOAD)

    def make_templates(self) -> None:
        """Settle some jobs of each sort as callers and workers do, and keep their records."""
        cards = SampleCards(7)
        for number in range(DISTINCT):
            for sort, fights in (("card", 12), ("small", 1), ("health", 0)):
                job: Job = CheckHealth(nonce=f"{number}")
                report: Report = HealthReport(status="healthy", checks=_checks(), memory_mb=200.0 + number / 7)
                if fights:
                    asked = cards.card(fights, 4, name=f"{sort} {number}", start=START)
                    job, report = asked, cards.report(asked)
                job_id = self.ledger.submit(job, key=f"{sort}{number}", caller="bench").job_id
                [claim] = self.ledger.claim("predict", "node#7f/101")
                self.ledger.settle(claim, report)
                client = self.ledger.server.client
                client.rename(f"bench:job:{job_id}", f"bench:template:{sort}:{number}")
                client.persist(f"bench:template:{sort}:{number}")
        for key in self.ledger.server.client.keys("bench:index:*"):
            self.ledger.server.client.delete(key)

    def load(self, first: int, many: int) -> None:
        """Put outcomes on the server."""
        for start in range(first, first + many, _LOADED_AT_ONCE):
            count = min(_LOADED_AT_ONCE, first + many - start)
            self._load(
                args=["bench", start, count, self.card_share, self.card_share, DISTINCT, TOMBSTONE_SECONDS * 1000]
            )

    def archive(self) -> OutcomeArchiveReport:
        """Run the handler as a worker does."""
        time.sleep(0.002)  # due is what was settled before this millisecond
        context: Any = SimpleNamespace(
            settings=WorkerSettings(data=self.folder),
            ledger=self.ledger,
            progress=lambda *_: None,
            remaining_seconds=lambda: 3600.0,
            claim=SimpleNamespace(time_limit_seconds=3600.0),
        )
        return archive_outcomes(ArchiveOutcomes(keep_days=0), context)

    def manifest(self) -> tuple[OutcomeArchive, Manifest]:
        """Return the archive and its manifest."""
        archive = OutcomeArchive.at(str(self.folder), self.ledger.references.ledger_id())
        manifest = archive.manifest()
        if manifest is None:
            raise RuntimeError("nothing was archived")
        return archive, manifest


def _checks() -> tuple[HealthCheck, ...]:
    return tuple(
        HealthCheck(name=name, passed=True, detail="as expected") for name in ("ledger", "consumption", "model_loaded")
    )


class PeakMemory:
    """Largest resident memory of this process while in the block, in MB."""

    def __enter__(self) -> PeakMemory:
        self.mb = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._end.wait(0.05):
            self.mb = max(self.mb, process.memory_info().rss / 1e6)


def move(bench: Bench, outcomes: int, per_round: int) -> dict[str, Any]:
    """Load and archive outcomes round by round, and return the figures."""
    peaks: list[float] = []
    server_mb: list[float] = []
    archived, spent_seconds = 0, 0.0
    for first in range(0, outcomes, per_round):
        bench.load(first, min(per_round, outcomes - first))
        with PeakMemory() as memory:
            start = time.perf_counter()
            archived += bench.archive().archived
            spent_seconds += time.perf_counter() - start
        peaks.append(memory.mb)
        server_mb.append(bench.ledger.server.client.info("memory")["used_memory"] / 1e6)
        print(f"{archived:,} in {spent_seconds:.0f} s, peak {memory.mb:.0f} MB", file=sys.stderr, flush=True)
    _, manifest = bench.manifest()
    if not archived == manifest.outcomes == outcomes:
        raise RuntimeError(f"{archived:,} were archived of {outcomes:,}, and the archive has {manifest.outcomes:,}")
    half = len(peaks) // 2
    return {
        "outcomes": outcomes,
        "outcomes a second": outcomes / spent_seconds,
        "seconds": spent_seconds,
        "bytes each, JSON": sum(file.raw_bytes for file in manifest.files) / outcomes,
        "bytes each, Parquet": manifest.size / outcomes,
        "files": len(manifest.files),
        "archiver, peak MB, first half": max(peaks[: half or 1]),
        "archiver, peak MB, second half": max(peaks[half:]),
        "server after a round, MB, highest": max(server_mb),
    }


def find(bench: Bench, outcomes: int) -> dict[str, Any]:
    """Find outcomes by id without tombstones, and return the latencies in ms."""
    chosen = random.Random(3).sample(range(outcomes), min(FOUND, outcomes))  # noqa: S311 - no secret
    client = bench.ledger.server.client
    client.delete(*(f"bench:forgotten:job-{number}" for number in chosen))
    spent = []
    for number in chosen:
        start = time.perf_counter()
        outcome = bench.ledger.outcome(f"job-{number}")
        spent.append((time.perf_counter() - start) * 1000)
        if outcome is None or outcome.report is None:
            raise RuntimeError(f"job-{number} was not found")
    missed = []
    for number in range(200):
        start = time.perf_counter()
        unknown = bench.ledger.outcome(f"never-{number}")
        missed.append((time.perf_counter() - start) * 1000)
        if unknown is not None:
            raise RuntimeError(f"never-{number} was found")
    _, manifest = bench.manifest()
    start = time.perf_counter()
    wanted = f"job-{chosen[0]}"
    paths = [f"{bench.folder}/{bench.ledger.references.ledger_id()}/{file.name}" for file in manifest.files]
    pyarrow.dataset.dataset(paths).to_table(filter=pyarrow.dataset.field("job_id") == wanted)
    naive_ms = (time.perf_counter() - start) * 1000
    spent.sort()
    missed.sort()
    return {
        "found by id, ms, median": spent[len(spent) // 2],
        "found by id, ms, 99%": spent[len(spent) * 99 // 100],
        "found by id, ms, highest": spent[-1],
        "unknown id, ms, median": missed[len(missed) // 2],
        "unknown id, ms, 99%": missed[len(missed) * 99 // 100],
        "naive scan for one id, ms": naive_ms,
    }


def measure(outcomes: int, per_round: int, card_share: float, folder: Path) -> dict[str, Any]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as data, EmbeddedServer(Path(data)) as server:
        bench = Bench(server.url, folder, card_share)
        bench.ledger.server.client.config_set("appendonly", "no")
        bench.make_templates()
        found = move(bench, outcomes, per_round) | find(bench, outcomes)
        bench.ledger.close()
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outcomes", type=int, default=OUTCOMES)
    parser.add_argument("--round", type=int, default=ROUND)
    parser.add_argument("--cards", type=float, default=CARD_SHARE)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for option, value in (("--outcomes", given.outcomes), ("--round", given.round)):
        if value < 1:
            parser.error(f"argument {option}: {value} is not a number above 0")
    if not 0.0 <= given.cards <= 0.5:
        parser.error(f"argument --cards: {given.cards:g} is not a share from 0 to 0.5: as many are cards of one fight")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="archive-"))
    try:
        found = measure(given.outcomes, given.round, given.cards, folder)
    finally:
        shutil.rmtree(folder)
    if given.json:
        print(json.dumps(found))
        return
    for what, value in found.items():
        print(f"  {what:36} {value:14,.1f}")


if __name__ == "__main__":
    main()
