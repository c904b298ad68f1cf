"""The trainings of a chaos run: a small one is always under way, and each succeeded one must come to the right model.

Trainings come in turns of one or two that must come to the same model, at the same time and cut into parts of different
sizes. Between two turns the store is emptied, as garbage collection does, so that none finds the parts of another turn.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from engine.data.fight_log import write_fight_log
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.compression.stored_values import decompress
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import TrainEnsemble
from ledger.ledger import Ledger
from tests.chaos.callers import Follower, Submitter, insist
from tests.chaos.checker import PartRecord
from tests.chaos.jobs import Task
from workers.handlers.training.train_ensemble import train_in_process

LEAGUE = LeagueConfig(fights=450, seed=11)
MOST_REFITS = 4
TWO_SHARE = 0.3
CANCEL_SHARE = 0.25
CANCEL_SECONDS = 4.0
LOOK_SECONDS = 0.05


class Trainings:
    """Submits trainings of `models` different models, in turns, until told that it is over."""

    def __init__(
        self,
        ledger: Ledger,
        submitter: Submitter,
        follower: Follower,
        folder: Path,
        models: int,
        empty: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._submitter = submitter
        self._follower = follower
        self._models = models
        self._empty = empty
        self._league = folder / "league"
        write_fight_log(simulate_league(LEAGUE).log, self._league)

    def run(self, rng: random.Random, over: threading.Event) -> None:
        """Have one or two trainings under way until it is over."""
        turn = 0
        while not over.is_set():
            sizes = [rng.randint(1, MOST_REFITS) for _ in range(1 + (rng.random() < TWO_SHARE))]
            job_ids = self._submitter.train(turn % self._models, sizes, self._league)
            if rng.random() < CANCEL_SHARE:
                over.wait(rng.uniform(0, CANCEL_SECONDS))
                self._submitter.cancel(job_ids[0])
            while not (self._follower.outcomes.keys() >= set(job_ids) and self._idle()) and not over.is_set():
                over.wait(LOOK_SECONDS)
            if not over.is_set():
                self._empty()
            turn += 1

    def _idle(self) -> bool:
        """Whether no part is under way either."""
        held = insist(self._ledger.running_jobs)
        return (
            not any(job.kind == "train_part" for job in held) and not insist(self._ledger.queue_stats.depths)["train"]
        )


def right_models(accepted: Mapping[str, Task]) -> dict[str, str]:
    """Train what was asked for in this process, without a queue; return the digests by job id."""
    wanted = {job_id: task.training for job_id, task in accepted.items() if task.training is not None}
    digests: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="cornerman-chaos-") as folder:
        for training in wanted.values():
            if training.seed not in digests:
                digests[training.seed] = _trained(training, Path(folder))
    return {job_id: digests[training.seed] for job_id, training in wanted.items()}


def _trained(training: TrainEnsemble, folder: Path) -> str:
    return train_in_process(training, folder, lambda stage, done, total: None, float("inf")).digest


def part_records(ledger: Ledger) -> Iterator[PartRecord]:
    """Return what the ledger knows of each part of a training: they are in no stream."""
    for key in ledger.server.client.scan_iter(f"{ledger.settings.namespace}:job:*", count=1000):
        kind, payload, state, attempt = ledger.server.client.hmget(key, "kind", "payload", "state", "attempt")
        if kind == b"train_part":
            job_id = key.decode().rpartition(":job:")[2]
            yield PartRecord(
                job_id, msgspec.json.decode(decompress(payload))["of"], JobState(state.decode()), int(attempt)
            )


def emptier(*folders: Path) -> Callable[[], None]:
    """Return what removes all that lies in some folders."""

    def empty() -> None:
        for folder in folders:
            for path in folder.glob("*"):
                shutil.rmtree(path, ignore_errors=True)  # a writer may be adding to it

    return empty
