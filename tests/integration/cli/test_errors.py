"""Every bad input on the command line: an exit code, a typed failure, and nothing enqueued."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from click.testing import CliRunner, Result

from ledger.contracts.failures import Failure, FailureCode
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]


@pytest.fixture
def run(command_environment: None) -> Run:
    """The command line against this test's ledger."""

    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False, **options)

    return invoke


def failure_in(result: Result) -> dict[str, Any]:
    """The one typed failure of the one document on stdout."""
    document = json.loads(result.stdout)
    failures = [document["failure"]] if "failure" in document else [card["refused"] for card in document["cards"]]
    [failure] = [each for each in failures if each]
    assert failure["message"] in result.stderr.replace("\n", " ") or "cards" in document
    return dict(failure)


def assert_nothing_enqueued(ledger: Ledger) -> None:
    assert set(ledger.queue_stats.depths().values()) == {0}


def card(**changes: Any) -> dict[str, Any]:
    fighters = [{"name": "Ann Archer"}, {"name": "Bea Brown"}]
    fights = [{"id": "f1", "fighters": fighters}]
    return {"kind": "predict_card", "card_id": "c", "event_start": "2030-01-05T22:00:00Z", "fights": fights} | changes


def fight(**changes: Any) -> dict[str, Any]:
    return {"id": "f1", "fighters": [{"name": "Ann Archer"}, {"name": "Bea Brown"}]} | changes


PRICED = [{"bookmaker": "b", "prices": {"Ann Archer": -150.0, "Bea Brown": 2.0}}]
BAD_CARDS: dict[str, tuple[bytes, FailureCode, str]] = {
    "malformed JSON": (b'{"kind": "predict_card", "card_id"', FailureCode.INVALID_INPUT, "not valid JSON"),
    "not JSON at all": (b"\x00\xff", FailureCode.INVALID_INPUT, "not valid JSON"),
    "an empty file": (b"", FailureCode.INVALID_INPUT, "not valid JSON"),
    "unknown schema": (json.dumps(card(schema_version=99)).encode(), FailureCode.UNSUPPORTED_SCHEMA, "99"),
    "NaN": (
        json.dumps(card(fights=[fight(features={"x": float("nan")})])).encode(),
        FailureCode.INVALID_INPUT,
        "not valid JSON",
    ),
    "infinity": (
        json.dumps(card(fights=[fight(features={"x": float("inf")})])).encode(),
        FailureCode.INVALID_INPUT,
        "not valid JSON",
    ),
    "10 MB": (json.dumps(card(padding="x" * 10_000_000)).encode(), FailureCode.INVALID_INPUT, "limit is 1,000,000"),
    "500 fights": (
        json.dumps(card(fights=[fight(id=str(number)) for number in range(500)])).encode(),
        FailureCode.INVALID_INPUT,
        "<= 64",
    ),
    "no fights": (json.dumps(card(fights=[])).encode(), FailureCode.INVALID_INPUT, "$.fights"),
    "a fight against oneself": (
        json.dumps(card(fights=[fight(fighters=[{"name": "Ann Archer"}, {"name": "ann archer"}])])).encode(),
        FailureCode.INVALID_INPUT,
        "cannot be both fighters",
    ),
    "negative odds": (json.dumps(card(fights=[fight(quotes=PRICED)])).encode(), FailureCode.INVALID_INPUT, "prices"),
    "an event in the past": (
        json.dumps(card(event_start="2020-01-05T22:00:00Z")).encode(),
        FailureCode.EXPIRED,
        "2020",
    ),
    "another kind of job": (b'{"kind": "check_health"}', FailureCode.INVALID_INPUT, "check_health"),
}


@pytest.mark.parametrize("name", BAD_CARDS)
def test_a_bad_card_is_refused(run: Run, ledger: Ledger, tmp_path: Path, name: str) -> None:
    content, code, message = BAD_CARDS[name]
    path = tmp_path / "card.json"
    path.write_bytes(content)
    result = run("enqueue", "--card", str(path))
    assert result.exit_code == ExitCode.REFUSED
    failure = failure_in(result)
    assert failure["code"] == code
    assert message in failure["message"]
    assert_nothing_enqueued(ledger)


def feed(count: int = 1, **changes: Any) -> bytes:
    event = {
        "commence_time": "2030-01-05T22:00:00Z",
        "home_team": "Ann Archer",
        "away_team": "Bea Brown",
        "bookmakers": [],
    } | changes
    return json.dumps([{"id": f"e{number}", **event} for number in range(count)]).encode()


