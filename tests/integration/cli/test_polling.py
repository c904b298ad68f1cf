"""Repeated readings of a feed: unchanged cards make no job, and no bout is enqueued as two."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import PredictCard
from ledger.contracts.reports import CardReport, FightFailure
from ledger.feeds.listed_fights import ListedFight
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.client import Client
from producer.feed.odds_api import read_feed
from producer.output.exit_codes import ExitCode
from producer.polling import CardSubmission, enqueue_feed

NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW + timedelta(days=20)
Poll = Callable[..., list[CardSubmission]]


def event(name: str = "e1", *, age: timedelta = timedelta(0), price: float = 1.9, **changes: Any) -> dict[str, Any]:
    home, away = changes.get("home_team", "Ann Archer"), changes.get("away_team", "Bea Brown")
    outcomes = [{"name": home, "price": price}, {"name": away, "price": 1.95}]
    books = [{"key": "b", "last_update": (NOW - age).isoformat(), "markets": [{"key": "h2h", "outcomes": outcomes}]}]
    teams = {"home_team": home, "away_team": away}
    return {"id": name, "commence_time": START.isoformat(), **teams, "bookmakers": books} | changes


@pytest.fixture
def client(ledger: Ledger) -> Client:
    return Client(ledger)


@pytest.fixture
def poll(client: Client) -> Poll:
    def read(*events: dict[str, Any], **options: Any) -> list[CardSubmission]:
        return enqueue_feed(client, read_feed(list(events), price_format="decimal").cards, **options)

    return read


@pytest.fixture
def jobs(ledger: Ledger) -> Callable[[list[CardSubmission]], list[PredictCard]]:
    def asked(entries: list[CardSubmission]) -> list[PredictCard]:
        found = [ledger.job_records.job(entry.receipt.job_id) for entry in entries if entry.receipt]
        return [job for job in found if isinstance(job, PredictCard)]

    return asked


def created(entries: list[CardSubmission]) -> list[bool]:
    return [entry.receipt is not None and entry.receipt.created for entry in entries]


def test_the_same_prices_looked_at_again_make_nothing(poll: Poll, ledger: Ledger) -> None:
    """While the first job waits, and once it has been answered."""
    minute = timedelta(minutes=1)
    first = poll(event(age=3 * minute))
    assert created(first) == [True]
    for age in (2 * minute, minute):
        again = poll(event(age=age))
        assert [(entry.receipt, entry.unchanged) for entry in again] == [
            (
                first[0].receipt
                and type(first[0].receipt)(job_id=first[0].receipt.job_id, created=False, durable=False),
                True,
            )
        ]
    assert created(poll(event(age=minute, price=1.91))) == [True]
    assert created(poll(event(age=minute))) == [True]  # back again is a move, too
    assert sum(ledger.queue_stats.depths().values()) == 3


def test_a_price_that_has_become_too_old_is_a_change(
    poll: Poll, client: Client, jobs: Callable[[list[CardSubmission]], list[PredictCard]]
) -> None:
    asked_at = datetime.now(UTC)
    entries = poll(event())
    [card] = jobs(entries)
    assert card.priced_at is not None
    assert abs(card.priced_at - asked_at) < timedelta(minutes=2)
    old = poll(event(age=timedelta(days=2)))
    assert created(old) == [True]
    assert created(poll(event(age=timedelta(days=2)))) == [False]


def test_an_old_feed_with_a_deadline_is_dated_by_its_newest_price(
    client: Client, jobs: Callable[[list[CardSubmission]], list[PredictCard]]
) -> None:
    cards = read_feed([event(age=timedelta(days=9))], price_format="decimal", deadline=START + timedelta(days=1)).cards
    assert [job.priced_at for job in jobs(enqueue_feed(client, cards))] == [None]


def test_after_a_failure_the_next_reading_asks_again(poll: Poll, ledger: Ledger) -> None:
    poll(event(age=timedelta(minutes=3)))
    [claim] = ledger.claim("predict", "test")
    assert ledger.settle(claim, Failure(code=FailureCode.MODEL_NOT_FOUND, message="none"))
    assert created(poll(event(age=timedelta(minutes=3)))) == [False]  # the same reading has the same answer
    assert created(poll(event(age=timedelta(minutes=2)))) == [True]


def test_who_asks_again_without_having_heard_makes_one_job(
    poll: Poll, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ended after the submit, before it noted that; or two read the feed at the same time."""
    with monkeypatch.context() as patch:
        patch.setattr(type(ledger.feeds), "remember_request", lambda *_, **__: None)
        first = poll(event(age=timedelta(minutes=3)))
        second = poll(event(age=timedelta(minutes=2)))
    assert (created(first), created(second)) == ([True], [False])
    assert sum(ledger.queue_stats.depths().values()) == 1


