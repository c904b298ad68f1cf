from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.contracts import codec
from ledger.contracts.failures import FailureCode, JobRefusedError, LedgerError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard, Quote, TrainEnsemble
from ledger.ledger import Ledger, LedgerSettings
from tests.support.loop_ledger import LoopLedger

SOON = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture(params=[Ledger, LoopLedger])
def ledger_type(request: pytest.FixtureRequest) -> Any:
    return request.param


def card(**fields: object) -> PredictCard:
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")))
    return PredictCard(**{"card_id": "c1", "event_start": SOON, "fights": (fight,)} | fields)  # type: ignore[arg-type]


def refused(ledger: Ledger, job: object, key: str | None = None) -> JobRefusedError:
    with pytest.raises(JobRefusedError) as caught:
        ledger.submit(job, key=key)  # type: ignore[arg-type]
    assert sum(ledger.queue_stats.depths().values()) == 0, "a refused job left something behind"
    return caught.value


def test_same_content_is_one_job_whatever_its_state(ledger: Ledger) -> None:
    first = ledger.submit(card())
    again = ledger.submit(card())
    assert (first.created, again.created) == (True, False)
    assert first.job_id == again.job_id
    ledger.cancel(first.job_id)
    assert not ledger.submit(card()).created
    assert ledger.status(first.job_id).state is JobState.CANCELLED
    assert ledger.queue_stats.depths() == {"monitor": 0, "predict": 0, "train": 0}


def test_other_content_is_another_job(ledger: Ledger) -> None:
    assert ledger.submit(card()).job_id != ledger.submit(card(card_id="c2")).job_id


def test_how_a_number_is_written_does_not_make_another_job(ledger: Ledger) -> None:
    fight = card().fights[0]
    receipts = [
        ledger.submit(card(fights=(replace(fight, quotes=(Quote(bookmaker="B", prices={"Ana": price, "Bea": 2.5}),)),)))
        for price in (2, 2.0)
    ]
    assert [receipt.created for receipt in receipts] == [True, False]


def test_a_key_is_the_id_and_stays_bound_to_its_content(ledger: Ledger) -> None:
    assert ledger.submit(card(), key="saturday").job_id == "saturday"
    assert not ledger.submit(card(), key="saturday").created
    with pytest.raises(JobRefusedError, match=r"'saturday'.*other content") as caught:
        ledger.submit(card(card_id="c2"), key="saturday")
    assert caught.value.failure.code is FailureCode.INVALID_INPUT


SUBMIT_FIFTY_TIMES = """
import os
import sys
from ledger.ledger import Ledger, LedgerSettings
from ledger.contracts.codec import decode_job
job = decode_job(sys.argv[1].encode())
begin, all_are_there = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.close(all_are_there)
        ledger = Ledger.connect(LedgerSettings.from_env())
        os.read(begin, 1)  # returns when the last writer has closed: all eight begin together
        created = sum(ledger.submit(job).created for _ in range(50))
        os.write(1, b"%d " % created)  # `print` would write its end apart, and another process between
        os._exit(0)
os.close(all_are_there)
sys.exit(any(os.wait()[1] for _ in range(8)))
"""


def test_fifty_submits_by_each_of_eight_processes_are_one_job(ledger: Ledger, ledger_settings: LedgerSettings) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "CORNERMAN_REDIS_URL": str(ledger_settings.redis_url),
        "CORNERMAN_NAMESPACE": ledger_settings.namespace,
    }
    command = [sys.executable, "-c", SUBMIT_FIFTY_TIMES, codec.encode(card()).decode()]
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    assert sorted(said.split()) == ["0"] * 7 + ["1"]
    assert ledger.queue_stats.depths()["predict"] == 1


def test_fifty_submits_by_eight_threads_are_one_job(ledger: Ledger) -> None:
    gate = threading.Barrier(8)

    def submit(_: int) -> bool:
        gate.wait(timeout=10)
        return ledger.submit(card()).created

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(submit, range(48)))
    created += [ledger.submit(card()).created for _ in range(2)]
    assert created.count(True) == 1
    assert ledger.queue_stats.depths()["predict"] == 1
    assert len(ledger.claim("predict", "n#1/1", 10)) == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "line\nbreak"])
def test_bad_keys_are_refused(ledger: Ledger, key: str) -> None:
    assert refused(ledger, card(), key).failure.code is FailureCode.INVALID_INPUT


@pytest.mark.parametrize(
    ("job", "named"),
    [
        (card(event_start=datetime(2099, 1, 1)), "event_start"),
        (card(event_start=datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))), "out of range"),
        (card(fights=()), "fights"),
        (card(card_id=""), "card_id"),
        (card(card_id=object()), "object"),
        (TrainEnsemble(data="d", max_memory_mb=float("nan")), "max_memory_mb"),
        (CheckHealth(nonce="\udc80"), "cannot be written"),
        (CheckHealth(schema_version=2), "schema version 2"),
        ("no job", "object"),
    ],
)
def test_values_that_python_let_pass_are_refused_by_name(ledger: Ledger, job: object, named: str) -> None:
    assert named in str(refused(ledger, job))