BAD_FEEDS: dict[str, tuple[bytes, FailureCode, str]] = {
    "malformed JSON": (feed()[:-20], FailureCode.INVALID_INPUT, "not valid JSON"),
    "10 MB": (b" " * 10_000_000, FailureCode.INVALID_INPUT, "limit is 8,000,000"),
    "500 fights": (feed(500), FailureCode.INVALID_INPUT, "<= 64"),
    "a fight against oneself": (feed(away_team="Ann Archer"), FailureCode.INVALID_INPUT, "named on both sides"),
    "no names": (feed(home_team=None), FailureCode.INVALID_INPUT, "home_team"),
    "no time": (feed(commence_time=None), FailureCode.INVALID_INPUT, "commence_time"),
    "an event in the past": (feed(commence_time="2020-01-05T22:00:00Z"), FailureCode.EXPIRED, "2020"),
}


@pytest.mark.parametrize("name", BAD_FEEDS)
def test_a_bad_feed_is_refused(run: Run, ledger: Ledger, name: str) -> None:
    content, code, message = BAD_FEEDS[name]
    result = run("enqueue", "-", "--format", "american", input=content)
    assert result.exit_code == ExitCode.REFUSED
    failure = failure_in(result)
    assert failure["code"] == code
    assert message in failure["message"]
    assert_nothing_enqueued(ledger)


def test_one_bad_event_is_refused_and_the_others_are_enqueued(run: Run, ledger: Ledger) -> None:
    events = json.loads(feed(3))
    del events[1]["commence_time"]
    events[2]["sport_key"] = "boxing_boxing"
    strict = run("enqueue", "-", "--format", "american", "--strict", input=json.dumps(events))
    assert strict.exit_code == ExitCode.REFUSED
    failure = failure_in(strict)
    assert failure["details"]["event"] == "e1"
    assert [("boxing" in message) for message in failure["details"]["refused"]] == [False, True]
    assert_nothing_enqueued(ledger)
    result = run("enqueue", "-", "--format", "american", input=json.dumps(events))
    assert result.exit_code == ExitCode.PARTLY_REFUSED
    document = json.loads(result.stdout)
    assert [refused["details"]["event"] for refused in document["events_refused"]] == ["e1", "e2"]
    assert document["events_refused"][1]["details"]["sport"] == "boxing_boxing"
    [entry] = document["cards"]
    assert ledger.status(entry["receipt"]["job_id"]).state == "queued"
    assert "2 of the feed's events" in result.stderr
    shown = CliRunner().invoke(main, ["enqueue", "-", "--format", "american"], input=json.dumps(events))
    assert "boxing_boxing" in shown.stdout


def test_of_a_feed_of_bad_events_all_are_named(run: Run, ledger: Ledger) -> None:
    events = json.loads(feed(2, commence_time=None))
    result = run("enqueue", "-", "--format", "american", input=json.dumps(events))
    assert result.exit_code == ExitCode.REFUSED
    failure = failure_in(result)
    assert "(and 1 more)" in failure["message"]
    assert ["'e1'" in message for message in failure["details"]["refused"]] == [False, True]
    assert_nothing_enqueued(ledger)


def test_of_a_live_feed_the_cards_to_come_are_enqueued(run: Run, ledger: Ledger) -> None:
    events = json.loads(feed(2))
    events[0]["commence_time"] = "2020-01-05T22:00:00Z"
    result = run("enqueue", "-", "--format", "american", input=json.dumps(events))
    assert result.exit_code == ExitCode.OK
    started, coming = json.loads(result.stdout)["cards"]
    assert started["refused"]["code"] == FailureCode.EXPIRED
    assert ledger.status(coming["receipt"]["job_id"]).state == "queued"
    events[1]["commence_time"] = None  # a fault, in addition to the event that has begun
    assert run("enqueue", "-", "--format", "american", input=json.dumps(events)).exit_code == ExitCode.REFUSED


def test_the_wrong_notation_is_refused(run: Run, ledger: Ledger) -> None:
    outcomes = [{"name": "Ann Archer", "price": -150}, {"name": "Bea Brown", "price": 130}]
    books = [{"key": "b", "markets": [{"key": "h2h", "outcomes": outcomes}]}]
    result = run("enqueue", "-", "--format", "decimal", input=feed(bookmakers=books))
    assert result.exit_code == ExitCode.REFUSED
    assert "--format american" in failure_in(result)["message"]
    assert_nothing_enqueued(ledger)


