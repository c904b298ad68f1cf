"""A training in parts: the same bits on any workers, and nothing lost when workers or all pools die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.data.fight_log import write_fight_log
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.compression.stored_values import decompress
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState, Progress
from ledger.contracts.jobs import TrainEnsemble, TrainPart
from ledger.contracts.reports import TrainingReport
from ledger.ledger import Ledger
from tests.support.otlp_receiver import OtlpReceiver, tree
from workers.handlers.training.train_ensemble import train_in_process

WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def league_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("league")
    write_fight_log(simulate_league(LeagueConfig(fights=450, seed=11)).log, folder)
    return folder


@pytest.fixture(scope="module")
def training(league_folder: Path) -> Callable[..., TrainEnsemble]:
    def build(**changes: Any) -> TrainEnsemble:
        small = {"bootstrap_samples": 12, "fits": 2, "folds": 3, "forest_trees": 10, "alias": None, "part_refits": 1}
        return TrainEnsemble(data=str(league_folder), **(small | changes))

    return build


@pytest.fixture(scope="module")
def digest(training: Callable[..., TrainEnsemble], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one process makes of it, without any queue."""
    folder = tmp_path_factory.mktemp("here")
    return train_in_process(training(), folder, lambda stage, done, total: None, float("inf")).digest


def model_of(ledger: Ledger, job_id: str) -> str:
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert isinstance(outcome.report, TrainingReport), outcome.failure
    return outcome.report.model


def parts_of(ledger: Ledger) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    """The records of all parts, by their names; the job may be over while they end."""
    for key in ledger.server.client.scan_iter(f"{ledger.settings.namespace}:job:*"):
        record = ledger.server.client.hgetall(key)
        if record[b"kind"] == b"train_part":
            yield decompress(record[b"payload"]).decode().split('"name":"')[1].split('"')[0], record


def part_holder(ledger: Ledger, until: Callable[..., None]) -> int:
    """Wait until a child works on a part, and return its process id."""
    held: list[int] = []

    def one_works() -> bool:
        held.extend(
            int(job.owner.rpartition("/")[2])
            for job in ledger.running_jobs()
            if job.kind == "train_part" and ledger.status(job.job_id).progress is not None
        )
        return bool(held)

    until(one_works, 60)
    return held[0]


@pytest.mark.parametrize(("children", "size"), [(1, 4), (2, 1), (3, 100)])
def test_any_number_of_workers_and_any_size_of_parts_give_the_same_bits(
    ledger: Ledger,
    start_pool: Callable[..., Any],
    training: Callable[..., TrainEnsemble],
    digest: str,
    children: int,
    size: int,
) -> None:
    start_pool(queue="train", real=True, concurrency=children)
    assert model_of(ledger, ledger.submit(training(part_refits=size)).job_id) == digest


