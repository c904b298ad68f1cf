"""A monitoring pool that is killed while it archives: every outcome is on the server or in the archive, once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.jobs import ArchiveOutcomes
from ledger.ledger import Ledger
from tests.support.archives import ArchiveShop, archived_ids

WAIT_SECONDS = 120
KILLS = 4


def test_kills_of_a_pool_lose_and_double_nothing(
    ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path, until: Callable[..., None]
) -> None:
    place, temporary = tmp_path / "archive", tmp_path / "temporary"
    temporary.mkdir()
    shop = ArchiveShop(str(ledger.settings.redis_url), str(place), namespace=ledger.settings.namespace)
    pool = start_pool(
        queue="monitor", concurrency=1, real=True, CORNERMAN_ARCHIVE_URL=str(place), TMPDIR=str(temporary)
    )
    chosen = random.Random(5)
    ids: list[str] = []
    for attempt in range(KILLS):
        ids += shop.settle(*(f"{attempt}-{number}" for number in range(50)))
        job_id = shop.ledger.submit(ArchiveOutcomes(keep_days=0, nonce=f"{attempt}")).job_id
        while shop.ledger.status(job_id).attempt == 0:
            time.sleep(0.01)
        time.sleep(chosen.random() * 0.5)
        for child in psutil.Process(pool.pid).children():
            os.kill(child.pid, signal.SIGKILL)
        shop.ledger.wait(job_id, WAIT_SECONDS)  # it is claimed again
        assert set(archived_ids(shop)) | shop.on_server() >= set(ids)
    last = shop.ledger.wait(shop.ledger.submit(ArchiveOutcomes(keep_days=0, nonce="last")).job_id, WAIT_SECONDS)
    assert isinstance(last.report, OutcomeArchiveReport)
    held = archived_ids(shop)
    assert len(held) == len(set(held))
    assert set(held) >= set(ids)
    assert None not in shop.outcomes(ids)
    [scratch] = temporary.iterdir()
    until(lambda: not list(scratch.rglob("*.parquet")))  # of the killed children
    assert pool.stop() == 0
    assert list(temporary.iterdir()) == []
    shop.ledger.close()