@pytest.mark.parametrize("option", ["betfair_ex_uk", "betfair_ex_uk=2%", "=0.02", "betfair_ex_uk=1", "b=nan"])
def test_a_commission_that_is_none_is_refused(run: Run, option: str) -> None:
    result = run("enqueue", "-", "--format", "decimal", "--commission", option, input=feed())
    assert result.exit_code == ExitCode.REFUSED
    assert "betfair_ex_uk=0.02" in result.stderr


@pytest.mark.parametrize("option", ["Bea Brown", "=14-1", "Bea Brown=14", "Bea Brown=14-1,knock_out_wins=many"])
def test_a_record_that_is_none_is_refused(run: Run, option: str) -> None:
    result = run("enqueue", "-", "--format", "decimal", "--record", option, input=feed())
    assert result.exit_code == ExitCode.REFUSED
    assert "14-1" in result.stderr


def test_a_record_with_more_finishes_than_wins_enqueues_nothing(run: Run, ledger: Ledger) -> None:
    result = run("enqueue", "-", "--format", "decimal", "--record", "Bea Brown=4-1,submission_wins=5", input=feed())
    assert result.exit_code == ExitCode.REFUSED
    assert "`record.submission_wins` of 'Bea Brown'" in failure_in(result)["message"]
    assert_nothing_enqueued(ledger)


def test_negative_odds_in_a_feed_leave_the_fight_without_that_quote(run: Run, ledger: Ledger) -> None:
    outcomes = [{"name": "Ann Archer", "price": -2.0}, {"name": "Bea Brown", "price": 2.0}]
    books = [{"key": "b", "markets": [{"key": "h2h", "outcomes": outcomes}]}]
    result = run("enqueue", "-", "--format", "decimal", input=feed(bookmakers=books))
    assert result.exit_code == ExitCode.OK
    assert "1 of 1 quotes are invalid" in result.stderr
    [claim] = ledger.claim("predict", "test")
    [asked] = json.loads(claim.payload)["fights"]
    assert "quotes" not in asked
    assert "-2.0 is no decimal price" in asked["invalid_quotes"][0]


def test_prices_older_than_asked_for_are_refused(run: Run, ledger: Ledger) -> None:
    outcomes = [{"name": "Ann Archer", "price": 2.0}, {"name": "Bea Brown", "price": 1.9}]
    market = {"key": "h2h", "last_update": "2020-01-01T00:00:00Z", "outcomes": outcomes}
    books = [{"key": "b", "last_update": "2020-01-01T00:00:00Z", "markets": [market]}]
    result = run("enqueue", "-", "--format", "decimal", "--max-quote-age", "3600", input=feed(bookmakers=books))
    assert result.exit_code == ExitCode.REFUSED
    assert failure_in(result)["code"] == FailureCode.STALE_ODDS
    assert_nothing_enqueued(ledger)


def test_an_old_feed_is_replayed_with_a_later_deadline_and_twice_is_one_job(run: Run, ledger: Ledger) -> None:
    arguments = ("enqueue", "-", "--format", "american", "--deadline", "2031-01-01T00:00:00Z")
    old = feed(commence_time="2020-01-05T22:00:00Z")
    receipts = [json.loads(run(*arguments, input=old).stdout)["cards"][0]["receipt"] for _ in range(2)]
    assert [receipt["created"] for receipt in receipts] == [True, False]
    assert sum(ledger.queue_stats.depths().values()) == 1


@pytest.mark.parametrize("weights", ["0.4,0.3,0.2", "nan,0.5,0.5", "1.4,-0.2,-0.2"])
def test_weights_that_are_no_shares_are_refused(run: Run, ledger: Ledger, tmp_path: Path, weights: str) -> None:
    for table in ("fights", "stat_lines", "fighters"):
        (tmp_path / f"{table}.csv").write_text("x\n")
    result = run("train", str(tmp_path), "--weights", weights)
    assert result.exit_code == ExitCode.REFUSED
    assert failure_in(result)["code"] == FailureCode.INVALID_INPUT
    assert_nothing_enqueued(ledger)


