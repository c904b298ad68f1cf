"""Every alert fires for real: a server, pools and jobs as in production, told of in the log and at a webhook.

`PoolDown`, which Prometheus alone can see, is in test_prometheus.py. How long a value has to be beyond its threshold is
set to nothing, and that of the age of waiting jobs to a second, by the setting that operators have for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from engine.model.bundle import Bundle
from engine.simulation.league import League
from ledger.contracts.bets import PlacedBet
from ledger.contracts.feeds import FeedBudget, FeedState
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import (
    CheckHealth,
    DecisionRules,
    Fight,
    Fighter,
    IntervalOptions,
    PredictCard,
    Quote,
    TrainEnsemble,
)
from ledger.contracts.reports import CardReport, FightReport
from ledger.contracts.schedules import Schedule
from ledger.ledger import Ledger
from ledger.models.drift_figures import DriftFigures
from ledger.models.fight_results import FightResult
from tests.support.alert_receiver import SEEN_BY_PROMETHEUS, STATUS, TOKEN, Alarm, Receiver, at_once
from tests.support.endpoints import HASTY, checks
from tests.support.small_models import first_card, trained, wrong
from workers.alerts.rules import RULES

WAIT_SECONDS = 60
LIMIT_MB = 600

LOST_BET = PlacedBet(
    job_id="job",
    card_id="card",
    fight_id="fight",
    event_start=datetime(2026, 1, 1, tzinfo=UTC),
    fighters=("Ana", "Bea"),
    fighter="Ana",
    bookmaker="a",
    price=2.0,
    stake=1000,
    who="test",
)

Until = Callable[..., None]
StartPool = Callable[..., Any]

OF_JOBS = {"HighErrorRate", "DeadLetters", "CalibrationDrift", "Quarantined"}
OF_QUEUES = {"NoConsumer", "TrainingWaits", "OldestJobWaits"}
OF_MEMORY = {"HighMemory", "PoolMemoryExceeded"}
OF_CONNECTIONS = {"NotConsuming", "LedgerUnavailable"}
OF_MODELS = {"ModelNotLoaded", "ReferencePredictionsWrong"}
OF_ANSWERS = {"FightsUnanswered", "HighUncertainty", "SlowPredictions"}
OF_THE_MARKET = {"IntervalsMissMarket95", "IntervalsMissMarket80"}
OF_OTHER_POOLS = {"LeasesLost"}
OF_STATES = {"StateLags"}
OF_FEEDS = {"FeedSilent", "FeedBudgetLow"}
OF_ARCHIVE = {"ArchiveBehind"}
OF_SCHEDULES = {"ScheduleFailed", "ScheduleLate"}
OF_BETS = {"DrawdownStop"}
OF_OUTCOMES = {"OutcomesUnconfirmed"}  # in test_unconfirmed_outcomes.py
OF_THE_SERVER = {"ServerEvicts"}  # in test_evicting_server.py


def test_none_is_left_out() -> None:
    fired = [
        OF_JOBS,
        OF_QUEUES,
        OF_MEMORY,
        OF_CONNECTIONS,
        OF_MODELS,
        OF_ANSWERS,
        OF_THE_MARKET,
        OF_OTHER_POOLS,
        OF_STATES,
        OF_ARCHIVE,
        OF_SCHEDULES,
        OF_FEEDS,
        OF_BETS,
        OF_OUTCOMES,
        OF_THE_SERVER,
    ]
    told = [name for names in fired for name in names]
    assert sorted(told + SEEN_BY_PROMETHEUS) == sorted(rule.name for rule in RULES)


@pytest.fixture
def start_alarmed(start_pool: StartPool, receiver: Receiver, until: Until) -> Callable[..., tuple[Any, Alarm]]:
    """Start a pool that tells of its alerts at once."""

    def start(thresholds: dict[str, float] | None = None, **settings: Any) -> tuple[Any, Alarm]:
        alerts = {"CORNERMAN_ALERTS": at_once(**thresholds or {}), "CORNERMAN_WEBHOOK_URL": receiver.url}
        pool = start_pool(**alerts, **HASTY, **settings)
        return pool, Alarm(pool.log, receiver, until)

    return start


@pytest.mark.new_interpreter  # for its memory
def test_alerts_about_jobs_queues_memory_and_connections(
    ledger: Ledger, start_alarmed: Callable[..., tuple[Any, Alarm]], receiver: Receiver, until: Until
) -> None:
    pool, alarm = start_alarmed(
        {"OldestJobWaits": 1.0, "TrainingWaits": 1.0},
        concurrency=2,
        CORNERMAN_CHILD_MAX_MEMORY_MB=str(LIMIT_MB),
        CORNERMAN_REPLY_TIMEOUT_SECONDS="0.3",
    )
    training = ledger.submit(TrainEnsemble(data="nowhere")).job_id
    ledger.submit_many([CheckHealth(nonce="kill_itself"), *(CheckHealth(nonce=f"nan:{number}") for number in range(6))])
    ledger.server.execute("LPUSH", f"{ledger.settings.namespace}:doorbell:predict", "cos\nsystem\n")
    ledger.drift_figures.set(DriftFigures(model="a" * 64, drift=0.2, fights=300))
    alarm.fires("NoConsumer", "TrainingWaits", *OF_JOBS)
    until(lambda: {alert["name"] for found in ledger.pools.alive() for alert in found["alerts"]} >= OF_JOBS)
    ledger.cancel(training)
    ledger.dead_letters.purge_all()
    ledger.drift_figures.set(DriftFigures(model="a" * 64, drift=0.01, fights=600))
    ledger.quarantine.purge("predict")
    ledger.submit_many([CheckHealth(nonce=f"answer:{number}") for number in range(200)])
    alarm.clears("NoConsumer", "TrainingWaits", *OF_JOBS)

    largest = max(pool.children(), key=lambda child: child.memory_info().rss)
    missing_mb = 0.95 * LIMIT_MB - largest.memory_info().rss / 2**20
    ledger.submit(CheckHealth(nonce=f"leak:shared:{missing_mb:.0f}"))
    alarm.fires("HighMemory")
    max(pool.children(), key=lambda child: child.memory_info().rss).kill()
    alarm.clears("HighMemory")
    ledger.controls.set({"max_memory_mb.predict": 64}, user="test", reason="less than there is")
    alarm.fires("PoolMemoryExceeded")
    ledger.controls.set({"max_memory_mb.predict": None}, user="test", reason="enough")
    alarm.clears("PoolMemoryExceeded")

    ledger.controls.set({"pause.predict": True}, user="test", reason="so that it waits")
    ledger.submit(CheckHealth(nonce="it waits"))
    alarm.fires("OldestJobWaits")
    ledger.controls.set({"pause.predict": None}, user="test", reason="it has waited")
    alarm.clears("OldestJobWaits")

    until(lambda: checks(ledger.pools.alive()[0]["http"])[0] == 200)
    until(lambda: len(pool.children()) == 2)  # a child that is yet to come would answer for the others
    frozen = pool.children()
    for child in frozen:
        child.suspend()
    alarm.fires("NotConsuming")
    for child in frozen:
        child.resume()
    alarm.clears("NotConsuming")
    ledger.server.execute("CLIENT", "PAUSE", 3000)  # longer than the pool waits for a reply
    alarm.fires("LedgerUnavailable")
    ledger.server.execute("CLIENT", "UNPAUSE")
    alarm.clears("LedgerUnavailable")

    post = next(post for post in receiver.posts if post["alert"] == "NoConsumer")
    assert (post["severity"], post["labels"], post["value"]) == ("critical", {"queue": "train"}, 1)
    assert post["pool"] == ledger.pools.alive()[0]["name"]
    assert post["action"]
    assert TOKEN not in pool.log.read_text()
    assert {(STATUS[line["event"]], line["level"]) for line in alarm.lines()} == {
        ("firing", "warning"),
        ("resolved", "info"),
    }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained(tmp_path_factory.mktemp("models"), seed=3)


def named(card: PredictCard, card_id: str, **changes: Any) -> PredictCard:
    return msgspec.structs.replace(card, card_id=card_id, **changes)


def unknown(number: int) -> Fight:
    return Fight(id=f"unknown {number}", fighters=(Fighter(name=f"Nobody {number}"), Fighter(name=f"No One {number}")))


def priced(fight: Fight, probability: float) -> Fight:
    """The fight with one bookmaker who gives the first fighter this probability, with a margin of 2%."""
    first, second = (fighter.name for fighter in fight.fighters)
    prices = {first: 1 / (1.02 * probability), second: 1 / (1.02 * (1 - probability))}
    return msgspec.structs.replace(fight, quotes=(Quote(bookmaker="one", prices=prices),))


def answered(ledger: Ledger, cards: list[PredictCard]) -> list[CardReport]:
    reports = [ledger.wait(receipt.job_id, WAIT_SECONDS).report for receipt in ledger.submit_many(cards)]
    return [report for report in reports if isinstance(report, CardReport)]


def test_alerts_about_models_answers_and_the_market(
    league: League, bundle: Bundle, ledger: Ledger, start_alarmed: Callable[..., tuple[Any, Alarm]]
) -> None:
    models = {"CORNERMAN_MODELS": str(bundle.folder.parent)}
    narrow = {"HighUncertainty": 0.27}  # the width at 80% of a model of 450 fights is above it, that at 50% below
    _, alarm = start_alarmed(narrow, concurrency=1, script="slow_cards.py", **models)
    ledger.models.register("ab" * 32, {})
    ledger.aliases.set("champion", "ab" * 32)
    alarm.fires("ModelNotLoaded")
    for model in (bundle, other := wrong(bundle)):
        ledger.models.register(model.digest, {})
    ledger.aliases.set("champion", bundle.digest)
    alarm.clears("ModelNotLoaded")
    ledger.aliases.set("champion", other.digest)
    alarm.fires("ReferencePredictionsWrong")
    ledger.aliases.set("champion", bundle.digest)
    alarm.clears("ReferencePredictionsWrong")

    card = first_card(league)
    slow = ledger.submit(named(card, "slow:5.1")).job_id
    alarm.fires("SlowPredictions", "HighUncertainty")
    assert ledger.wait(slow, WAIT_SECONDS).state is JobState.SUCCEEDED
    answered(ledger, [named(card, "nobody", fights=tuple(map(unknown, range(30))))])
    alarm.fires("FightsUnanswered")

    (report,) = answered(ledger, [named(card, "asked")])
    said = {fight.id: fight.fighters[0].probability for fight in report.fights if isinstance(fight, FightReport)}
    assert len(said) == len(card.fights)
    agreed = tuple(priced(fight, said[fight.id]) for fight in card.fights)
    reversed_ = tuple(priced(fight, 0.02 if said[fight.id] > 0.2 else 0.9) for fight in card.fights)
    # At the level by which these decide, intervals are narrower than those of a level of 0.8.
    calm = {"rules": DecisionRules(level=0.5), "intervals": IntervalOptions(levels=(0.5, 0.8, 0.95))}
    answered(ledger, [named(card, f"astray {number}", fights=reversed_, **calm) for number in range(6)])
    answered(ledger, [named(card, f"agreed {number}", fights=agreed, **calm) for number in range(11)])
    alarm.fires(*OF_THE_MARKET)  # a third of these 200 probabilities are outside
    answered(ledger, [named(card, f"agreed again {number}", fights=agreed, **calm) for number in range(55)])
    alarm.clears(*OF_THE_MARKET, *OF_ANSWERS)


def test_a_champion_that_does_not_know_the_last_results_is_reported(
    ledger: Ledger, start_alarmed: Callable[..., tuple[Any, Alarm]]
) -> None:
    event = datetime.now(UTC).date() - timedelta(days=20)
    for model, cutoff in (("a" * 64, event - timedelta(days=7)), ("b" * 64, event)):
        ledger.models.register(model, {"state": {"digest": "c" * 64, "cutoff": str(cutoff)}})
    ledger.fight_results.add([FightResult(date=event, fighters=("Ana", "Bea"), winner=0)], user="test")
    ledger.aliases.set("champion", "a" * 64, user="test", reason="the old one")
    _, alarm = start_alarmed(concurrency=1)
    alarm.fires("StateLags")
    ledger.aliases.set("champion", "b" * 64, user="test", reason="updated")
    alarm.clears("StateLags")


def caught_up(ledger: Ledger, *, days_ago: int) -> None:
    """Note an archive that had all that was due `days_ago`."""
    at_ms = round(ledger.server.time() * 1000) - days_ago * 86_400_000
    state = {
        "store": "s3://archive",
        "folder": "f",
        "version": 1,
        "manifest": "m",
        "outcomes": 1,
        "files": 1,
        "bytes": 1,
    }
    fields = [part for pair in {**state, "written": at_ms, "caught_up": at_ms}.items() for part in pair]
    ledger.server.execute("HSET", ledger.server.key("archive"), *fields)


def test_feeds_and_schedules_that_do_not_run_and_a_drawdown_stop_are_reported(
    ledger: Ledger, start_alarmed: Callable[..., tuple[Any, Alarm]]
) -> None:
    audit = {"user": "test", "reason": "no monitoring pool is alive"}
    failing = Schedule(name="failing", cron="0 0 1 1 *", jobs=(CheckHealth(model="none"),))
    for schedule in (failing, structs.replace(failing, name="late", cron="* * * * *")):
        ledger.schedules.put(schedule, **audit)
    ledger.server.execute("HINCRBY", ledger.server.key("schedule", "late"), "done", -600_000)
    run = ledger.schedules.run_now("failing", **audit)
    ledger.cancel(run.run_id)
    ledger.server.execute("HSET", ledger.server.key("job", run.run_id), "state", "failed")
    ledger.due_runs().note_outcomes()
    ledger.feeds.leases.join("ufc", "runner", source="a test", lease_seconds=0.1)
    ledger.feeds.end_poll("ufc", FeedState(budget=FeedBudget(remaining=3, coverage=0.2)), totals={})
    bet_id = ledger.bets.place(LOST_BET, taken=True).bet.bet_id
    ledger.bets.settle({bet_id: "lost"}, user="test")
    ledger.controls.set({"drawdown_stop": 1}, user="test", reason="low")
    caught_up(ledger, days_ago=3)
    _, alarm = start_alarmed(concurrency=1)
    alarm.fires(*OF_FEEDS, *OF_ARCHIVE, *OF_SCHEDULES, *OF_BETS)
    caught_up(ledger, days_ago=0)
    ledger.controls.set({"drawdown_stop": 5000}, user="test", reason="high")
    for name in ("failing", "late"):
        ledger.schedules.remove(name, **audit)
    ledger.feeds.leases.join("ufc", "runner", source="a test", lease_seconds=600.0)
    ledger.feeds.end_poll("ufc", FeedState(budget=FeedBudget(remaining=300, coverage=1.0)), totals={})
    alarm.clears(*OF_FEEDS, *OF_ARCHIVE, *OF_SCHEDULES, *OF_BETS)


def test_jobs_taken_over_from_a_dead_pool_are_told(
    ledger: Ledger, start_pool: StartPool, start_alarmed: Callable[..., tuple[Any, Alarm]], until: Until
) -> None:
    first = start_pool(concurrency=1, CORNERMAN_LEASE_SECONDS="1", **HASTY)
    job_id = ledger.submit(CheckHealth(nonce="block_at_first")).job_id
    until(lambda: ledger.status(job_id).progress)
    _, alarm = start_alarmed(concurrency=1, CORNERMAN_LEASE_SECONDS="1")
    first.process.kill()
    alarm.fires("LeasesLost")  # and for a quarter of an hour, which its table holds: test_alerts.py


def test_a_webhook_that_does_not_answer_holds_up_nothing(ledger: Ledger, start_pool: StartPool, until: Until) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{TOKEN}"
        pool = start_pool(concurrency=1, CORNERMAN_ALERTS=at_once(), CORNERMAN_WEBHOOK_URL=url, **HASTY)
        ledger.drift_figures.set(DriftFigures(model="a" * 64, drift=0.2, fights=300))
        until(lambda: "CalibrationDrift" in pool.log.read_text())
        ledger.submit(TrainEnsemble(data="nowhere"))
        until(lambda: "NoConsumer" in pool.log.read_text())  # judged while the first is still being posted
        until(lambda: checks(ledger.pools.alive()[0]["http"])[0] == 200)
        assert pool.stop() == 0
