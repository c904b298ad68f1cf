"""What a worker makes of a part that lies in the store already, or of one whose rows are gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ledger.contracts.jobs import CheckHealth, TrainPart
from ledger.ledger import Ledger
from tests.support.small_models import spoil
from workers.errors import JobSnoozedError
from workers.handlers.training.fan_out import run_part
from workers.models.model_store import PARTS, PREPARED, Store

KEY = "a key that is long enough"


class Worker:
    """Does parts, and counts how often it had to."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.store = Store(folder, key=KEY)
        self.job_id = ledger.submit(CheckHealth(nonce="the whole")).job_id
        self.made = 0

    def prepare(self, name: str) -> str:
        return self.store.write({"rows": np.arange(3.0)}, {"name": name}, PREPARED).digest

    def do(self, prepared: str, name: str) -> Path:
        part = TrainPart(
            of=self.job_id,
            prepared=prepared,
            name=name,
            fights=3,
            columns=1,
            max_training_time_seconds=60.0,
            max_memory_mb=1024.0,
        )
        context: Any = SimpleNamespace(store=self.store, ledger=self.ledger, progress=lambda *_: None)

        def make(bundle: Any, step: Any) -> dict[str, Any]:
            self.made += 1
            return {"doubled": 2 * bundle.array("rows")}

        run_part(part, context, make)
        return self.store.folder / PARTS / prepared / name


@pytest.fixture
def worker(ledger: Ledger, tmp_path: Path) -> Worker:
    return Worker(ledger, tmp_path)


def test_a_part_is_done_once(worker: Worker) -> None:
    prepared = worker.prepare("one")
    assert worker.do(prepared, "fold-0-1") == worker.do(prepared, "fold-0-1")
    assert worker.made == 1


def test_a_part_that_is_not_whole_is_done_again(worker: Worker) -> None:
    prepared = worker.prepare("one")
    place = worker.do(prepared, "fold-0-1")
    spoil(place)
    worker.do(prepared, "fold-0-1")
    assert worker.made == 2
    assert worker.store.open(f"{PARTS}/{prepared}/fold-0-1").array("doubled").tolist() == [0.0, 2.0, 4.0]


def test_a_part_from_before_the_key_is_done_again(worker: Worker) -> None:
    prepared = worker.prepare("one")
    (worker.do(prepared, "fold-0-1") / "signature").unlink()
    worker.do(prepared, "fold-0-1")
    assert worker.made == 2


@pytest.mark.parametrize(("training", "name"), [("one", "fold-1-2"), ("two", "fold-0-1")])
def test_a_signed_part_stands_for_no_other(worker: Worker, training: str, name: str) -> None:
    source = worker.do(worker.prepare("one"), "fold-0-1")
    prepared = worker.prepare(training)
    target = worker.store.folder / PARTS / prepared / name
    target.parent.mkdir(exist_ok=True)
    shutil.copytree(source, target)
    worker.do(prepared, name)
    assert worker.made == 2


def test_a_part_whose_rows_were_collected_waits_until_its_job_has_brought_them_back(worker: Worker) -> None:
    with pytest.raises(JobSnoozedError):
        worker.do("0" * 64, "fold-0-1")
    assert not worker.made
