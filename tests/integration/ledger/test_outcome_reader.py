from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner

from ledger.contracts.failures import (
    Failure,
    FailureCode,
    JobRefusedError,
    LedgerError,
    UnknownJobError,
    WaitTimeoutError,
)
from ledger.contracts.job_state import JobState, JobStatus, Outcome, Progress
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.jobs.outcome_records import UnreadableOutcomeError
from ledger.ledger import Claim, Ledger, LedgerSettings
from producer.cli.main import main
from producer.client import Client
from tests.support.loop_ledger import LoopLedger

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.5)


@pytest.fixture(params=[Ledger, LoopLedger])
def ledger_type(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def opened(ledger_settings: LedgerSettings, ledger_type: type[Ledger]) -> Iterator[Callable[..., Ledger]]:
    """Open the test's ledger with other settings."""
    ledgers: list[Ledger] = []

    def connect(**fields: Any) -> Ledger:
        ledgers.append(ledger_type.connect(LedgerSettings(**{**ledger_settings.__dict__, **fields})))
        return ledgers[-1]

    yield connect
    for ledger in ledgers:
        ledger.close()


def submit(ledger: Ledger, name: str = "job") -> str:
    return ledger.submit(CheckHealth(nonce=name), key=name).job_id


def claim_one(ledger: Ledger) -> Claim:
    (claim,) = ledger.claim("predict", "n#1/1")
    return claim


def finish(ledger: Ledger, name: str) -> None:
    submit(ledger, name)
    assert ledger.settle(claim_one(ledger), REPORT)


def waiters(ledger: Ledger, job_id: str) -> int:
    channel = f"{ledger.settings.namespace}:news:0:{job_id}"
    return int(ledger.server.execute("PUBSUB", "NUMSUB", channel)[1])


def test_wait_returns_an_outcome_that_was_there_before(ledger: Ledger) -> None:
    finish(ledger, "job")
    assert ledger.wait("job", 0).report == REPORT


def settle_otherwise(ledger: Ledger, said: str, instead: str) -> None:
    """Change what the script does with which this ledger settles."""
    spoken = ledger.server.scripts["settle"].script
    assert said in spoken
    ledger.server.scripts["settle"] = ledger.server.client.register_script(spoken.replace(said, instead))


def settled_while(waiter: Ledger, settler: Ledger, until: Callable[..., None]) -> Outcome:
    """Settle a job that is being waited for, and return what came of the waiting."""
    job_id = submit(settler)
    claim = claim_one(settler)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.wait, job_id, 30)
        until(lambda: waiters(settler, job_id) == 1)
        assert settler.settle(claim, REPORT)
        return waiting.result()


def test_wait_wakes_on_the_hint(opened: Callable[..., Ledger], until: Callable[..., None]) -> None:
    ledger = opened(poll_fallback_seconds=3600.0)  # a read on the slow interval cannot be what wakes it
    assert settled_while(ledger, ledger, until).report == REPORT


@pytest.mark.parametrize("ledger_type", [Ledger], indirect=True)  # the asyncio ledger ends it at once
def test_the_next_wait_ends_what_the_last_one_subscribed_to(ledger: Ledger) -> None:
    for name in ("one", "two"):
        submit(ledger, name)
    with pytest.raises(WaitTimeoutError):
        ledger.wait("one", 0.01)
    for _ in ("one", "two"):  # what the first is told now, nobody waits for
        assert ledger.settle(claim_one(ledger), REPORT)
    assert ledger.wait("two", 5).job_id == "two"
    assert [waiters(ledger, name) for name in ("one", "two")] == [0, 1]
    assert ledger.wait("one", 5).job_id == "one"


def test_wait_is_told_the_outcome_itself(opened: Callable[..., Ledger], until: Callable[..., None]) -> None:
    ledger = opened(poll_fallback_seconds=3600.0)
    record = f"{ledger.settings.namespace}:job:job"
    # Gone before anybody could read it: only what was published can be what comes back.
    settle_otherwise(ledger, "return answer", f"redis.call('DEL', '{record}')\nreturn answer")
    outcome = settled_while(ledger, ledger, until)
    assert (outcome.report, outcome.attempt) == (REPORT, 1)


def test_wait_reads_where_it_is_told_only_that_there_is_an_outcome(
    opened: Callable[..., Ledger], until: Callable[..., None]
) -> None:
    """As at a replica, whose subscribers the primary does not count."""
    ledger = opened(poll_fallback_seconds=3600.0)
    settle_otherwise(ledger, "waiters[channel] > 0", "waiters[channel] > 9")
    assert settled_while(ledger, ledger, until).report == REPORT


