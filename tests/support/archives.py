"""A ledger with an archive, whose outcomes are settled without a pool."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ledger.archive.outcome_archive import OutcomeArchive
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import ArchiveOutcomes, CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from tests.support.claims import FAILURE, OWNER, REPORT
from workers.handlers.archive_outcomes.archive_outcomes import archive_outcomes
from workers.settings import WorkerSettings

ALL_DUE = ArchiveOutcomes(keep_days=0)


class ArchiveShop:
    """A ledger whose archive is below a folder or at a URL."""

    def __init__(self, url: str, place: str, **settings: Any) -> None:
        given: dict[str, Any] = {"namespace": f"test-{uuid.uuid4().hex}", "archive_url": place, **settings}
        self.ledger = Ledger.connect(LedgerSettings(redis_url=url, **given))
        self.place = place

    def settle(self, *names: str, failed: bool = False) -> list[str]:
        """Submit health checks and settle them."""
        ids = [self.ledger.submit(CheckHealth(nonce=name), key=name, caller="shop").job_id for name in names]
        for name in names:
            [claim] = self.ledger.claim("predict", OWNER)
            assert claim.job_id == name
            self.ledger.settle(claim, FAILURE if failed else REPORT)
        return ids

    def archive(self, job: ArchiveOutcomes = ALL_DUE) -> OutcomeArchiveReport:
        """Run the handler in this process."""
        time.sleep(0.002)  # due is what was settled before this millisecond
        return archive_outcomes(job, handler_context(self.ledger))

    def outcomes(self, ids: list[str]) -> list[Outcome | None]:
        """Return the outcomes as callers read them."""
        return [self.ledger.outcome(job_id) for job_id in ids]

    def on_server(self) -> set[str]:
        """Return the ids of the records that the server has."""
        prefix = f"{self.ledger.settings.namespace}:job:"
        return {key.decode().removeprefix(prefix) for key in self.ledger.server.client.scan_iter(f"{prefix}*", 1000)}

    def manifest(self) -> Any:
        """Return the current manifest, None before the first."""
        folder, name = self.ledger.server.execute("HMGET", self.ledger.server.key("archive"), "folder", "manifest")
        return OutcomeArchive.at(self.place, folder.decode()).manifest(name.decode()) if name else None


def archived_ids(shop: ArchiveShop) -> list[str]:
    """Return the id of every row of the archive."""
    manifest = shop.manifest()
    if manifest is None:
        return []
    archive = OutcomeArchive.at(shop.place, manifest.ledger)
    return [
        job_id
        for file in manifest.files
        for table in archive.batches(file, ["job_id"])
        for job_id in table["job_id"].to_pylist()
    ]


def handler_context(ledger: Ledger, data: Path = Path("/nonexistent")) -> Any:
    """Return the context of a handler in this process."""
    return SimpleNamespace(
        settings=WorkerSettings(data=data),
        ledger=ledger,
        progress=lambda *_: None,
        remaining_seconds=lambda: 1000.0,
        claim=SimpleNamespace(time_limit_seconds=1000.0, job_id="archive"),
    )