def test_parts_are_in_the_trace_of_their_training(
    ledger: Ledger, start_pool: Callable[..., Any], training: Callable[..., TrainEnsemble], until: Callable[..., None]
) -> None:
    trace_id, submitter = "a" * 32, "b" * 16
    receiver = OtlpReceiver()
    pool = start_pool(queue="train", real=True, concurrency=1, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    job_id = ledger.submit(training(part_refits=100), traceparent=f"00-{trace_id}-{submitter}-01").job_id
    model_of(ledger, job_id)
    assert pool.stop() == 0  # which sends the last spans
    receiver.close()
    spans = receiver.of_trace(trace_id)
    assert set(tree(spans, submitter)) == {"submitter", "process train"}
    attempts = [span for span in spans if span.name == "process train"]
    of_training = [span for span in attempts if span.attributes["messaging.message.id"] == job_id]
    of_parts = [span for span in attempts if span not in of_training]
    assert {span.attributes["cornerman.job.kind"] for span in of_parts} == {"train_part"}
    assert {span.parent_id for span in of_training} == {submitter}
    assert {span.parent_id for span in of_parts} == {of_training[0].span_id}  # which submitted them
    assert [span.attributes["cornerman.job.outcome"] for span in of_training][-1] == "succeeded"
    before = ["", *(span.span_id for span in of_training)]
    assert [(*span.links, "")[0] for span in of_training] == before[:-1]


def test_pools_of_two_machines_that_share_a_store_share_the_work(
    ledger: Ledger,
    start_pool: Callable[..., Any],
    training: Callable[..., TrainEnsemble],
    digest: str,
    tmp_path: Path,
    until: Callable[..., None],
) -> None:
    store = f"file://{tmp_path / 'store'}"
    pools = [
        start_pool(
            queue="train",
            real=True,
            concurrency=1,
            CORNERMAN_STORE=store,
            CORNERMAN_DATA=str(tmp_path / name),
            CORNERMAN_NODE=name,
            CORNERMAN_SIGNING_KEY="a key that is long enough",
        )
        for name in ("one", "two")
    ]
    seen: list[Progress] = []
    job_id = ledger.submit(training()).job_id
    outcome = ledger.wait(job_id, WAIT_SECONDS, on_progress=seen.append)
    assert isinstance(outcome.report, TrainingReport), outcome.failure
    assert outcome.report.model == digest
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert any(step.left_seconds is not None and 0 < step.done < step.total for step in seen)
    until(lambda: all(record[b"state"] == b"succeeded" for _, record in parts_of(ledger)))
    shares = [pool.log.read_text().count('"kind": "train_part"') for pool in pools]
    assert min(shares) > 0, shares
    assert (tmp_path / "store" / digest / "manifest.json").is_file()
    assert (tmp_path / "store" / digest / "signature").is_file()


def test_a_part_whose_worker_dies_is_redone_alone(
    ledger: Ledger,
    start_pool: Callable[..., Any],
    training: Callable[..., TrainEnsemble],
    digest: str,
    until: Callable[..., None],
) -> None:
    pool = start_pool(queue="train", real=True, concurrency=1)
    job_id = ledger.submit(training()).job_id
    os.kill(part_holder(ledger, until), signal.SIGKILL)
    assert model_of(ledger, job_id) == digest
    attempts = sorted(int(record[b"attempt"]) for _, record in parts_of(ledger))
    assert attempts[:-1] == [1] * 16
    assert attempts[-1] in (1, 2)  # 1: it had written its part, and died between two of them
    assert ledger.status(job_id).attempt == 1
    assert pool.stop() == 0


def test_a_full_stop_costs_no_part_that_was_done(
    ledger: Ledger,
    start_pool: Callable[..., Any],
    training: Callable[..., TrainEnsemble],
    digest: str,
    tmp_path: Path,
    until: Callable[..., None],
) -> None:
    patience = {"CORNERMAN_LEASE_SECONDS": "2"}
    pool = start_pool(queue="train", real=True, concurrency=2, **patience)
    job_id = ledger.submit(training()).job_id

    def done() -> list[Path]:
        return sorted(tmp_path.glob("models/parts/*/[!.]*/manifest.json"))

    until(lambda: len(done()) >= 5, 60)
    os.killpg(pool.pid, signal.SIGKILL)
    pool.process.wait(30)
    before = {path: path.stat().st_mtime_ns for path in done()}
    assert 5 <= len(before) < 17
    start_pool(queue="train", real=True, concurrency=2, **patience)
    assert model_of(ledger, job_id) == digest
    assert {path: path.stat().st_mtime_ns for path in done() if path in before} == before
    assert len(done()) == 17


def test_cancelling_ends_the_parts_too(
    ledger: Ledger, start_pool: Callable[..., Any], training: Callable[..., TrainEnsemble], until: Callable[..., None]
) -> None:
    start_pool(queue="train", real=True, concurrency=2)
    job_id = ledger.submit(training(bootstrap_samples=400)).job_id
    until(lambda: any(job.kind == "train_part" for job in ledger.running_jobs()), 60)
    assert ledger.cancel(job_id).state is JobState.CANCELLED
    until(lambda: not ledger.running_jobs() and ledger.queue_stats.depths()["train"] == 0, 60)
    states = {record[b"state"] for _, record in parts_of(ledger)}
    assert states <= {b"cancelled", b"succeeded"}
    assert b"cancelled" in states


def test_a_training_that_takes_too_long_fails_and_goes_on_when_it_is_asked_for_again(
    ledger: Ledger, start_pool: Callable[..., Any], training: Callable[..., TrainEnsemble], digest: str, tmp_path: Path
) -> None:
    start_pool(queue="train", real=True, concurrency=1)
    failure = ledger.wait(ledger.submit(training(max_training_time_seconds=0.4)).job_id, WAIT_SECONDS).failure
    assert failure is not None
    assert failure.code is FailureCode.TIME_LIMIT_EXCEEDED
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("models/parts/*/*/manifest.json")}
    assert model_of(ledger, ledger.submit(training()).job_id) == digest
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_store_that_does_not_come_back_ends_a_training_by_its_time(
    ledger: Ledger, start_pool: Callable[..., Any], training: Callable[..., TrainEnsemble]
) -> None:
    start_pool(queue="train", real=True, concurrency=1, CORNERMAN_STORE="ftp://127.0.0.1:1/models")
    outcome = ledger.wait(ledger.submit(training(max_training_time_seconds=3.0)).job_id, WAIT_SECONDS)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.attempt) == (FailureCode.TIME_LIMIT_EXCEEDED, 1)
    assert "the store is unavailable" in outcome.failure.message


def test_a_part_that_fails_fails_the_job_with_its_words_and_ends_the_others(
    ledger: Ledger, start_pool: Callable[..., Any], training: Callable[..., TrainEnsemble], until: Callable[..., None]
) -> None:
    start_pool(queue="train", real=True, concurrency=1, CORNERMAN_MAX_ATTEMPTS="1")
    job_id = ledger.submit(training(bootstrap_samples=400, part_refits=100, folds=20)).job_id
    os.kill(part_holder(ledger, until), signal.SIGKILL)
    failure = ledger.wait(job_id, WAIT_SECONDS).failure
    assert failure is not None
    assert failure.code is FailureCode.WORKER_LOST
    assert failure.message.startswith(f"part {failure.details['part']}: ")
    until(lambda: not ledger.running_jobs() and ledger.queue_stats.depths()["train"] == 0, 60)
    assert [name for name, record in parts_of(ledger) if record[b"state"] == b"failed"] == [failure.details["part"]]


def test_a_part_of_no_job_does_nothing(ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path) -> None:
    start_pool(queue="train", real=True, concurrency=1)
    part = TrainPart(
        of="nobody's",
        prepared="0" * 64,
        name="fold-0-1",
        fights=1,
        columns=1,
        max_training_time_seconds=60.0,
        max_memory_mb=4096.0,
    )
    assert ledger.wait(ledger.submit(part).job_id, WAIT_SECONDS).state is JobState.CANCELLED
    assert not (tmp_path / "models" / "parts").exists()