def test_wait_is_not_told_of_the_same_job_in_another_database(
    opened: Callable[..., Ledger], until: Callable[..., None]
) -> None:
    ledger = opened()
    other = opened(redis_url=f"{str(ledger.settings.redis_url).removesuffix('/0')}/1")
    submit(ledger)
    submit(other)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ledger.wait, "job", 30)
        until(lambda: waiters(ledger, "job") == 1)
        other.settle(claim_one(other), HealthReport(status="unhealthy", checks=(), memory_mb=2.5))
        ledger.settle(claim_one(ledger), REPORT)
        assert waiting.result().report == REPORT
    other.server.execute("FLUSHDB")


@pytest.mark.parametrize("ledger_type", [Ledger], indirect=True)  # an event loop does not survive a fork
def test_wait_after_a_fork_reads_its_own_job(ledger: Ledger) -> None:
    for number in range(3):
        submit(ledger, str(number))
        assert ledger.settle(claim_one(ledger), HealthReport(status="healthy", checks=(), memory_mb=number))

    def reads(number: int) -> bool:
        outcomes = [ledger.wait(str(number), 5) for _ in range(200)]
        return all(isinstance(o.report, HealthReport) and o.report.memory_mb == number for o in outcomes)

    assert reads(0)  # leaves a subscription open
    children = []
    for number in (1, 2):
        pid = os.fork()
        if not pid:
            os._exit(0 if reads(number) else 1)
        children.append(pid)
    assert reads(0)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]


def test_wait_survives_a_lost_hint(opened: Callable[..., Ledger], until: Callable[..., None]) -> None:
    waiter, settler = opened(poll_fallback_seconds=0.05), opened()
    settle_otherwise(settler, "redis.call('PUBLISH', channel, message)", "")
    assert settled_while(waiter, settler, until).report == REPORT


def test_wait_passes_progress_on(ledger: Ledger, until: Callable[..., None]) -> None:
    job_id = submit(ledger)
    claim = claim_one(ledger)
    seen: list[Progress] = []
    arrived = threading.Event()

    def note(progress: Progress) -> None:
        seen.append(progress)
        arrived.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: ledger.wait(job_id, 30, on_progress=note))
        until(lambda: waiters(ledger, job_id) == 1)
        step = Progress(stage="replicas", done=3, total=100)
        assert ledger.set_progress(claim, step)
        assert arrived.wait(20)
        assert ledger.status(job_id).progress == step
        ledger.settle(claim, REPORT)
        assert waiting.result().state is JobState.SUCCEEDED
    assert seen == [step]
    assert ledger.status(job_id).progress is None


def test_wait_ends_with_the_callers_patience(ledger: Ledger) -> None:
    job_id = submit(ledger)
    with pytest.raises(WaitTimeoutError, match="goes on"):
        ledger.wait(job_id, 0.05)
    assert ledger.status(job_id).state is JobState.QUEUED


def test_an_unknown_job_is_not_pending(ledger: Ledger) -> None:
    with pytest.raises(UnknownJobError, match=r"never is unknown: .* submit it again"):
        ledger.wait("never", 30)
    assert ledger.status("never") == JobStatus(job_id="never", state=JobState.UNKNOWN)
    assert ledger.outcome("never") is None
    assert ledger.cancel("never").state is JobState.UNKNOWN


def test_a_job_is_forgotten_after_its_retention_and_then_unknown(
    opened: Callable[..., Ledger], until: Callable[..., None]
) -> None:
    ledger = opened(retention_seconds=0.05, tombstone_seconds=1.0)
    finish(ledger, "job")
    until(lambda: ledger.outcome("job") is None)
    assert ledger.status("job").state is JobState.FORGOTTEN
    with pytest.raises(UnknownJobError, match="forgotten"):
        ledger.wait("job", 30)
    with pytest.raises(JobRefusedError, match="other content"):
        ledger.submit(CheckHealth(nonce="other"), key="job")
    until(lambda: ledger.status("job").state is JobState.UNKNOWN)


def test_a_forgotten_job_can_be_submitted_anew(opened: Callable[..., Ledger], until: Callable[..., None]) -> None:
    ledger = opened(retention_seconds=0.05)
    finish(ledger, "job")
    until(lambda: ledger.status("job").state is JobState.FORGOTTEN)
    assert ledger.submit(CheckHealth(nonce="job"), key="job").created
    assert ledger.status("job").state is JobState.QUEUED


def test_what_has_no_outcome_does_not_fade(opened: Callable[..., Ledger], until: Callable[..., None]) -> None:
    ledger = opened(retention_seconds=0.05)
    finish(ledger, "gone")
    submit(ledger, "running")
    claim_one(ledger)
    submit(ledger, "queued")
    until(lambda: ledger.status("gone").state is JobState.FORGOTTEN)
    assert [ledger.status(name).state for name in ("running", "queued")] == [JobState.RUNNING, JobState.QUEUED]


