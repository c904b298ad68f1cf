"""The prediction log with 1 to 1,000,000 answers: what settling one more costs, and reading all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.growth.steps import RESOLUTION_MB, RESOLUTION_MS, Step
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.prediction_record import MAX_DAY_ENTRIES, PredictionInterval, PredictionPage, PredictionRecord
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings, Settlement
from ledger.server.embedded_server import EmbeddedServer

SIZES = (1, 100, 10_000, 100_000, 1_000_000)
SETTLED = 50
_FIRST_DAY = date(2090, 1, 1)
_HEALTHY = HealthReport(status="healthy", checks=(), memory_mb=1.0)

_READER = """
import sys, time
from pathlib import Path
from ledger.ledger import Ledger, LedgerSettings
ledger = Ledger.connect(LedgerSettings(redis_url=sys.argv[1], reply_timeout_seconds=120.0))
def high_mb():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
ledger.prediction_log.days()
before_mb, started = high_mb(), time.process_time()
entries = ledger.prediction_log.entries()
print(len(entries), time.process_time() - started, high_mb() - before_mb)
"""


def measure(sizes: Sequence[int] = SIZES) -> list[Step]:
    """Return the costs at each size."""
    steps, stored = [], 0
    with (
        TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder)) as server,
        closing(Ledger.connect(LedgerSettings(redis_url=server.url, reply_timeout_seconds=120.0))) as ledger,
    ):
        _settle_us(ledger, "warm up")
        for size in sizes:
            _fill(ledger, stored, size)
            stored = size
            settle_us = _settle_us(ledger, f"at {size}")
            before = ledger.server.client.info("memory")["used_memory"]
            seconds, reader_mb = _read(server.url, size)
            peak = ledger.server.client.info("memory")["used_memory_peak"]
            steps.append(
                Step(
                    size,
                    {
                        "settle one more, us of the server": settle_us,
                        "read all, ms of the reader": max(1e3 * seconds, RESOLUTION_MS),
                        "memory of the reader, MB": max(reader_mb, RESOLUTION_MB),
                        "memory of the server for the reply, MB": max((peak - before) / 2**20, RESOLUTION_MB),
                    },
                )
            )
    return steps


def _fill(ledger: Ledger, stored: int, size: int) -> None:
    """Store answers until there are `size`, as many a day as a day may have."""
    client: Any = ledger.server.client
    for first in range(stored, size, 1_000):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + 1_000, size)):
                day = _FIRST_DAY + timedelta(days=number // MAX_DAY_ENTRIES)
                page = _page(day, str(number))
                pipeline.hset(ledger.server.key("journal", str(day)), page.names[0], f"1790000000000 {page.entries[0]}")
                pipeline.zadd(ledger.server.key("journal"), {str(day): day.toordinal()})
            pipeline.execute()


def _page(day: date, name: str) -> PredictionPage:
    record = PredictionRecord(
        day=day,
        fighters=(f"First Fighter {name}", f"Second Fighter {name}"),
        model="ab" * 32,
        role="live",
        job_id="0123456789abcdef" * 2,
        probability=0.61372841,
        intervals=(PredictionInterval(0.8, 0.5172846, 0.7018273), PredictionInterval(0.95, 0.4419284, 0.7629174)),
        market=0.5918273,
        market_aware=0.6018273,
        red=0,
        action="abstain",
        reasons=("price_too_low",),
        bins="0123456789" * 14,
        fight_id="0123456789abcdef" * 2,
        offered=(1.66, 2.35),
    )
    return PredictionPage.from_records(datetime(day.year, day.month, day.day, 3, tzinfo=UTC), [(name, record)])


def _settle_us(ledger: Ledger, name: str) -> float:
    """Return the time that the server takes to settle a job with an answer of a day of its own."""
    spent = []
    page = _page(_FIRST_DAY - timedelta(days=1), "settled")
    for number in range(SETTLED):
        ledger.submit(CheckHealth(nonce=f"{name} {number}"))
        [claim] = ledger.claim("predict", "bench#1/1")
        settlement = Settlement.from_result(claim, _HEALTHY, page)
        before = _script_us(ledger)
        ledger.settle_batch([settlement])
        spent.append(_script_us(ledger) - before)
    ledger.server.execute("DEL", ledger.server.key("journal", str(page.day)))
    ledger.server.execute("ZREM", ledger.server.key("journal"), str(page.day))
    return median(spent)


def _script_us(ledger: Ledger) -> float:
    return float(ledger.server.client.info("commandstats")["cmdstat_evalsha"]["usec"])


def _read(url: str, size: int) -> tuple[float, float]:
    """Return the processor time and the memory of a process that reads all answers."""
    command = [sys.executable, "-c", _READER, url]
    entries, seconds, grown_mb = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    if int(entries) != size:
        raise RuntimeError(f"the log has {entries} answers, not {size}")
    return float(seconds), float(grown_mb)
