"""A training that was accepted before its server filled up: its parts pass the mark, and a wait says what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.errors import TrainingTimeoutError
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.jobs import CheckHealth, TrainEnsemble, TrainPart
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from workers.errors import JobSnoozedError
from workers.handlers.training.fan_out import FanOutState, gather
from workers.models.model_store import Store

LIMIT_SECONDS = 60.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on a server of its own, with 8 MB for it, above its mark."""
    with EmbeddedServer(tmp_path / "server") as server:
        opened = Ledger.connect(LedgerSettings(redis_url=server.url))
        opened.server.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        yield opened
        opened.close()


def fill(ledger: Ledger, fraction: float) -> None:
    used = int(ledger.server.execute("INFO", "memory")["used_memory"])
    ledger.server.execute("CONFIG", "SET", "maxmemory", int(used / fraction))


def check_once(ledger: Ledger, folder: Path, state: FanOutState) -> JobSnoozedError:
    """Check a training of two unfinished parts once."""
    (folder / "models").mkdir(exist_ok=True)
    ledger_claim = SimpleNamespace(
        correlation_id="order", caller=None, claimed_at=state.looked_at, span=None, trace=None
    )
    context: Any = SimpleNamespace(ledger=ledger, store=Store(folder / "models"), claim=ledger_claim)
    parts = [
        TrainPart(
            of="whole",
            prepared=state.prepared,
            name=f"fold-{number}-{number + 1}",
            fights=1,
            columns=1,
            max_training_time_seconds=60.0,
            max_memory_mb=1024.0,
        )
        for number in range(2)
    ]
    with pytest.raises(JobSnoozedError) as later:
        gather(context, state, parts, [3, 4], LIMIT_SECONDS)
    return later.value


def test_parts_are_submitted_above_the_mark_for_new_jobs(ledger: Ledger, tmp_path: Path) -> None:
    ledger.submit(CheckHealth())
    fill(ledger, 0.9)
    with pytest.raises(JobRefusedError) as refused:
        ledger.submit(TrainEnsemble(data="another"))
    assert refused.value.failure.code is FailureCode.MEMORY_LIMIT_EXCEEDED
    later = check_once(ledger, tmp_path, FanOutState("0" * 64, datetime.now(UTC)))
    assert str(later) == "2 parts are missing"
    assert ledger.queue_stats.depths()["train"] == 2


def test_a_wait_for_a_full_server_says_so_until_it_is_over(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 1.2)
    began = datetime.now(UTC)
    later = check_once(ledger, tmp_path, FanOutState("0" * 64, began))
    assert "out of memory" in str(later)
    assert later.progress is not None
    assert later.progress.stage == "waiting: the server is out of memory (its maxmemory is reached)"
    assert (later.progress.done, later.progress.total) == (0, 7)
    assert later.note is not None
    state = msgspec.json.decode(later.note, type=FanOutState)
    over = msgspec.structs.replace(state, at_work_seconds=LIMIT_SECONDS + 1)
    with pytest.raises(TrainingTimeoutError, match=r"2 of 2 parts are missing because the server is out of memory"):
        check_once(ledger, tmp_path, over)
    fill(ledger, 0.5)
    later = check_once(ledger, tmp_path, state.advanced_to(began + timedelta(seconds=2)))
    assert str(later) == "2 parts are missing"
    assert later.note is not None
    assert msgspec.json.decode(later.note, type=FanOutState).waits_for == ""