def test_cancelling_a_queued_job(ledger: Ledger) -> None:
    job_id = submit(ledger)
    assert ledger.cancel(job_id).state is JobState.CANCELLED
    assert ledger.claim("predict", "n#1/1") == []
    outcome = ledger.wait(job_id, 0)
    assert outcome.failure is not None
    assert outcome.failure.code is FailureCode.CANCELLED
    assert outcome.failure.message.endswith("queued")


def test_cancelling_a_running_job_tells_the_worker_and_refuses_its_answer(ledger: Ledger) -> None:
    job_id = submit(ledger)
    claim = claim_one(ledger)
    assert ledger.cancel(job_id).state is JobState.CANCELLED
    assert ledger.renew([(job_id, claim.fence)]) == {job_id}
    assert not ledger.settle(claim, REPORT)
    assert not ledger.release(claim)
    assert ledger.running_jobs() == []
    assert ledger.reap().requeued == 0
    assert ledger.status(job_id).state is JobState.CANCELLED


def test_cancelling_changes_no_outcome(ledger: Ledger) -> None:
    finish(ledger, "job")
    assert ledger.cancel("job").state is JobState.SUCCEEDED


def test_follow_gives_every_outcome_in_order_and_resumes(ledger: Ledger) -> None:
    for name in "abcd":
        finish(ledger, name)
    submit(ledger, "unsettled")
    everything = list(ledger.follow("0", idle_seconds=0.01))
    assert [outcome.job_id for _, outcome in everything] == list("abcd")
    place = everything[1][0]
    assert [outcome.job_id for _, outcome in ledger.follow(place, idle_seconds=0.01)] == ["c", "d"]


def test_follow_from_now_on_begins_at_the_call_and_sleeps_until_news(ledger: Ledger) -> None:
    finish(ledger, "before")
    news = ledger.follow()
    finish(ledger, "after")
    assert next(news)[1].job_id == "after"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, news)
        finish(ledger, "later")
        assert waiting.result()[1].job_id == "later"


def test_follow_shows_failures_of_every_kind(ledger: Ledger) -> None:
    submit(ledger, "failed")
    ledger.settle(claim_one(ledger), Failure(code=FailureCode.INTERNAL, message="m"))
    ledger.cancel(submit(ledger, "cancelled"))
    states = [outcome.state for _, outcome in ledger.follow("0", idle_seconds=0.01)]
    assert states == [JobState.FAILED, JobState.CANCELLED]


@pytest.mark.parametrize(
    ("field", "content", "said"),
    [
        ("failure", b'{"code": "moon_phase", "message": "m"}', "moon_phase"),
        ("failure", b'{"code"', "truncated"),
        ("state", b"postponed", "postponed"),
        ("report", b'{"kind": "horoscope"}', "horoscope"),
    ],
)
def test_follow_goes_on_after_an_outcome_of_a_newer_version(
    ledger: Ledger, field: str, content: bytes, said: str
) -> None:
    for name in ("before", "newer", "after"):
        finish(ledger, name)
    ledger.server.execute("HSET", f"{ledger.settings.namespace}:job:newer", field, content)
    news = ledger.follow("0", idle_seconds=0.01)
    assert next(news)[1].job_id == "before"
    with pytest.raises(UnreadableOutcomeError, match=f"job newer .*{said}") as caught:
        next(news)
    place = caught.value.place
    assert place is not None
    assert place in str(caught.value)
    assert [outcome.job_id for _, outcome in ledger.follow(place, idle_seconds=0.01)] == ["after"]
    with pytest.raises(LedgerError, match="job newer"):
        ledger.wait("newer", 0)


@pytest.mark.parametrize("place", ["nonsense", "-", "+", "(1-1", "1-1-1", "99999999999999999999-0", ""])
def test_follow_refuses_what_is_no_place(ledger: Ledger, place: str) -> None:
    with pytest.raises(JobRefusedError, match="no place in the stream"):
        ledger.follow(place)


def test_follow_says_when_it_came_back_too_late(opened: Callable[..., Ledger], until: Callable[..., None]) -> None:
    ledger = opened(retention_seconds=0.2)
    finish(ledger, "first")
    ((place, _),) = ledger.follow("0", idle_seconds=0.01)
    finish(ledger, "missed")
    until(lambda: ledger.status("missed").state is JobState.FORGOTTEN)
    ledger.reap()
    with pytest.raises(LedgerError, match="no longer has"):
        ledger.follow(place)
    assert list(ledger.follow("0", idle_seconds=0.01)) == []


def test_the_stream_of_outcomes_is_capped(opened: Callable[..., Ledger]) -> None:
    ledger = opened(max_outcomes=100)
    for number in range(500):
        ledger.cancel(submit(ledger, str(number)))
    assert 100 <= ledger.server.execute("XLEN", f"{ledger.settings.namespace}:outcomes") < 400


