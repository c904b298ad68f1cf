from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.compression.stored_values import PLAIN_FORMAT
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, Job, PredictCard, Quote, TrainEnsemble, TrainPart
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.jobs.backpressure import MAX_RETRY_SECONDS
from ledger.jobs.job_entries import MAX_BYTES_PER_STEP, MAX_JOBS_PER_STEP, enter, steps_of
from ledger.jobs.submission import MAX_URGENT_CHECKS
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.verification import MODEL_CHECKS
from ledger.server.embedded_server import EmbeddedServer

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)
SOUND = HealthReport(
    status="healthy",
    checks=tuple(HealthCheck(name=name, passed=True, detail="") for name in MODEL_CHECKS),
    memory_mb=1.0,
)


@pytest.fixture
def narrow(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    """A ledger in whose queues three jobs may wait."""
    opened = Ledger.connect(LedgerSettings(**{**ledger_settings.__dict__, "max_queue_length": 3}))
    yield opened
    opened.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on a server of its own, with 8 MB for it."""
    with EmbeddedServer(tmp_path) as server:
        opened = Ledger.connect(LedgerSettings(redis_url=server.url))
        opened.server.execute("CONFIG", "SET", "maxmemory", 8_000_000, "maxmemory-policy", "noeviction")
        yield opened
        opened.close()


def refusal(ledger: Ledger, *jobs: Job) -> Failure:
    with pytest.raises(JobRefusedError) as caught:
        ledger.submit_many(jobs)
    return caught.value.failure


def health(number: int) -> CheckHealth:
    return CheckHealth(nonce=str(number))


def card(age: timedelta, now_seconds: float, **fields: object) -> PredictCard:
    read = datetime.fromtimestamp(now_seconds, UTC) - age
    quotes = (Quote(bookmaker="Acme", prices={"Ana": 2.0, "Bea": 2.0}, as_of=read),)
    fight = Fight(id="main event", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=quotes)
    job = PredictCard(card_id="c", event_start=datetime(2099, 1, 1, tzinfo=UTC), fights=(fight,))
    return replace(job, **fields)


def test_a_long_queue_refuses_what_is_new_and_answers_what_is_known(narrow: Ledger) -> None:
    known = narrow.submit_many([health(number) for number in range(3)])
    failure = refusal(narrow, health(3))
    assert (failure.code, failure.retryable) == (FailureCode.MEMORY_LIMIT_EXCEEDED, True)
    assert failure.details == {"retry_after_seconds": MAX_RETRY_SECONDS, "waiting": 3}
    assert [narrow.submit(health(number)).job_id for number in range(3)] == [receipt.job_id for receipt in known]
    assert narrow.submit(TrainEnsemble(data="d")).created, "another queue has room"
    (claim,) = narrow.claim("predict", "n#1/1")
    assert narrow.submit(health(3)).created, "a job that runs waits no more"
    assert narrow.release(claim), "and what was accepted comes back, room or not"
    assert narrow.queue_stats.depths()["predict"] == 4


def test_the_pace_of_the_workers_says_when_to_ask_again(narrow: Ledger) -> None:
    for number in range(3):
        narrow.submit(health(number))
        narrow.settle(narrow.claim("predict", "n#1/1")[0], REPORT)
    narrow.submit_many([health(number) for number in range(3, 6)])
    assert refusal(narrow, health(9)).details["retry_after_seconds"] < MAX_RETRY_SECONDS


def test_many_are_refused_together_and_the_same_one_twice_counts_once(narrow: Ledger) -> None:
    assert "fewer at once" in refusal(narrow, *map(health, range(4))).message
    assert narrow.queue_stats.depths()["predict"] == 0
    assert len(narrow.submit_many([health(0), health(1), health(1), health(2), health(2)])) == 5


def test_a_server_at_the_mark_refuses_what_is_new_before_it_is_full(small: Ledger) -> None:
    accepted = small.submit(health(0))
    most_bytes = int(small.server.execute("INFO", "memory")["used_memory"] / 0.9)
    small.server.execute("CONFIG", "SET", "maxmemory", most_bytes)
    failure = refusal(small, health(1))
    assert (failure.code, failure.retryable) == (FailureCode.MEMORY_LIMIT_EXCEEDED, True)
    assert most_bytes > failure.details["used_bytes"] >= failure.details["limit_bytes"] == int(0.8 * most_bytes)
    assert small.submit(health(0)) == replace(accepted, created=False)
    small.server.execute("CONFIG", "SET", "maxmemory", 8_000_000)
    assert small.submit(health(1)).created


def verified_by_a_worker(ledger: Ledger, other: Ledger, digest: str) -> bool:
    """Verify a model while a worker answers whatever it is given first."""

    waiting = ledger.queue_stats.depths()["predict"]

    def work() -> None:
        while other.queue_stats.depths()["predict"] == waiting:
            pass
        while not (claims := other.claim("predict", "n#1/1")):
            pass
        assert other.settle(claims[0], SOUND)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        ledger.verification.verify_model(digest, 20.0)
        working.result()
    return True


def test_a_proof_goes_through_beside_a_pool_of_an_earlier_version(
    ledger: Ledger, ledger_settings: LedgerSettings
) -> None:
    other = Ledger.connect(ledger_settings)

    def work() -> None:
        end = other.server.time() + 10
        while not (places := other.server.execute("ZRANGEBYSCORE", other.server.key("queue", "predict"), 0, 0)):
            assert other.server.time() < end
        other.server.execute("HSET", other.server.key("job", places[0].decode()[17:]), "deadline", 1)
        assert other.reap().expired == 1, "as such a pool does with all that is before now"
        while not (claims := other.claim("predict", "n#1/1")):
            assert other.server.time() < end, "nobody asks again"
        assert other.settle(claims[0], SOUND)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        ledger.verification.verify_model("a" * 64, 20.0)
        working.result()
    other.close()


def named(ledger: Ledger) -> tuple[str, str]:
    digests = "a" * 64, "b" * 64
    for digest in digests:
        ledger.models.register(digest, {})
        ledger.aliases.set("champion", digest, user="ann", reason="a test")
    return digests


def test_a_rollback_goes_through_while_the_queue_is_full(narrow: Ledger, ledger: Ledger) -> None:
    first, _ = named(narrow)
    soon = datetime.fromtimestamp(narrow.server.time() + 10, UTC)
    for number in range(3):
        narrow.submit(CheckHealth(nonce=str(number), deadline=soon))
    assert refusal(narrow, health(9)).details["waiting"] == 3
    change = narrow.aliases.roll_back(
        "champion",
        verify=lambda digest: verified_by_a_worker(narrow, ledger, digest) and None,
        user="ann",
        reason="wrong",
    )
    assert change.after == narrow.aliases.resolve("champion") == first
    assert narrow.queue_stats.depths()["predict"] == 3, "the verification went before all that waited"


@pytest.mark.parametrize("fraction", [0.9, 1.2])
def test_a_rollback_goes_through_on_a_server_above_its_mark_and_on_a_full_one(small: Ledger, fraction: float) -> None:
    first, _ = named(small)
    small.submit(health(0))
    small.cancel(small.submit(health(0)).job_id)
    small.server.execute(
        "CONFIG", "SET", "maxmemory", int(small.server.execute("INFO", "memory")["used_memory"] / fraction)
    )
    assert refusal(small, health(1)).code is FailureCode.MEMORY_LIMIT_EXCEEDED
    other = Ledger.connect(small.settings)
    change = small.aliases.roll_back(
        "champion",
        verify=lambda digest: verified_by_a_worker(small, other, digest) and None,
        user="ann",
        reason="wrong",
    )
    assert change.after == first
    other.close()


def test_verifications_fill_no_queue_without_a_bound(narrow: Ledger) -> None:
    deadline = datetime(2099, 1, 1, tzinfo=UTC)
    for number in range(3 + MAX_URGENT_CHECKS):
        narrow.submission.submit_urgent(CheckHealth(nonce=str(number), deadline=deadline))
    with pytest.raises(JobRefusedError, match="wait already"):
        narrow.submission.submit_urgent(CheckHealth(nonce="one more", deadline=deadline))


def part(number: int) -> TrainPart:
    sizes = {"fights": 1, "columns": 1, "max_training_time_seconds": 1.0, "max_memory_mb": 1.0}
    return TrainPart(of="whole", prepared="0" * 64, name=f"fold-{number}", **sizes)


def test_parts_of_what_was_accepted_pass_a_full_queue_and_the_mark(narrow: Ledger, small: Ledger) -> None:
    narrow.submit_many([TrainEnsemble(data=str(number)) for number in range(3)])
    receipts = narrow.submission.submit_parts([part(0), part(1)])
    assert [receipt.created for receipt in receipts] == [True, True]
    small.submit(health(0))
    small.server.execute("CONFIG", "SET", "maxmemory", int(small.server.execute("INFO", "memory")["used_memory"] / 0.9))
    assert refusal(small, health(1)).code is FailureCode.MEMORY_LIMIT_EXCEEDED
    assert small.submission.submit_parts([part(0)])[0].created
    small.server.execute("CONFIG", "SET", "maxmemory", 1_000_000)
    with pytest.raises(JobRefusedError, match="out of memory"):
        small.submission.submit_parts([part(1)])


def scripts_run(ledger: Ledger) -> int:
    return int(ledger.server.execute("INFO", "commandstats")["cmdstat_evalsha"]["calls"])


def test_many_jobs_are_accepted_in_steps_and_in_their_order(ledger: Ledger) -> None:
    ledger.submit(health(7))
    numbers = [*range(2 * MAX_JOBS_PER_STEP + 1), 8, 7]
    before = scripts_run(ledger)
    receipts = ledger.submit_many([health(number) for number in numbers], correlation_id="together")
    assert scripts_run(ledger) - before == 6, "a look and a step for each thousand"
    assert [receipt.job_id for receipt in receipts] == [
        ledger.submit(health(number)).job_id if number in (7, 8) else receipt.job_id
        for number, receipt in zip(numbers, receipts, strict=True)
    ]
    assert [number for number, receipt in zip(numbers, receipts, strict=True) if not receipt.created] == [7, 8, 7]
    claimed = [claim for at in range(3) for claim in ledger.claim("predict", f"n#1/{at}", MAX_JOBS_PER_STEP)]
    order = [receipt.job_id for receipt in receipts[: 2 * MAX_JOBS_PER_STEP + 1] if receipt.created]
    assert [claim.job_id for claim in claimed] == [ledger.submit(health(7)).job_id, *order]
    assert {claim.correlation_id for claim in claimed[1:]} == {"together"}


def test_large_jobs_are_cut_by_their_size(ledger: Ledger) -> None:
    jobs = [TrainEnsemble(data=f"{number}" + "x" * 4000) for number in range(5)]
    pieces = list(steps_of(enter(job, None, PLAIN_FORMAT) for job in jobs))
    assert [len(piece) for piece in pieces] == [5]
    half = MAX_BYTES_PER_STEP // 2
    assert [len(piece) for piece in steps_of(_Sized(half, half) for _ in range(5))] == [2, 2, 1]  # type: ignore[misc]
    # Compressed, their JSON has a limit of its own.
    assert [len(piece) for piece in steps_of(_Sized(1, half) for _ in range(5))] == [5]  # type: ignore[misc]
    assert [len(piece) for piece in steps_of(_Sized(1, half) for _ in range(10))] == [8, 2]  # type: ignore[misc]


class _Sized:
    def __init__(self, stored_bytes: int, json_bytes: int) -> None:
        self.stored = b"x" * stored_bytes
        self.json_bytes = json_bytes


def test_of_many_jobs_nothing_is_written_where_one_would_be_refused(
    ledger: Ledger, ledger_settings: LedgerSettings
) -> None:
    most = MAX_JOBS_PER_STEP + 5
    bounded = Ledger.connect(LedgerSettings(**{**ledger_settings.__dict__, "max_queue_length": most}))
    bounded.submit(health(0), key="last")
    jobs = [health(number) for number in range(most)]
    with pytest.raises(JobRefusedError, match="names a job with other content"):
        bounded.submit_many(jobs, keys=[None] * (most - 1) + ["last"])
    late = CheckHealth(deadline=datetime(2000, 1, 1, tzinfo=UTC))
    with pytest.raises(JobRefusedError, match="deadline"):
        bounded.submit_many([*jobs[:-1], late])
    with pytest.raises(JobRefusedError, match="1 jobs wait already"):
        bounded.submit_many(jobs)
    assert bounded.queue_stats.depths()["predict"] == 1
    assert "accepted" not in refusal(bounded, *jobs).details
    assert all(receipt.created for receipt in bounded.submit_many(jobs[1:]))
    bounded.close()


def test_a_refusal_halfway_says_how_many_were_accepted(
    ledger: Ledger, ledger_settings: LedgerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = MAX_JOBS_PER_STEP + 5
    bounded = Ledger.connect(LedgerSettings(**{**ledger_settings.__dict__, "max_queue_length": most}))
    exchanges = bounded.submission._exchanges
    check_all = exchanges._check_all

    def overtaken(*arguments: Any) -> Any:  # between check and first step, another caller fills some of the queue
        yield from check_all(*arguments)
        ledger.submit_many([CheckHealth(nonce=f"other {number}") for number in range(3)])

    monkeypatch.setattr(exchanges, "_check_all", overtaken)
    failure = refusal(bounded, *map(health, range(most)))
    assert failure.message.startswith("1,000 of 1,005 jobs were accepted before one was refused: 1,003 jobs wait")
    assert (failure.details["accepted"], failure.retryable) == (MAX_JOBS_PER_STEP, True)
    monkeypatch.undo()
    ledger.claim("predict", "n#1/1", 5)
    again = bounded.submit_many([health(number) for number in range(most)])
    assert [receipt.created for receipt in again] == [False] * MAX_JOBS_PER_STEP + [True] * 5
    bounded.close()


def test_a_full_server_refuses_new_jobs_and_lets_accepted_ones_end(small: Ledger, until: Callable[..., None]) -> None:
    names = "abcdefg"
    for name in names:
        small.submit(CheckHealth(nonce=name), key=name)
    running = {claim.job_id: claim for claim in small.claim("predict", "n#1/1", 3)}
    mark_only = Ledger.connect(LedgerSettings(**{**small.settings.__dict__, "max_memory_fraction": 100.0}))
    small.server.execute("CONFIG", "SET", "maxmemory", 1_000_000)
    for ledger, said in ((small, "MAX_MEMORY_FRACTION"), (mark_only, "out of memory")):
        failure = refusal(ledger, health(1))
        assert (failure.code, failure.retryable) == (FailureCode.MEMORY_LIMIT_EXCEEDED, True)
        assert failure.details["retry_after_seconds"] == MAX_RETRY_SECONDS
        assert said in failure.message
    assert mark_only.submit(CheckHealth(nonce="a"), key="a").created is False
    assert small.renew((claim.job_id, claim.fence) for claim in running.values()) == set()
    assert small.controls.set({"bootstrap": False}, user="ann", reason="relief")  # when it is needed most
    assert small.settle(running["a"], REPORT)
    assert small.release(running["b"])
    assert small.report_worker_lost("c", running["c"].fence) is JobState.QUEUED
    assert small.cancel("d").state is JobState.CANCELLED
    small.reap()
    while claims := small.claim("predict", "n#1/2", 2):
        assert all(small.settle_many([(claim, REPORT) for claim in claims]))
    assert [small.status(name).state for name in names if name != "d"] == [JobState.SUCCEEDED] * 6
    mark_only.close()


@contextmanager
def synced_at_once(ledger: Ledger, **settings: Any) -> Iterator[Ledger]:
    """Yield the same ledger with a file that is synced at each write, so that a durable submit need not wait."""
    ledger.server.execute("CONFIG", "SET", "appendfsync", "always")
    opened = Ledger.connect(LedgerSettings(**{**ledger.settings.__dict__, "appendfsync": "always", **settings}))
    yield opened
    opened.close()


def test_a_durable_submit_to_a_full_server_is_refused_alike(small: Ledger) -> None:
    small.server.execute("CONFIG", "SET", "maxmemory", 1_000_000)
    with (
        synced_at_once(small, max_memory_fraction=100.0) as ledger,
        pytest.raises(JobRefusedError, match="out of memory"),
    ):
        ledger.submit(CheckHealth(), durable=True)


def test_a_durable_submit_of_what_is_known_is_answered_by_a_full_server(small: Ledger) -> None:
    small.server.execute("CONFIG", "SET", "appendonly", "yes")
    with synced_at_once(small) as ledger:
        assert ledger.submit(CheckHealth(), durable=True).created
        small.server.execute("CONFIG", "SET", "maxmemory", 1_000_000)
        receipt = ledger.submit(CheckHealth(), durable=True)
    assert (receipt.created, receipt.durable) == (False, True)
    assert refusal(small, health(1)).code is FailureCode.MEMORY_LIMIT_EXCEEDED


def test_old_prices_are_refused_by_the_clock_of_the_server(ledger: Ledger) -> None:
    now_seconds = ledger.server.time()
    failure = refusal(ledger, card(timedelta(minutes=2), now_seconds, max_quote_age_seconds=60.0))
    assert failure.code is FailureCode.STALE_ODDS
    assert (failure.details["fight"], failure.details["bookmaker"]) == ("main event", "Acme")
    assert 119 < failure.details["age_seconds"] < 150
    assert ledger.queue_stats.depths()["predict"] == 0
    for limit_seconds in (None, 180.0):
        assert ledger.submit(card(timedelta(minutes=2), now_seconds, max_quote_age_seconds=limit_seconds)).created


def test_a_card_that_was_fresh_when_accepted_is_known_when_it_is_not(
    ledger: Ledger, until: Callable[..., None]
) -> None:
    job = card(timedelta(0), ledger.server.time(), max_quote_age_seconds=0.2)
    job_id = ledger.submit(job).job_id
    until(lambda: ledger.server.time() > job.fights[0].quotes[0].as_of.timestamp() + 0.3)  # type: ignore[union-attr]
    assert ledger.submit(job).job_id == job_id
