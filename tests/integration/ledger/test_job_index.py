"""Lists of jobs: by state, kind, card and time, page by page, and their index against the records."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard, Quote, ShadowCard, TrainEnsemble
from ledger.jobs.job_index import JobQuery
from ledger.ledger import JobPage, Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from tests.support.claims import FAILURE, REPORT, claim_one, submit
from tests.support.job_index import check_index, indexed

START = datetime(2099, 1, 1, tzinfo=UTC)


def card(card_id: str, price: float = 2.0) -> PredictCard:
    quote = Quote(bookmaker="b", prices={"Ana": price, "Bea": 1.8})
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=(quote,))
    return PredictCard(card_id=card_id, event_start=START, fights=(fight,))


def ids(page: JobPage) -> list[str]:
    return [job.job_id for job in page.jobs]


def all_ids(ledger: Ledger, query: JobQuery | None = None, limit: int = 2) -> list[str]:
    """Page through a query, and return the ids."""
    found: list[str] = []
    cursor = None
    while True:
        page = ledger.job_index.page(query, limit=limit, cursor=cursor)
        assert len(page.jobs) <= limit
        found += ids(page)
        if (cursor := page.cursor) is None:
            return found


def submit_in_turn(ledger: Ledger, *names: str) -> None:
    """Submit jobs, each in a millisecond of its own."""
    for name in names:
        submit(ledger, name)
        time.sleep(0.002)


def test_a_summary_says_what_became_of_a_job(ledger: Ledger) -> None:
    submit_in_turn(ledger, "answered", "broken", "at work", "waits")
    ledger.settle(claim_one(ledger, "n#1/1"), REPORT)
    ledger.settle(claim_one(ledger, "n#1/1"), FAILURE)
    claim_one(ledger, "n#1/2")
    ledger.submit(card("ufc-300"), key="card", correlation_id="order 7")
    jobs = {job.job_id: job for job in ledger.job_index.page().jobs}
    states = [jobs[name].state for name in ("answered", "broken", "at work", "waits", "card")]
    assert states == [JobState.SUCCEEDED, JobState.FAILED, JobState.RUNNING, JobState.QUEUED, JobState.QUEUED]
    assert [job.failure_code for job in jobs.values() if job.failure_code] == [FAILURE.code]
    assert jobs["broken"].settled_at is not None
    assert jobs["broken"].settled_at >= jobs["broken"].submitted_at
    assert (jobs["at work"].attempt, jobs["at work"].queue, jobs["at work"].kind) == (1, "predict", "check_health")
    assert (jobs["card"].card_id, jobs["card"].correlation_id) == ("ufc-300", "order 7")
    assert jobs["card"].deadline == START
    assert jobs["waits"].settled_at is jobs["waits"].deadline is jobs["waits"].card_id is None
    for name, job in jobs.items():
        status = ledger.status(name)
        assert (job.submitted_at, job.kind, job.attempt) == (status.submitted_at, status.kind, status.attempt)


def test_jobs_come_newest_first_and_each_once(ledger: Ledger) -> None:
    names = [f"job {number}" for number in range(7)]
    submit_in_turn(ledger, *names)
    for limit in (1, 2, 3, 7, 100):
        assert all_ids(ledger, limit=limit) == names[::-1]
    assert ids(ledger.job_index.page(limit=3)) == names[:3:-1]
    assert [job.job_id for job in ledger.job_index.jobs()] == names[::-1]


def test_jobs_of_one_millisecond_are_paged_too(ledger: Ledger) -> None:
    jobs = [CheckHealth(nonce=str(number)) for number in range(500)]
    receipts = ledger.submit_many(jobs)
    for limit in (1, 7, 64, 499, 500):
        found = all_ids(ledger, limit=limit)
        assert sorted(found) == sorted(receipt.job_id for receipt in receipts)
        assert found == sorted(found, key=lambda job_id: (ledger.status(job_id).submitted_at, job_id), reverse=True)


def test_jobs_by_state(ledger: Ledger) -> None:
    submit_in_turn(ledger, *"abcdef")
    ledger.settle(claim_one(ledger, "n#1/1"), REPORT)
    ledger.settle(claim_one(ledger, "n#1/1"), FAILURE)
    ledger.cancel("c")
    claim_one(ledger, "n#1/2")
    expected = {
        JobState.SUCCEEDED: ["a"],
        JobState.FAILED: ["b"],
        JobState.CANCELLED: ["c"],
        JobState.RUNNING: ["d"],
        JobState.QUEUED: ["f", "e"],
        JobState.EXPIRED: [],
    }
    for state, names in expected.items():
        assert all_ids(ledger, JobQuery(states=(state,)), limit=1) == names
    assert all_ids(ledger, JobQuery(states=(JobState.QUEUED, JobState.FAILED))) == ["f", "e", "b"]


def test_running_jobs_are_found_among_many_that_wait(ledger: Ledger) -> None:
    submit_in_turn(ledger, "first", "second")
    for _ in range(3):
        ledger.submit_many([CheckHealth(nonce=uuid.uuid4().hex) for _ in range(1_000)])
    claims = ledger.claim("predict", "n#1/1", limit=2)
    assert [claim.job_id for claim in claims] == ["first", "second"]
    page = ledger.job_index.page(JobQuery(states=(JobState.RUNNING,)), limit=1)
    assert ids(page) == ["second"]
    assert ids(ledger.job_index.page(JobQuery(states=(JobState.RUNNING,)), limit=1, cursor=page.cursor)) == ["first"]


def test_a_page_without_matches_continues(ledger: Ledger) -> None:
    """The work of a call has a limit: a rare match among many jobs takes several calls."""
    ledger.submit(card("rare", 2.5), key="rare")
    for _ in range(3):
        ledger.submit_many(
            [card("rare", 2 + number / 1e4) for number in range(700)], keys=[uuid.uuid4().hex for _ in range(700)]
        )
    ledger.cancel("rare")
    submit(ledger, "other")
    ledger.cancel("other")
    assert all_ids(ledger, JobQuery(card_id="rare", states=(JobState.CANCELLED,))) == ["rare"]
    page = ledger.job_index.page(JobQuery(card_id="none", states=(JobState.CANCELLED,)))
    assert page == JobPage(jobs=[])


def test_jobs_by_kind_and_internal_ones_only_if_asked_for(ledger: Ledger) -> None:
    ledger.submit(card("c1"), key="card")
    ledger.submit(TrainEnsemble(data="d"), key="training")
    submit(ledger, "check")
    ledger.submission.submit_shadows([ShadowCard(card="card")])
    assert set(all_ids(ledger)) == {"card", "training", "check"}
    assert all_ids(ledger, JobQuery(kinds=("predict_card",))) == ["card"]
    assert set(all_ids(ledger, JobQuery(kinds=("train_ensemble", "check_health")))) == {"training", "check"}
    assert len(all_ids(ledger, JobQuery(internal=True))) == 4
    assert len(all_ids(ledger, JobQuery(kinds=("shadow_card",)))) == 1
    check_index(ledger)


def test_jobs_of_a_card(ledger: Ledger) -> None:
    for number in range(5):
        for name in ("one", "other"):
            ledger.submit(card(name, 2 + number / 10), key=f"{name} {number}")
            time.sleep(0.002)
    assert all_ids(ledger, JobQuery(card_id="one")) == [f"one {number}" for number in range(4, -1, -1)]
    ledger.cancel("one 3")
    assert all_ids(ledger, JobQuery(card_id="one", states=(JobState.CANCELLED,))) == ["one 3"]
    assert all_ids(ledger, JobQuery(card_id="one", kinds=("check_health",))) == []
    assert all_ids(ledger, JobQuery(card_id="unknown")) == []


def test_jobs_of_a_caller(ledger: Ledger) -> None:
    for number in range(3):
        for caller in ("books", "bets", None):
            ledger.submit(card("c1", 2 + number / 10), key=f"{number} of {caller}", caller=caller)
            time.sleep(0.002)
    ledger.cancel("1 of books")
    assert all_ids(ledger, JobQuery(caller="books")) == ["2 of books", "1 of books", "0 of books"]
    assert all_ids(ledger, JobQuery(caller="books", states=(JobState.CANCELLED,))) == ["1 of books"]
    assert all_ids(ledger, JobQuery(caller="bets", states=(JobState.CANCELLED,))) == []
    assert {job.caller for job in ledger.job_index.jobs(JobQuery(card_id="c1"))} == {"books", "bets", None}
    assert ledger.job_histories.get("0 of books").events[0].caller == "books"
    check_index(ledger)


def test_jobs_by_time(ledger: Ledger) -> None:
    names = [f"job {number}" for number in range(6)]
    submit_in_turn(ledger, *names)
    times = [ledger.status(name).submitted_at or START for name in names]
    for first, last in itertools.combinations(range(6), 2):
        query = JobQuery(since=times[first], until=times[last])
        assert all_ids(ledger, query) == names[first:last][::-1]
        assert all_ids(ledger, JobQuery(since=times[first], until=times[last], kinds=("check_health",))) == all_ids(
            ledger, query
        )
    after = JobQuery(since=times[-1] + timedelta(milliseconds=1))
    assert ids(ledger.job_index.page(after)) == []


def test_jobs_that_come_and_end_between_pages_neither_repeat_nor_hide_others(ledger: Ledger) -> None:
    names = [f"job {number}" for number in range(40)]
    submit_in_turn(ledger, *names)
    found: list[str] = []
    cursor = None
    for step in itertools.count():
        page = ledger.job_index.page(limit=3, cursor=cursor)
        found += ids(page)
        submit(ledger, f"newer {step}")
        ledger.settle(claim_one(ledger, "n#1/1"), REPORT if step % 2 else FAILURE)
        if (cursor := page.cursor) is None:
            break
    assert found == names[::-1]
    check_index(ledger)


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        (JobQuery(states=(JobState.UNKNOWN,)), "no job is listed as unknown"),
        (JobQuery(kinds=("dance",)), "'dance' is no kind of job"),
        (JobQuery(since=datetime(2026, 1, 1)), "no time zone"),
    ],
)
def test_what_cannot_be_asked_is_refused(ledger: Ledger, query: JobQuery, wrong: str) -> None:
    with pytest.raises(JobRefusedError, match=wrong) as refused:
        ledger.job_index.page(query)
    assert refused.value.failure.code is FailureCode.INVALID_INPUT


@pytest.mark.parametrize("cursor", ["", "x", "-", "12", "12-", "-a", "1e3-a", "9" * 16 + "-a"])
def test_a_cursor_that_is_none_is_refused(ledger: Ledger, cursor: str) -> None:
    with pytest.raises(JobRefusedError, match="is no cursor"):
        ledger.job_index.page(cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_limit_that_is_none_is_refused(ledger: Ledger, limit: int) -> None:
    with pytest.raises(JobRefusedError, match="limit of a page"):
        ledger.job_index.page(limit=limit)


def test_ids_of_any_characters_are_paged(ledger: Ledger) -> None:
    names = ["Ä", "ä", "a-b", "1-2-3", "z", "Z", "~", "日本", "a", "aa"]
    ledger.submit_many([CheckHealth(nonce=name) for name in names], keys=names)
    assert sorted(all_ids(ledger, limit=1)) == sorted(names)
    assert all_ids(ledger, limit=1) == all_ids(ledger, limit=100)


@pytest.fixture
def forgetful(valkey: EmbeddedServer) -> Ledger:
    """A ledger that keeps its outcomes for a moment."""
    return Ledger.connect(
        LedgerSettings(
            redis_url=valkey.url, namespace=f"test-{uuid.uuid4().hex}", retention_seconds=0.2, tombstone_seconds=0.01
        )
    )


def sweep(ledger: Ledger) -> None:
    while ledger.job_index.sweep().unfinished:
        pass


def test_entries_go_with_their_records(forgetful: Ledger, until: Callable[..., None]) -> None:
    jobs = [card(f"c{number % 7}", 2 + number / 1e4) for number in range(2_500)]
    keys = [f"job {number}" for number in range(2_500)]
    forgetful.submit_many(jobs, keys=keys)
    submit(forgetful, "stays")
    for key in keys[5:]:
        forgetful.cancel(key)
    until(lambda: forgetful.status(keys[-1]).state is JobState.UNKNOWN)
    assert all_ids(forgetful, JobQuery(states=(JobState.CANCELLED,))) == [], "not listed, swept or not"

    def swept() -> bool:
        sweep(forgetful)
        return len(indexed(forgetful)) == 11

    until(swept)
    check_index(forgetful)
    assert set(all_ids(forgetful)) == {"stays", *keys[:5]}
    for key in [*keys[:5], "stays"]:
        forgetful.cancel(key)

    def empty() -> bool:
        sweep(forgetful)
        return not indexed(forgetful)

    until(empty)
    assert forgetful.server.execute("ZCARD", forgetful.server.key("index", "due")) == 0
    forgetful.close()


def test_an_id_that_is_used_again_is_listed_once(forgetful: Ledger, until: Callable[..., None]) -> None:
    submit(forgetful, "again")
    forgetful.cancel("again")
    until(lambda: forgetful.status("again").state is JobState.UNKNOWN)
    submit(forgetful, "again")
    assert all_ids(forgetful) == ["again"]
    assert all_ids(forgetful, JobQuery(states=(JobState.CANCELLED,))) == []

    def swept() -> bool:
        sweep(forgetful)
        return len(indexed(forgetful)) == 1

    until(swept)
    check_index(forgetful)
    forgetful.close()


def without_index(ledger: Ledger) -> None:
    """Leave what a version without an index leaves."""
    for key in ledger.server.client.scan_iter(ledger.server.key("index", "*")):
        ledger.server.execute("DEL", key)
    for key in ledger.server.client.scan_iter(ledger.server.key("job", "*")):
        ledger.server.execute("HDEL", key, "card")


def test_jobs_of_earlier_versions_are_found(ledger: Ledger) -> None:
    ledger.submit_many([card("c1", 2 + number / 1e4) for number in range(300)])
    submit_in_turn(ledger, *"abc")
    ledger.cancel("b")
    before = all_ids(ledger), all_ids(ledger, JobQuery(card_id="c1"))
    assert len(before[1]) == 300
    without_index(ledger)
    assert all_ids(ledger) == []
    sweep(ledger)
    assert (all_ids(ledger), all_ids(ledger, JobQuery(card_id="c1"))) == before
    check_index(ledger)


def test_what_an_earlier_version_settles_is_indexed_again(ledger: Ledger, ledger_settings: LedgerSettings) -> None:
    submit(ledger, "old")
    without_index(ledger)
    ledger.cancel("old")
    assert all_ids(ledger) == ["old"], "an end is an entry, even for a job without one"
    check_index(ledger)


def test_a_state_is_moved_that_an_earlier_version_changed(forgetful: Ledger, until: Callable[..., None]) -> None:
    submit(forgetful, "old")
    time.sleep(0.25)
    forgetful.server.execute("HSET", forgetful.server.key("job", "old"), "state", "cancelled")

    def swept() -> bool:
        sweep(forgetful)
        return all_ids(forgetful, JobQuery(states=(JobState.CANCELLED,))) == ["old"]

    until(swept)
    forgetful.close()


def test_a_page_is_json(ledger: Ledger) -> None:
    submit_in_turn(ledger, "a", "b")
    page = ledger.job_index.page(limit=1)
    assert msgspec.json.decode(msgspec.json.encode(page), type=JobPage) == page
    assert list(msgspec.to_builtins(page)["jobs"][0]) == ["job_id", "kind", "state", "queue", "attempt", "submitted_at"]
