"""Outcomes of a real pool with a real model, made again by it, and what a replay says of those that were altered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from engine.data.fight_log import write_fight_log
from engine.model.bundle import Bundle
from engine.simulation.league import League, odds_feed
from ledger.compression.stored_values import decompress
from ledger.contracts.bets import PlacedBet
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import (
    CheckHealth,
    DecisionRules,
    Fight,
    Fighter,
    IntervalOptions,
    Job,
    PredictCard,
    Quote,
    Replay,
)
from ledger.contracts.reports import CardReport, FightReport
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.feed.declared_records import parse_record
from producer.feed.odds_api import read_cards
from producer.output.exit_codes import ExitCode
from tests.support.small_models import trained

WAIT_SECONDS = 60
SOFT = DecisionRules(min_prediction_confidence=0.0, max_uncertainty_threshold=1.0)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two models of the same fights in one folder."""
    folder = tmp_path_factory.mktemp("models")
    return [trained(folder, seed, replicas=20) for seed in (3, 4)]


@pytest.fixture
def pool(models: list[Bundle], ledger: Ledger, start_pool: Callable[..., Any], command_environment: None) -> Any:
    for model in models:
        ledger.models.register(model.digest, {})
    ledger.aliases.set("champion", models[0].digest, user="test", reason="to begin")
    return start_pool(real=True, concurrency=1, CORNERMAN_MODELS=str(models[0].folder.parent))


@pytest.fixture
def card(league: League) -> PredictCard:
    first, *_ = read_cards(json.dumps(odds_feed(league)), price_format="american")
    nobody = Fight(id="x", fighters=(Fighter(name="Nobody Inparticular"), Fighter(name="No Oneelse")))
    return msgspec.structs.replace(first, fights=(*first.fights, nobody), deadline=LATER)


def cornerman(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments], catch_exceptions=False)


