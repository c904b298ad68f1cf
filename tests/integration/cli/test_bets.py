"""The register of bets from the command line, and the follower that places paper bets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from ledger.contracts.bets import BetPlaced, default_bet_id
from ledger.ledger import Ledger, LedgerSettings
from producer.betting.bet_follower import BetFollower, FollowedDecision
from producer.cli.main import main
from producer.feed_runner.fight_changes import record_fight_changes
from producer.output.exit_codes import ExitCode
from producer.service.service_process import bets_command
from tests.support.answered_cards import NIGHT, answer_card, card_of

pytestmark = pytest.mark.usefixtures("command_environment")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bets", *arguments], catch_exceptions=False)


def document(*arguments: str) -> Any:
    ran = run(*arguments, "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def followed(ledger: Ledger) -> list[FollowedDecision]:
    return list(BetFollower(ledger).run(threading.Event(), once=True))


def outcomes(decisions: list[FollowedDecision]) -> list[tuple[str, str | None]]:
    return [(decision.fight_id, decision.reason) for decision in decisions]


def test_a_bet_from_its_placing_to_its_settlement(ledger: Ledger) -> None:
    job = answer_card(ledger, card_of("a", "b"), {"a": 0.02})
    placed = document("place", job, "a", "--stake", "2000", "--user", "ann")
    bet_id = placed["bet"]["bet_id"]
    assert placed["created"]
    assert {
        name: placed["bet"][name] for name in ("fighter", "bookmaker", "price", "commission", "probability", "lower")
    } == {
        "fighter": "Ana a",
        "bookmaker": "Exchange",
        "price": 2.4,
        "commission": 0.05,
        "probability": 0.55,
        "lower": pytest.approx(0.45),
    }
    assert not document("place", job, "a", "--stake", "2000")["created"]
    other = document("place", job, "b", "--stake", "300", "--fighter", "Bea b", "--bookmaker", "Beta", "--price", "1.8")
    assert [one["bet"]["bet_id"] for one in document("list")["bets"]] == [bet_id, other["bet"]["bet_id"]]
    exposure = document("exposure")
    assert (exposure["total"], exposure["fights"]) == (2300, {"a": 2000, "b": 300})
    assert document("void", "--fight", "b", "--reason", "cancelled")["voided"] == [other["bet"]["bet_id"]]
    assert document("settle", bet_id, "--result", "won")["settled"] == [bet_id]
    assert document("account")["profit"] == 2660
    shown = document("show", bet_id)
    assert [entry["entry"] for entry in shown["entries"]] == ["placed", "settled"]
    assert (shown["bet"]["state"], shown["bet"]["returned"]) == ("won", 4660)
    assert document("list")["bets"] == []
    assert len(document("list", "--all")["bets"]) == 2
    assert document("settle", bet_id, "--result", "lost", "--replace")["settled"] == [bet_id]
    assert document("account")["profit"] == -2000


def test_the_tables_show_the_same(ledger: Ledger) -> None:
    job = answer_card(ledger, card_of("a"), {"a": 0.02})
    ledger.controls.set({"max_week_exposure": 1000}, user="ann", reason="caps")
    assert "is placed" in run("place", job, "a", "--stake", "2000").stdout
    assert "known, and open" in run("place", job, "a", "--stake", "2000").stdout
    bet_id = default_bet_id(job, "a", "paper")
    listed, shown = run("list").stdout, run("show", bet_id).stdout
    assert "Ana a" in listed
    assert "2,000" in listed
    assert "2,000 on Ana a at 2.4" in shown
    assert "98,000" in run("exposure").stdout  # left of the week's cap
    assert "1,000,000" in run("account").stdout
    assert "1 bets are void now" in run("void", bet_id, "--reason", "typed wrongly").stdout


def test_what_a_request_leaves_open_and_the_decision_does_not_say_is_named(ledger: Ledger) -> None:
    job = answer_card(ledger, card_of("a", "b"), {"a": 0.02})
    refused = run("place", job, "b", "--stake", "100", "--price", "2")
    assert refused.exit_code == ExitCode.REFUSED
    assert "name the fighter and the bookmaker that you took" in refused.stderr
    assert "no answer for fight 'c'" in run("place", job, "c", "--stake", "100").stderr
    assert run("place", "unknown", "a", "--stake", "100").exit_code == ExitCode.UNKNOWN_JOB
    assert "no bet 'x'" in run("show", "x").stderr


def test_live_bets_are_recorded_with_what_was_taken(ledger: Ledger) -> None:
    job = answer_card(ledger, card_of("a"), {"a": 0.02})
    ledger.controls.set({"betting": "live", "bankroll": 1000}, user="ann", reason="live")
    refused = run("place", job, "a", "--stake", "2000", "--json")
    assert json.loads(refused.stdout)["failure"]["details"] == {"cap": "bankroll", "limit": 1000, "room": 1000}
    placed = document("place", job, "a", "--stake", "2000", "--price", "2.35", "--taken")
    assert (placed["bet"]["mode"], placed["bet"]["price"], placed["bet"]["beyond_caps"]) == ("live", 2.35, True)
    assert followed(ledger) != []
    assert len(ledger.bets.entries()) == 1  # the follower places no live bets


def test_the_follower_places_each_decision_once(ledger: Ledger) -> None:
    first = answer_card(ledger, card_of("a", "b", "c"), {"a": 0.02, "c": 0.001})
    assert outcomes(followed(ledger)) == [("a", None), ("c", None)]
    assert {bet.fight_id: bet.stake for bet in ledger.bets.open_bets()} == {"a": 20_000, "c": 1_000}
    assert followed(ledger) == []
    ledger.bets.remember_place("paper", "0")  # as if the process had been killed before it stored its place
    assert outcomes(followed(ledger)) == [("a", "placed before"), ("c", "placed before")]
    assert [entry.bet.job_id for entry in ledger.bets.entries() if isinstance(entry, BetPlaced)] == [first, first]


def test_a_later_answer_places_no_second_bet_on_a_fight(ledger: Ledger) -> None:
    answer_card(ledger, card_of("a", "b"), {"a": 0.02})
    followed(ledger)
    answer_card(ledger, card_of("a", "b"), {"a": 0.03, "b": 0.01}, key="newer")
    assert outcomes(followed(ledger)) == [("a", "once"), ("b", None)]


def test_only_the_newest_answer_counts(ledger: Ledger) -> None:
    answer_card(ledger, card_of("a"), {"a": 0.02}, key="oldest")
    answer_card(ledger, card_of("a"), {"a": 0.03}, key="older")
    newest = answer_card(ledger, card_of("a"), {"a": 0.04}, key="newest", supersede=True)
    assert outcomes(followed(ledger)) == [("a", "superseded"), ("a", "superseded"), ("a", None)]
    [bet] = ledger.bets.open_bets()
    assert (bet.job_id, bet.stake) == (newest, 40_000)
    refused = run("place", "older", "a", "--stake", "100", "--bet-id", "mine")
    assert "superseded by job newest" in refused.stderr


def test_no_bet_is_placed_on_a_bout_that_the_feed_no_longer_lists(ledger: Ledger) -> None:
    card = card_of("a", "b")
    read_at = datetime.now(UTC) - timedelta(hours=1)
    for minutes in (0, 5, 15, 25):
        listed = msgspec.structs.replace(card, fights=card.fights[: 1 if minutes else 2])
        record_fight_changes(ledger, "live", [listed], read_at + timedelta(minutes=minutes))
    answer_card(ledger, card, {"a": 0.02, "b": 0.02})
    assert outcomes(followed(ledger)) == [("a", None), ("b", "withdrawn")]


def test_what_fits_is_placed(ledger: Ledger) -> None:
    ledger.controls.set({"max_card_exposure": 300}, user="ann", reason="caps")
    answer_card(ledger, card_of("a", "b", "c"), {"a": 0.02, "b": 0.02, "c": 0.02})
    assert outcomes(followed(ledger)) == [("a", None), ("b", None), ("c", "card")]
    assert [bet.stake for bet in ledger.bets.open_bets()] == [20_000, 10_000]


def test_nothing_is_placed_after_the_start_or_while_betting_is_off(ledger: Ledger) -> None:
    late = msgspec.structs.replace(card_of("a", event_start=datetime.now(UTC)), deadline=NIGHT)
    answer_card(ledger, late, {"a": 0.02})
    assert outcomes(followed(ledger)) == [("a", "started")]
    ledger.controls.set({"betting": "off"}, user="ann", reason="off")
    answer_card(ledger, card_of("b"), {"b": 0.02})
    assert outcomes(followed(ledger)) == [("b", "betting is off")]
    assert ledger.bets.entries() == []


def test_several_followers_that_are_killed_place_every_bet_once(
    ledger: Ledger, ledger_settings: LedgerSettings, until: Callable[..., None]
) -> None:
    environment = {
        **os.environ,
        "CORNERMAN_REDIS_URL": str(ledger_settings.redis_url),
        "CORNERMAN_NAMESPACE": ledger_settings.namespace,
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(bets_command(), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def placed() -> int:
        return ledger.bets.account("paper").placed

    running = [start(), start()]
    try:
        for number in range(40):
            fights = (f"{number}a", f"{number}b")
            answer_card(ledger, card_of(*fights, card_id=f"card {number}"), dict.fromkeys(fights, 1e-4))
            if number % 10 == 5:
                until(lambda: placed() > 0)
                running.pop(0).send_signal(signal.SIGKILL)
                running.append(start())
        until(lambda: placed() == 80)
    finally:
        for process in running:
            process.kill()
            process.wait()
    entries = [entry.bet.fight_id for entry in ledger.bets.entries() if isinstance(entry, BetPlaced)]
    assert sorted(entries) == sorted(f"{number}{side}" for number in range(40) for side in "ab")
