from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.admission import RETRY_SECONDS_MAX
from ledger.book import Ledger, LedgerSettings
from ledger.embedded import EmbeddedServer
from ledger.failures import Failure, FailureCode, JobRefused
from ledger.jobs import CheckHealth, Fight, Fighter, Job, PredictCard, Quote, TrainEnsemble
from ledger.outcomes import State
from ledger.reports import HealthReport

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)


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
        opened._call("CONFIG", "SET", "maxmemory", 8_000_000, "maxmemory-policy", "noeviction")
        yield opened
        opened.close()


def refusal(ledger: Ledger, *jobs: Job) -> Failure:
    with pytest.raises(JobRefused) as caught:
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
    assert failure.details == {"retry_after_seconds": RETRY_SECONDS_MAX, "waiting": 3}
    assert [narrow.submit(health(number)).job_id for number in range(3)] == [receipt.job_id for receipt in known]
    assert narrow.submit(TrainEnsemble(data="d")).created, "another queue has room"
    (claim,) = narrow.claim("predict", "n#1/1")
    assert narrow.submit(health(3)).created, "a job that runs waits no more"
    assert narrow.release(claim), "and what was accepted comes back, room or not"
    assert narrow.queue_depths()["predict"] == 4


def test_the_pace_of_the_workers_says_when_to_ask_again(narrow: Ledger) -> None:
    for number in range(3):
        narrow.submit(health(number))
        narrow.settle(narrow.claim("predict", "n#1/1")[0], REPORT)
    narrow.submit_many([health(number) for number in range(3, 6)])
    assert refusal(narrow, health(9)).details["retry_after_seconds"] < RETRY_SECONDS_MAX


def test_many_are_refused_together_and_the_same_one_twice_counts_once(narrow: Ledger) -> None:
    assert "fewer at once" in refusal(narrow, *map(health, range(4))).message
    assert narrow.queue_depths()["predict"] == 0
    assert len(narrow.submit_many([health(0), health(1), health(1), health(2), health(2)])) == 5


def test_a_server_at_the_mark_refuses_what_is_new_before_it_is_full(small: Ledger) -> None:
    accepted = small.submit(health(0))
    most_bytes = int(small._call("INFO", "memory")["used_memory"] / 0.9)
    small._call("CONFIG", "SET", "maxmemory", most_bytes)
    failure = refusal(small, health(1))
    assert (failure.code, failure.retryable) == (FailureCode.MEMORY_LIMIT_EXCEEDED, True)
    assert most_bytes > failure.details["used_bytes"] >= failure.details["limit_bytes"] == int(0.8 * most_bytes)
    assert small.submit(health(0)) == replace(accepted, created=False)
    small._call("CONFIG", "SET", "maxmemory", 8_000_000)
    assert small.submit(health(1)).created


def test_a_full_server_refuses_new_jobs_and_lets_accepted_ones_end(small: Ledger, until: Callable[..., None]) -> None:
    names = "abcdefg"
    for name in names:
        small.submit(CheckHealth(nonce=name), key=name)
    running = {claim.job_id: claim for claim in small.claim("predict", "n#1/1", 3)}
    mark_only = Ledger.connect(LedgerSettings(**{**small.settings.__dict__, "max_memory_fraction": 100.0}))
    small._call("CONFIG", "SET", "maxmemory", 1_000_000)
    for ledger, said in ((small, "MAX_MEMORY_FRACTION"), (mark_only, "out of memory")):
        failure = refusal(ledger, health(1))
        assert (failure.code, failure.retryable) == (FailureCode.MEMORY_LIMIT_EXCEEDED, True)
        assert failure.details["retry_after_seconds"] == RETRY_SECONDS_MAX
        assert said in failure.message
    assert mark_only.submit(CheckHealth(nonce="a"), key="a").created is False
    assert small.renew((claim.job_id, claim.fence) for claim in running.values()) == set()
    assert small.set_controls({"bootstrap": False}, who="ann", why="relief")  # when it is needed most
    assert small.settle(running["a"], REPORT)
    assert small.release(running["b"])
    assert small.lose("c", running["c"].fence) is State.QUEUED
    assert small.cancel("d").state is State.CANCELLED
    small.reap()
    while claims := small.claim("predict", "n#1/2", 2):
        assert all(small.settle_many([(claim, REPORT) for claim in claims]))
    assert [small.status(name).state for name in names if name != "d"] == [State.SUCCEEDED] * 6
    mark_only.close()


def test_a_durable_submit_to_a_full_server_is_refused_alike(small: Ledger) -> None:
    settings = LedgerSettings(**{**small.settings.__dict__, "max_memory_fraction": 100.0})
    small._call("CONFIG", "SET", "maxmemory", 1_000_000)
    ledger = Ledger.connect(settings)
    with pytest.raises(JobRefused, match="out of memory"):
        ledger.submit(CheckHealth(), durable=True)
    ledger.close()


def test_old_prices_are_refused_by_the_clock_of_the_server(ledger: Ledger) -> None:
    now_seconds = ledger.server_time()
    failure = refusal(ledger, card(timedelta(minutes=2), now_seconds, max_quote_age_seconds=60.0))
    assert failure.code is FailureCode.STALE_ODDS
    assert (failure.details["fight"], failure.details["bookmaker"]) == ("main event", "Acme")
    assert 119 < failure.details["age_seconds"] < 150
    assert ledger.queue_depths()["predict"] == 0
    for limit_seconds in (None, 180.0):
        assert ledger.submit(card(timedelta(minutes=2), now_seconds, max_quote_age_seconds=limit_seconds)).created


def test_a_card_that_was_fresh_when_accepted_is_known_when_it_is_not(
    ledger: Ledger, until: Callable[..., None]
) -> None:
    job = card(timedelta(0), ledger.server_time(), max_quote_age_seconds=0.2)
    job_id = ledger.submit(job).job_id
    until(lambda: ledger.server_time() > job.fights[0].quotes[0].as_of.timestamp() + 0.3)  # type: ignore[union-attr]
    assert ledger.submit(job).job_id == job_id