def test_a_durable_answer_about_what_is_there_is_durable(poll: Poll) -> None:
    poll(event())
    [entry] = poll(event(), durable=True)
    assert entry.unchanged
    assert entry.receipt is not None
    assert (entry.receipt.created, entry.receipt.durable) == (False, True)


def test_another_id_or_start_of_a_bout_is_barred_from_then_on(
    poll: Poll, jobs: Callable[[list[CardSubmission]], list[PredictCard]]
) -> None:
    later = (START + timedelta(minutes=30)).isoformat()
    poll(event("z"))
    [twin] = jobs(poll(event("a", home_team="Bea Brown", away_team="ANN  ARCHER", commence_time=later)))
    assert twin.fights[0].same_bout_as == "z"
    [moved] = jobs(poll(event("z", commence_time=later)))
    assert moved.fights[0].same_bout_as is None
    [alone] = jobs(poll(event("a", price=1.8)))  # the first id is gone, its bets are not
    assert alone.fights[0].same_bout_as == "z"


def test_bouts_that_have_begun_keep_their_share_of_the_night(
    poll: Poll, jobs: Callable[[list[CardSubmission]], list[PredictCard]]
) -> None:
    soon = (START - timedelta(hours=2)).isoformat()
    prelim = event("p", home_team="Cat Cole", away_team="Dee Dorn", commence_time=soon)
    assert [job.stake_share for job in jobs(poll(prelim, event()))] == [0.5, 0.5]
    assert [job.stake_share for job in jobs(poll(event(price=1.8)))] == [0.5]


def test_fights_are_known_until_two_days_after_their_start(ledger: Ledger) -> None:
    def listed(name: str, days: float) -> ListedFight:
        return ListedFight(id=name, bout=("ann", "bea"), start=NOW + timedelta(days=days))

    assert {
        fight.id for fight in ledger.feeds.add_listed_fights([listed("a", 1), listed("b", -1), listed("c", -3)])
    } == {"a", "b"}
    first = {fight.id: fight.listed for fight in ledger.feeds.add_listed_fights([])}
    again = {fight.id: fight for fight in ledger.feeds.add_listed_fights([listed("a", 2)])}
    assert (again["a"].listed, again["a"].start) == (first["a"], NOW + timedelta(days=2))
    other = ListedFight(id="a", bout=("ann", "cat"), start=NOW + timedelta(days=2))
    assert {fight.id: fight.listed for fight in ledger.feeds.add_listed_fights([other])}["a"] > first["a"]


@pytest.fixture
def run(command_environment: None) -> Callable[..., Result]:
    def invoke(*events: dict[str, Any], options: tuple[str, ...] = ()) -> Result:
        arguments = ["enqueue", "-", "--format", "decimal", "--json", *options]
        return CliRunner().invoke(main, arguments, catch_exceptions=False, input=json.dumps(events))

    return invoke