def replayed(job_id: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code of the command and the report."""
    ran = cornerman("replay", job_id, "--json", *options)
    document = json.loads(ran.stdout)
    return ran.exit_code, document.get("report") or document["failure"]


def answered(ledger: Ledger, job: Job) -> Outcome:
    return ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS)


def priced(fight: Fight) -> Fight:
    """One outlandish price; the overround stays credible."""
    first, second = (fighter.name for fighter in fight.fighters)
    return msgspec.structs.replace(fight, quotes=(Quote(bookmaker="Soft", prices={first: 9.0, second: 1.06}),))


def bets_of(outcome: Outcome) -> dict[str, float]:
    """The stakes of an answered card, by fight."""
    assert isinstance(outcome.report, CardReport)
    return {
        fight.id: fight.decision.stake_fraction
        for fight in outcome.report.fights
        if isinstance(fight, FightReport) and fight.decision.stake_fraction is not None
    }


def test_a_card_is_made_again_with_its_devig_method(pool: Any, card: PredictCard, ledger: Ledger) -> None:
    for job, method in ((card, "power"), (msgspec.structs.replace(card, devig_method="shin"), "shin")):
        outcome = answered(ledger, job)
        assert outcome.origin is not None
        assert outcome.origin.devig_method == method
        code, report = replayed(outcome.job_id)
        assert (code, report["verdict"]) == (ExitCode.OK, "same")


def test_a_feed_s_debutant_with_a_record_is_served_and_made_again(pool: Any, league: League, ledger: Ledger) -> None:
    events = odds_feed(league)[:2]
    name = str(events[0]["home_team"])
    feed = json.dumps(events).replace(name, "Nobody Inparticular")
    answers = {}
    for wins in (12, 2):
        records = {"Nobody Inparticular": parse_record(f"{wins}-3-0,last_bout=2020-03-01")}
        [job] = read_cards(feed, price_format="american", records=records)
        outcome = answered(ledger, msgspec.structs.replace(job, deadline=LATER))
        assert isinstance(outcome.report, CardReport)
        answers[wins], other = outcome.report.fights
        assert isinstance(answers[wins], FightReport)
        assert isinstance(other, FightReport)
        assert {"debutant", "declared_record"} <= set(answers[wins].flags)
        assert "declared_record" not in other.flags
        code, report = replayed(outcome.job_id)
        assert (code, report["verdict"]) == (ExitCode.OK, "same")
    assert answers[12].fighters[0].probability > answers[2].fighters[0].probability


def test_contributions_are_made_again(pool: Any, card: PredictCard, ledger: Ledger) -> None:
    outcome = answered(ledger, msgspec.structs.replace(card, contributions=True))
    assert isinstance(outcome.report, CardReport)
    explained = [fight.fighters[0].contributions for fight in outcome.report.fights if isinstance(fight, FightReport)]
    assert explained
    assert None not in explained
    code, report = replayed(outcome.job_id)
    assert (code, report["verdict"]) == (ExitCode.OK, "same")
    shown = cornerman("result", outcome.job_id).stdout
    assert "Contributions to the logit" in shown


def test_the_method_of_the_provenance_decides_a_replay(pool: Any, card: PredictCard, ledger: Ledger) -> None:
    outcome = answered(ledger, card)
    record = ledger.server.key("job", outcome.job_id)
    origin = json.loads(decompress(ledger.server.execute("HGET", record, "origin")))
    ledger.server.execute("HSET", record, "origin", json.dumps({**origin, "devig_method": "proportional"}))
    code, report = replayed(outcome.job_id)
    assert (code, report["verdict"]) == (ExitCode.FAILED, "differs")


def test_an_outcome_is_made_again_under_what_held_then(
    pool: Any, models: list[Bundle], card: PredictCard, ledger: Ledger
) -> None:
    ledger.controls.set({"max_replicas": 10}, user="test", reason="an emergency")
    outcome = answered(ledger, card)
    assert isinstance(outcome.report, CardReport)
    assert outcome.report.switches == ("max_replicas=10",)
    assert outcome.origin is not None
    assert outcome.origin.models == {"champion": models[0].digest}
    assert outcome.origin.controls == {"max_replicas": 10}
    assert {"numpy", "scikit-learn", "numba", "python"} <= set(outcome.origin.surroundings.libraries)

    ledger.controls.set({"bootstrap": False}, user="test", reason="a worse one")
    ledger.aliases.set("champion", models[1].digest, user="test", reason="to move on")
    code, report = replayed(outcome.job_id)
    assert (code, report["verdict"], report["agrees"]) == (ExitCode.OK, "same", True)
    assert report["models"] == {"champion": models[0].digest}
    assert report["made_in"] == report["replayed_in"]
    now = answered(ledger, msgspec.structs.replace(card, card_id="another"))
    assert isinstance(now.report, CardReport)
    assert (now.report.model, now.report.switches) == (models[1].digest, ("bootstrap=off",))
    assert replayed(now.job_id)[0] == ExitCode.OK
    assert "every bit is the same" in cornerman("replay", now.job_id).stdout
    assert ledger.outcome(outcome.job_id) == outcome


def test_a_card_whose_stakes_open_bets_have_reduced_is_made_again(pool: Any, card: PredictCard, ledger: Ledger) -> None:
    """The room is that of the claim: bets that are placed or settled later do not change the replay."""
    fights = tuple(priced(fight) for fight in card.fights[:-1])
    job = msgspec.structs.replace(card, fights=fights, rules=SOFT)
    free = bets_of(answered(ledger, job))
    assert len(free) > 2
    caps = {"max_card_exposure": 500, "max_fight_exposure": 100, "bankroll": 100_000}
    ledger.controls.set(dict(caps), user="test", reason="caps")
    first, second, *_ = free
    open_bet = PlacedBet(
        job_id="earlier",
        card_id=card.card_id,
        fight_id=first,
        event_start=card.event_start,
        fighters=("Ana", "Bea"),
        fighter="Ana",
        bookmaker="Soft",
        price=2.0,
        stake=1_000,
        who="test",
    )
    ledger.bets.place(open_bet, taken=True)  # the night of this card is over
    outcome = answered(ledger, msgspec.structs.replace(job, card_id="other", contributions=True))
    room = outcome.origin and outcome.origin.room
    assert room is not None
    assert (room.fights[first], room.fights[second], room.card, room.bankroll) == (0, 1_000, 5_000, 100_000)
    assert isinstance(outcome.report, CardReport)
    limited = bets_of(outcome)
    assert first not in limited
    full = next(fight for fight in outcome.report.fights if fight.id == first)
    assert isinstance(full, FightReport)
    assert full.decision.reasons == ("exposure_full",)
    assert all(stake <= 0.01 for stake in limited.values())
    assert math.fsum(limited.values()) <= 0.05 + 1e-12
    ledger.bets.void(fight_id=first, user="test", reason="test")
    ledger.controls.set({"max_card_exposure": 1}, user="test", reason="less")
    code, report = replayed(outcome.job_id)
    assert (code, report["verdict"]) == (ExitCode.OK, "same")
    ledger.bets.place(msgspec.structs.replace(open_bet, bet_id="lost"), taken=True)
    ledger.bets.settle({"lost": "lost"}, user="test")
    ledger.controls.set({"drawdown_stop": 10}, user="test", reason="stop")
    stopped = answered(ledger, msgspec.structs.replace(job, card_id="stopped"))
    assert isinstance(stopped.report, CardReport)
    assert stopped.report.switches == ("drawdown_stop=on",)
    assert bets_of(stopped) == {}
    assert replayed(stopped.job_id)[1]["verdict"] == "same"


def test_an_altered_outcome_is_found_and_the_field_named(pool: Any, card: PredictCard, ledger: Ledger) -> None:
    outcome = answered(ledger, card)
    record = ledger.server.key("job", outcome.job_id)
    whole = json.loads(decompress(ledger.server.execute("HGET", record, "report")))

    def keep(change: Callable[[dict[str, Any]], None]) -> None:
        altered = json.loads(json.dumps(whole))
        change(altered)
        ledger.server.execute("HSET", record, "report", json.dumps(altered))

    def nudge(altered: dict[str, Any]) -> None:
        altered["fights"][1]["fighters"][0]["probability"] += 1e-13

    def bet(altered: dict[str, Any]) -> None:
        altered["fights"][0]["decision"]["action"] = "shrug"

    keep(bet)
    code, report = replayed(outcome.job_id)
    assert (code, report["verdict"]) == (ExitCode.FAILED, "differs")
    assert report["first_difference"]["field"] == "fights[0].decision.action"
    assert report["first_difference"]["kept"] == '"shrug"'

    keep(nudge)
    code, report = replayed(outcome.job_id)  # on the same machine, a bit is a bit
    assert (code, report["verdict"], report["agrees"]) == (ExitCode.FAILED, "close", False)
    assert report["first_difference"]["field"] == "fights[1].fighters[0].probability"
    assert report["largest_difference"] == pytest.approx(1e-13, rel=0.01)

    origin = json.loads(decompress(ledger.server.execute("HGET", record, "origin")))
    origin["surroundings"]["processor"] = "another one"
    ledger.server.execute("HSET", record, "origin", json.dumps(origin))
    code, report = replayed(outcome.job_id)
    assert (code, report["verdict"], report["agrees"]) == (ExitCode.OK, "close", True)
    assert "another one" in cornerman("replay", outcome.job_id).stdout
    keep(bet)
    assert replayed(outcome.job_id)[0] == ExitCode.FAILED


def test_failures_are_made_again_as_answers_are(pool: Any, card: PredictCard, ledger: Ledger) -> None:
    greedy = msgspec.structs.replace(card, card_id="g", intervals=IntervalOptions(bootstrap_samples=1000))
    failed = answered(ledger, greedy)
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.BOOTSTRAP_FAILED
    assert replayed(failed.job_id)[1]["verdict"] == "same"

    health = answered(ledger, CheckHealth(nonce="now"))
    code, report = replayed(health.job_id)  # which remembers nothing of the worker's memory
    assert (code, report["verdict"]) == (ExitCode.OK, "same")


def test_the_age_of_quotes_is_judged_as_of_then(
    models: list[Bundle], ledger: Ledger, until: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    read = datetime.fromtimestamp(ledger.server.time(), UTC)
    quote = Quote(bookmaker="Acme", prices={"Ana": 2.0, "Bea": 2.0}, as_of=read)
    fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=(quote,))
    stale, fresh = (
        PredictCard(card_id=str(age), event_start=LATER, fights=(fight,), max_quote_age_seconds=age)
        for age in (0.3, 60)
    )
    late = ledger.submit(stale).job_id
    until(lambda: ledger.server.time() > read.timestamp() + 0.3)
    request.getfixturevalue("pool")
    outcome = ledger.wait(late, WAIT_SECONDS)
    assert outcome.failure is not None
    assert outcome.failure.code is FailureCode.STALE_ODDS
    assert replayed(late)[1]["verdict"] == "same"  # with the age in its message
    taken = answered(ledger, fresh)
    assert taken.state is JobState.SUCCEEDED
    record = ledger.server.key("job", taken.job_id)
    origin = json.loads(decompress(ledger.server.execute("HGET", record, "origin")))
    origin["claimed_at"] = (read + timedelta(hours=1)).isoformat()
    ledger.server.execute("HSET", record, "origin", json.dumps(origin))
    code, failure = replayed(taken.job_id)
    assert (code, failure["code"]) == (ExitCode.FAILED, FailureCode.STALE_ODDS)


def test_what_cannot_be_replayed_says_why(pool: Any, models: list[Bundle], card: PredictCard, ledger: Ledger) -> None:
    assert cornerman("replay", "nosuchjob").exit_code == ExitCode.UNKNOWN_JOB
    missing = answered(ledger, msgspec.structs.replace(card, card_id="m", model="nobody"))
    assert replayed(missing.job_id)[1]["obstacle"] == "model_not_found"
    done = answered(ledger, card)
    once = answered(ledger, Replay(job_id=done.job_id))
    assert replayed(once.job_id)[1]["obstacle"] == "itself_a_replay"
    never = answered(ledger, Replay(job_id="nosuchjob"))
    assert never.failure is not None
    assert (never.failure.code, "job nosuchjob is unknown" in never.failure.message) == ("invalid_input", True)

    ledger.server.execute("HDEL", ledger.server.key("job", done.job_id), "origin")
    code, report = replayed(done.job_id)
    assert (code, report["verdict"], report["obstacle"]) == (ExitCode.FAILED, "not_replayable", "no_origin")
    assert "not replayable" in cornerman("replay", done.job_id).stdout

    other = answered(ledger, msgspec.structs.replace(card, card_id="o", model=models[1].digest))
    assert other.state is JobState.SUCCEEDED
    pool.stop()
    waiting = ledger.submit(msgspec.structs.replace(card, card_id="w")).job_id
    ran = cornerman("replay", waiting)
    assert (ran.exit_code, "wait for its outcome" in ran.stderr) == (ExitCode.FAILED, True)
    ledger.cancel(waiting)


def test_a_model_that_is_no_longer_kept_is_named(
    models: list[Bundle], card: PredictCard, ledger: Ledger, start_pool: Callable[..., Any], command_environment: None
) -> None:
    pool = start_pool(real=True, concurrency=1, CORNERMAN_MODELS=str(models[0].folder.parent))
    outcome = answered(ledger, msgspec.structs.replace(card, model=models[0].digest))
    assert outcome.state is JobState.SUCCEEDED
    pool.stop()
    start_pool(real=True, concurrency=1)  # whose folder of models is empty
    code, failure = replayed(outcome.job_id)
    assert (code, failure["code"]) == (ExitCode.FAILED, FailureCode.MODEL_NOT_FOUND)
    assert models[0].digest[:12] in failure["message"]


def test_a_training_is_done_again_and_keeps_nothing(
    league: League, ledger: Ledger, start_pool: Callable[..., Any], command_environment: None, tmp_path: Path
) -> None:
    folder = tmp_path / "league"
    write_fight_log(league.log, folder)
    kept = tmp_path / "kept"
    ledger.aliases.set("champion", "f" * 64)  # so that this training makes a challenger
    start_pool(queue="train", real=True, concurrency=1, CORNERMAN_MODELS=str(kept))
    quick = ["--fits", "1", "--folds", "3", "--forest-trees", "10", "--bootstrap-samples", "10"]
    trained = cornerman("train", str(folder), *quick, "--wait", "--json")
    assert trained.exit_code == 0, trained.output
    job_id = json.loads(trained.stdout)["receipt"]["job_id"]
    before = {path.name for path in kept.iterdir()}

    ran = cornerman("replay", job_id)
    assert (ran.exit_code, "--retrain" in ran.stderr) == (ExitCode.REFUSED, True)
    code, report = replayed(job_id, "--retrain")
    assert (code, report["verdict"]) == (ExitCode.OK, "same")
    assert {path.name for path in kept.iterdir()} == before

    record = ledger.server.key("job", job_id)
    altered = json.loads(decompress(ledger.server.execute("HGET", record, "report"))) | {"model": "f" * 64}
    ledger.server.execute("HSET", record, "report", json.dumps(altered))
    code, report = replayed(job_id, "--retrain")
    assert (code, report["first_difference"]["field"]) == (ExitCode.FAILED, "model")

    (folder / next(folder.iterdir()).name).write_bytes(b"")
    code, failure = replayed(job_id, "--retrain")
    assert (code, failure["code"]) == (ExitCode.FAILED, FailureCode.INVALID_INPUT)