def test_a_log_without_its_tables_is_refused(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    for arguments, message in (
        ([str(tmp_path)], "holds no fights table"),
        ([str(tmp_path / "none")], "is not a folder"),
        (["--matrix", str(tmp_path / "none.csv")], "none.csv"),
    ):
        result = run("train", *arguments)
        assert result.exit_code == ExitCode.REFUSED
        assert message in failure_in(result)["message"]
    assert_nothing_enqueued(ledger)


@pytest.mark.parametrize("code", [FailureCode.MODEL_NOT_FOUND, FailureCode.TRAINING_FAILED, FailureCode.INVALID_INPUT])
def test_what_a_worker_refuses_comes_back_typed(run: Run, ledger: Ledger, code: FailureCode) -> None:
    enqueued = run("enqueue", "-", "--format", "american", "--model", "none", input=feed())
    job_id = json.loads(enqueued.stdout)["cards"][0]["receipt"]["job_id"]
    [claim] = ledger.claim("predict", "test")
    assert ledger.settle(claim, Failure(code=code, message="because"))
    result = run("result", job_id)
    assert result.exit_code == ExitCode.FAILED
    assert failure_in(result) == {"code": code, "message": "because"}


def test_a_job_that_nobody_knows(run: Run) -> None:
    for command in ("result", "status", "cancel"):
        result = run(command, "no-such-job")
        assert result.exit_code == ExitCode.UNKNOWN_JOB
        assert failure_in(result)["code"] == "unknown_job"


def test_patience_that_ends_leaves_the_job_alone(run: Run, ledger: Ledger) -> None:
    result = run("enqueue", "-", "--format", "american", "--wait", "--timeout", "0.1", input=feed())
    assert result.exit_code == ExitCode.TIMEOUT
    job_id = json.loads(result.stdout)["cards"][0]["receipt"]["job_id"]
    assert run("result", job_id, "--timeout", "0.1").exit_code == ExitCode.TIMEOUT
    assert "cornerman up" in result.stderr  # no worker runs here
    assert ledger.status(job_id).state == "queued"
    assert run("cancel", job_id).exit_code == ExitCode.OK
    assert failure_in(run("result", job_id))["code"] == FailureCode.CANCELLED


def test_no_server_at_all_says_how_to_start_one(run: Run) -> None:
    result = run("status", env={"CORNERMAN_REDIS_URL": None})
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "cornerman up" in failure_in(result)["message"]


def test_a_server_that_does_not_answer(run: Run) -> None:
    url = "redis://someone:secret@127.0.0.1:1/0"  # nothing can listen on port 1 here
    result = run("enqueue", "-", "--format", "american", input=feed(), env={"CORNERMAN_REDIS_URL": url})
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "127.0.0.1:1" in failure_in(result)["message"]
    assert "secret" not in result.output


def test_nothing_is_started_for_a_server_that_does_not_answer(run: Run) -> None:
    for command in (["up"], ["worker", "--pool", "train"]):
        result = run(*command, env={"CORNERMAN_REDIS_URL": "redis://127.0.0.1:1/0"})
        assert result.exit_code == ExitCode.UNAVAILABLE
        assert failure_in(result)["code"] == "unavailable"


def test_a_data_folder_in_which_valkey_cannot_work(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "two words"
    result = run("up", env={"CORNERMAN_REDIS_URL": None, "CORNERMAN_DATA": str(folder)})
    assert result.exit_code == ExitCode.REFUSED
    assert "CORNERMAN_DATA" in failure_in(result)["message"]


def test_a_wrong_password(run: Run, valkey: EmbeddedServer, ledger: Ledger) -> None:
    with redis.Redis.from_url(valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "clerk", "on", ">open-sesame", "~*", "&*", "+@all")
    for password, code in (("open-barley", ExitCode.UNAVAILABLE), ("open-sesame", ExitCode.OK)):
        url = f"redis://clerk:{password}@127.0.0.1:{urlsplit(valkey.url).port}/0"
        result = run("status", env={"CORNERMAN_REDIS_URL": url})
        assert result.exit_code == code
        assert password not in result.output
    assert_nothing_enqueued(ledger)


def test_a_setting_that_makes_no_sense(run: Run) -> None:
    result = run("status", env={"CORNERMAN_LEASE_SECONDS": "soon"})
    assert result.exit_code == ExitCode.REFUSED
    assert "CORNERMAN_LEASE_SECONDS" in failure_in(result)["message"]
