"""Environment of the preflight checks: a temporary service with models, a card to predict and a second worker.

The checks change no job, model or control of the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from ledger.contracts import codec
from ledger.contracts.controls import ControlValue
from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import DecisionRules, PredictCard, TrainEnsemble
from ledger.contracts.reports import CardReport, TrainingReport
from ledger.dataset_files import folder_digest
from producer.client import require_report
from producer.feed.odds_api import read_cards
from producer.preflight.check import CheckFailedError
from producer.service.demo_data import DemoData
from producer.service.service_process import ServiceProcess, pool_command, stop_all
from producer.service.temporary_service import START_TIMEOUT_SECONDS, TemporaryService, clean_environment
from producer.settings import DATA_VARIABLE, URL_VARIABLE

SECOND_NODE = "second-node"
POLL_SECONDS = 0.1
UNCERTAINTY = DecisionRules().max_uncertainty_threshold
# Small models suffice for the checks; the number of replicas is an option of the command.
TRAINING: dict[str, Any] = {"fits": 2, "folds": 3, "forest_trees": 40, "replica_forest_trees": 10}


@dataclass
class PreflightEnvironment:
    """A temporary service in `folder`, its models, and the data that the checks use."""

    service: TemporaryService
    data: DemoData
    folder: Path
    on_progress: Callable[[Progress], None]
    models: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def train(self, replicas: int, seed: int) -> str:
        """Train on the fight log and return the model's digest; the first is the champion. Raises JobFailedError."""
        job = TrainEnsemble(
            data=str(self.data.log),
            data_digest=folder_digest(self.data.log),
            cutoff=self.data.cutoff,
            bootstrap_samples=replicas,
            seed=seed,
            **TRAINING,
        )
        report = require_report(self.service.wait(self.service.client.enqueue(job).job_id, self.on_progress))
        if not isinstance(report, TrainingReport):
            raise TypeError(f"a training job was answered by a {type(report).__name__}")
        self.models.append(report.model)
        return report.model

    def model_folder(self, digest: str) -> Path:
        """Return the folder of a model."""
        return self.folder / "models" / digest

    @cached_property
    def card(self) -> PredictCard:
        """A card of the feed, with a deadline beyond the end of the checks."""
        body = self.data.bodies[0]
        deadline = datetime.now(UTC) + timedelta(hours=1)
        (card, *_) = read_cards(
            body.content, price_format=self.data.price_format, deadline=deadline, debutants=body.debutants
        )
        return card

    def enqueue(self, **changes: Any) -> str:
        """Submit the card with `changes` as a new job and return its id. Raises JobRefusedError.

        Children cache predictions by fight. A tiny difference in a rule makes them predict again, and is too small to
        change a decision.
        """
        number = next(self._numbers)
        rules = DecisionRules(max_uncertainty_threshold=UNCERTAINTY - number * 1e-12)
        card = msgspec.structs.replace(self.card, rules=rules, **changes)
        return self.service.client.enqueue(card, key=f"preflight-{number}").job_id

    def predict(self, **changes: Any) -> bytes:
        """Predict the card with `changes` and return the report's bytes. Raises JobRefusedError and JobFailedError."""
        return codec.encode(require_report(self.service.wait(self.enqueue(**changes), self.on_progress)))

    def set_controls(self, values: Mapping[str, ControlValue | None]) -> None:
        """Set controls of the temporary service."""
        self.service.client.ledger.controls.set(values, user="cornerman preflight", reason="rehearsal")

    @contextmanager
    def second_node(self) -> Iterator[None]:
        """Run a second predicting pool, as if on another machine. Raises LedgerUnavailableError."""
        environment = {
            **clean_environment(),
            URL_VARIABLE: str(self.service.client.ledger.settings.redis_url),
            DATA_VARIABLE: str(self.folder),
            "CORNERMAN_NODE": SECOND_NODE,
        }
        with Path(self.folder, f"{SECOND_NODE}.log").open("wb") as log:
            pool = ServiceProcess("predict", pool_command("predict", 1), environment, output=log)
            pool.start()
            try:
                end = time.monotonic() + START_TIMEOUT_SECONDS
                while SECOND_NODE not in self.nodes():
                    if time.monotonic() > end:
                        raise LedgerUnavailableError(
                            f"the second pool did not start within {START_TIMEOUT_SECONDS:g} s"
                        )
                    time.sleep(POLL_SECONDS)
                yield
            finally:
                stop_all([pool])

    def nodes(self) -> set[str]:
        """Return the nodes with a predicting pool."""
        return {str(pool["node"]) for pool in self.service.client.ledger.pools.alive() if "predict" in pool["queues"]}


def decode_card_report(report: bytes) -> CardReport:
    """Decode the report of a card. Raises CheckFailedError if it is another kind of report."""
    answer = codec.decode_report(report)
    if not isinstance(answer, CardReport):
        raise CheckFailedError(f"a card was answered by a {type(answer).__name__}")
    return answer