def test_the_command_polls(run: Callable[..., Result], ledger: Ledger) -> None:
    begun = event("old", commence_time=(NOW - timedelta(hours=1)).isoformat(), home_team="Cat Cole")
    for expected in (True, False):
        result = run(begun, event(age=timedelta(minutes=2 if expected else 1)))
        assert result.exit_code == ExitCode.OK
        started, coming = json.loads(result.stdout)["cards"]
        assert started["refused"]["code"] == FailureCode.EXPIRED
        assert (coming["receipt"]["created"], coming["unchanged"]) == (expected, not expected)
    assert run(begun).exit_code == ExitCode.REFUSED  # nothing was enqueued
    assert sum(ledger.queue_stats.depths().values()) == 1


def test_five_newcomers_take_one_round(run: Callable[..., Result], ledger: Ledger) -> None:
    """The fighters whom the model does not know are listed for all cards, with the options that declare them."""
    later = (START + timedelta(hours=9)).isoformat()
    feed = [event(), event("e2", commence_time=later, home_team="Cat Cole", away_team="Dee O'Dorn")]
    run(*feed)
    names = {"e1": [("Bea Brown", ["Bea Braun", "Bo Brown"])], "e2": [("Cat Cole", []), ("Dee O'Dorn", [])]}
    for claim in ledger.claim("predict", "test", limit=2):
        [fight] = json.loads(claim.payload)["fights"]
        unknown = [{"name": name, "nearest": nearest} for name, nearest in names[fight["id"]]]
        failure = Failure(code=FailureCode.UNKNOWN_FIGHTER, message="no", details={"unknown": unknown})
        failed = FightFailure(id=fight["id"], names=("x", "y"), failure=failure)
        report = CardReport(card_id="c", model="0" * 64, data_cutoff=NOW.date(), fights=(failed,))
        assert ledger.settle(claim, report)
    result = run(*feed, options=("--wait",))
    assert result.exit_code == ExitCode.OK
    assert "3 fighters are not in the fight log" in result.stderr
    assert "  Bea Brown (nearest: Bea Braun, Bo Brown)" in result.stderr
    (options,) = [line for line in result.stderr.splitlines() if "--debutant" in line]
    declared = shlex.split(options[options.index("--debutant") :])
    assert declared[1::2] == ["Bea Brown", "Cat Cole", "Dee O'Dorn"]
    assert run(*feed, options=(*declared, "--wait", "--timeout", "0")).exit_code == ExitCode.TIMEOUT  # a new job


def test_a_key_stands_for_a_card_whenever_it_was_read(run: Callable[..., Result]) -> None:
    receipts = [
        json.loads(run(event(age=timedelta(minutes=age)), options=("--key", "mine")).stdout)["cards"][0]["receipt"]
        for age in (3, 2)
    ]
    assert [(receipt["job_id"], receipt["created"]) for receipt in receipts] == [("mine", True), ("mine", False)]
    assert run(event(price=1.8), options=("--key", "mine")).exit_code == ExitCode.REFUSED


def test_what_the_caller_says_of_prices_is_in_the_job(run: Callable[..., Result], ledger: Ledger) -> None:
    options = ("--read-at", NOW.isoformat(), "--commission", "b=0.02", "--quote-age-limit", "600", "--devig", "shin")
    document = json.loads(run(event(), options=options).stdout)
    job = ledger.job_records.job(document["cards"][0]["receipt"]["job_id"])
    assert isinstance(job, PredictCard)
    assert (job.priced_at, job.quote_age_limit_seconds, job.devig_method) == (NOW, 600.0, "shin")
    assert [quote.commission for quote in job.fights[0].quotes] == [0.02]


def test_a_commission_of_a_bookmaker_who_quotes_nothing_is_told(run: Callable[..., Result]) -> None:
    result = run(event(), options=("--commission", "b=0.02", "--commission", "B=0.03"))
    assert result.exit_code == ExitCode.OK
    assert "--commission has no effect for B: no quote of the feed has this key" in result.stderr
    assert "no effect" not in run(event(), options=("--commission", "b=0.02")).stderr