def test_a_card_whose_event_has_started_is_refused(ledger: Ledger) -> None:
    failure = refused(ledger, card(event_start=datetime(2020, 1, 2, 3, tzinfo=UTC))).failure
    assert failure.code is FailureCode.EXPIRED
    assert "'c1' started at 2020-01-02T03:00:00+00:00" in failure.message
    assert "set `deadline`" in failure.message


def test_the_deadline_takes_the_place_of_the_event_start(ledger: Ledger) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert "was 2020-01-01" in refused(ledger, card(deadline=past)).failure.message
    assert "check_health" in refused(ledger, CheckHealth(deadline=past)).failure.message
    receipt = ledger.submit(card(event_start=past, deadline=SOON))
    assert ledger.status(receipt.job_id).deadline == SOON


def test_a_known_job_is_not_refused_for_its_deadline(ledger: Ledger, until: Callable[..., None]) -> None:
    job = CheckHealth(deadline=datetime.fromtimestamp(ledger.server.time() + 0.1, UTC))
    first = ledger.submit(job)
    until(lambda: ledger.reap().expired)
    assert ledger.submit(job) == replace(first, created=False)


def test_many_are_accepted_together_or_not_at_all(ledger: Ledger) -> None:
    jobs = [CheckHealth(nonce=str(number)) for number in range(100)]
    with pytest.raises(JobRefusedError, match="deadline"):
        ledger.submit_many([*jobs, CheckHealth(deadline=datetime(2020, 1, 1, tzinfo=UTC))])
    assert ledger.queue_stats.depths()["predict"] == 0
    receipts = ledger.submit_many([*jobs, jobs[0]], correlation_id="batch")
    assert [receipt.created for receipt in receipts] == [True] * 100 + [False]
    assert ledger.claim("predict", "n#1/1")[0].correlation_id == "batch"
    assert ledger.submit_many([]) == []


def test_one_key_for_two_contents_in_one_call_is_refused(ledger: Ledger) -> None:
    with pytest.raises(JobRefusedError, match="'k'"):
        ledger.submit_many([CheckHealth(nonce="1"), CheckHealth(nonce="2")], keys=["k", "k"])
    assert ledger.status("k").state is JobState.UNKNOWN


@pytest.mark.parametrize(
    ("job", "queue", "limit"),
    [
        (card(), "predict", 60.0),
        (CheckHealth(), "predict", 60.0),
        (TrainEnsemble(data="d"), "train", 3660.0),
        (TrainEnsemble(data="d", max_training_time_seconds=5.0), "train", 65.0),
    ],
)
def test_the_record_says_where_and_how_long(ledger: Ledger, job: CheckHealth, queue: str, limit: float) -> None:
    ledger.submit(job)
    (claim,) = ledger.claim(queue, "n#1/1")
    assert (claim.queue, claim.time_limit_seconds) == (queue, limit)


def test_a_durable_submit_waits_for_the_file_also_for_a_known_job(ledger: Ledger) -> None:
    assert [ledger.submit(card(), durable=True).durable for _ in range(2)] == [True, True]
    assert not ledger.submit(card()).durable


def test_a_durable_submit_needs_the_file(ledger: Ledger) -> None:
    ledger.server.execute("CONFIG", "SET", "appendonly", "no")
    try:
        with pytest.raises(LedgerError, match=r"nothing was written.*appendonly yes"):
            ledger.submit(card(), durable=True)
        assert ledger.queue_stats.depths()["predict"] == 0
    finally:
        ledger.server.execute("CONFIG", "SET", "appendonly", "yes")


def test_a_durable_submit_does_not_claim_what_the_disk_has_not_confirmed(
    ledger_settings: LedgerSettings, ledger_type: type[Ledger]
) -> None:
    ledger = ledger_type.connect(LedgerSettings(**{**ledger_settings.__dict__, "fsync_timeout_seconds": 0.05}))
    ledger.server.execute("CONFIG", "SET", "appendfsync", "no")
    try:
        ledger.submit(card())
        for job in (card(), card(card_id="new")):  # one known, but written through nobody's confirmed connection
            with pytest.raises(LedgerError, match="accepted, but not on disk"):
                ledger.submit(job, durable=True)
    finally:
        ledger.server.execute("CONFIG", "SET", "appendfsync", "everysec")
        ledger.close()
    patient = ledger_type.connect(ledger_settings)  # a disk that others keep busy takes more than that
    assert patient.submit(card(card_id="new"), durable=True).durable is True
    patient.close()


def test_doorbells_are_capped(ledger_settings: LedgerSettings, ledger: Ledger) -> None:
    ledger.submit_many([CheckHealth(nonce=str(number)) for number in range(ledger_settings.max_doorbells + 50)])
    assert (
        ledger.server.execute("LLEN", f"{ledger_settings.namespace}:doorbell:predict") == ledger_settings.max_doorbells
    )


def test_a_job_stays_queued_under_its_deadline(ledger: Ledger) -> None:
    deadline = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    status = ledger.status(ledger.submit(CheckHealth(deadline=deadline)).job_id)
    assert (status.state, status.attempt, status.deadline) == (JobState.QUEUED, 0, deadline)