def told(ledger: Ledger, names: str) -> None:
    for name in names:
        finish(ledger, name)


def drop(ledger: Ledger, until_place: str) -> None:
    """Drop what the stream has before a place, as its cap does."""
    ledger.server.execute("XTRIM", ledger.server.key("outcomes"), "MINID", until_place)


def places(ledger: Ledger) -> list[str]:
    return [place.decode() for place, _ in ledger.server.execute("XRANGE", ledger.server.key("outcomes"), "-", "+")]


@pytest.mark.parametrize("begun", ["0", "$"])
def test_a_follower_who_is_too_slow_is_told_how_many_it_has_missed(ledger: Ledger, begun: str) -> None:
    told(ledger, "ab" if begun == "$" else "")
    news = ledger.follow(begun, idle_seconds=0.01)
    told(ledger, "cd")
    assert [next(news)[1].job_id for _ in "c"] == ["c"]
    told(ledger, "e")
    assert next(news)[1].job_id == "d"  # it was read together with c
    told(ledger, "fghi")
    drop(ledger, places(ledger)[-2])
    with pytest.raises(OutcomesMissedError, match=r"^3 outcomes are gone that came after \d+-\d+: ") as caught:
        next(news)
    assert caught.value.count == 3
    assert [outcome.job_id for _, outcome in ledger.follow(caught.value.place, idle_seconds=0.01)] == ["h", "i"]
    drop(ledger, places(ledger)[-1])
    with pytest.raises(OutcomesMissedError, match="no longer has") as again:
        ledger.follow(caught.value.place)
    assert again.value.count is None
    assert [outcome.job_id for _, outcome in ledger.follow(again.value.place, idle_seconds=0.01)] == ["i"]


def test_a_follower_who_asks_to_be_told_goes_on_after_what_it_has_missed(opened: Callable[..., Ledger]) -> None:
    ledger = opened(max_outcomes=100)
    missed: list[OutcomesMissedError] = []
    news = ledger.follow("$", idle_seconds=0.5, on_missed=missed.append)
    finish(ledger, "first")
    assert next(news)[1].job_id == "first"
    for other in range(1_500):
        ledger.cancel(submit(ledger, str(other)))
    seen = [outcome.job_id for _, outcome in news]
    assert seen == [str(other) for other in range(1_500 - len(seen), 1_500)]
    assert [gone.count for gone in missed] == [1_500 - len(seen)]
    assert len(seen) < 400


def test_an_outcome_whose_record_is_gone_when_its_turn_comes_is_missed(ledger: Ledger) -> None:
    told(ledger, "abc")
    news = ledger.follow("0", idle_seconds=0.01)
    assert next(news)[1].job_id == "a"
    ledger.server.execute("DEL", ledger.server.key("job", "b"))
    with pytest.raises(OutcomesMissedError, match="1 outcome is gone") as caught:
        next(news)
    assert [outcome.job_id for _, outcome in ledger.follow(caught.value.place, idle_seconds=0.01)] == ["c"]


def test_entries_of_a_version_that_did_not_count_are_followed_as_well(ledger: Ledger) -> None:
    told(ledger, "ab")
    stream = ledger.server.key("outcomes")
    for place in places(ledger):
        ledger.server.execute("XDEL", stream, place)
    for name in "ab":
        ledger.server.execute("XADD", stream, "*", "job", name)
    told(ledger, "c")
    everything = list(ledger.follow("0", idle_seconds=0.01))
    assert [outcome.job_id for _, outcome in everything] == ["a", "b", "c"]
    assert [outcome.job_id for _, outcome in ledger.follow(everything[0][0], idle_seconds=0.01)] == ["b", "c"]


@pytest.mark.usefixtures("command_environment")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_says_what_was_missed_and_goes_on(
    ledger: Ledger, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(ledger, "a")
    follow = Client.follow

    def slow(client: Client, *said: Any, **given: Any) -> Any:
        for number, news in enumerate(follow(client, *said, **given)):
            yield news
            if number == 0:  # while the first is shown, others come and go
                told(ledger, "bcd")
                drop(ledger, places(ledger)[-1])

    monkeypatch.setattr(Client, "follow", slow)
    done = CliRunner().invoke(main, ["follow", "--after", "0", "--kind", "check_health", "--limit", "2", *options])
    assert done.exit_code == 0, done.output
    assert "Outcomes missed: 2 outcomes are gone" in done.stderr
    if options:
        first, missed, last = map(json.loads, done.stdout.splitlines())
        assert (first["outcome"]["job_id"], last["outcome"]["job_id"]) == ("a", "d")
        assert missed["missed"]["count"] == 2
        assert missed["missed"]["after"] == first["place"]
