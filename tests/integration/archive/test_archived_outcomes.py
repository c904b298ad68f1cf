"""Outcomes that have moved to the archive are read as before, by every reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ledger.contracts.job_state import JobState
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from tests.support.archives import ArchiveShop


@pytest.fixture
def shop(valkey: EmbeddedServer, tmp_path: Path) -> Iterator[ArchiveShop]:
    made = ArchiveShop(valkey.url, str(tmp_path / "a folder"))
    yield made
    made.ledger.close()


def everything(ledger: Ledger, job_id: str) -> list[object]:
    return [
        msgspec.json.encode(ledger.outcome(job_id)),
        ledger.wait(job_id, 1),
        ledger.status(job_id),
        ledger.job_records.get(job_id),
        ledger.job_records.job(job_id),
        ledger.job_histories.get(job_id),
    ]


def test_archived_outcomes_are_read_as_before(shop: ArchiveShop) -> None:
    ids = shop.settle("a", "b", "c") + shop.settle("d", failed=True)
    before = {job_id: everything(shop.ledger, job_id) for job_id in ids}
    place = shop.ledger.follow("0", idle_seconds=0.1)
    followed = list(place)
    report = shop.archive()
    assert (report.archived, report.outcomes, report.files, report.complete) == (4, 4, 1, True)
    assert shop.on_server() == set()
    assert {job_id: everything(shop.ledger, job_id) for job_id in ids} == before
    assert list(shop.ledger.follow("0", idle_seconds=0.1)) == followed
    assert shop.ledger.outcomes_page("0", 10).outcomes == tuple(followed)
    assert shop.ledger.status("e").state is JobState.UNKNOWN
    assert shop.archive().archived == 0
