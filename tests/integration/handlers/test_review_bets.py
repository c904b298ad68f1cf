"""A review of bets on a real ledger: figures by rules, bookmakers and probability, closes, and abstentions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from msgspec.structs import replace

from engine.market.devigging import devig
from ledger.contracts.bets import BetResult, PlacedBet
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.job_reports.bets_report import BetsReport, rules_digest
from ledger.contracts.jobs import DecisionRules, Fight, Fighter, Quote, ReviewBets, TrainEnsemble
from ledger.contracts.prediction_record import PredictionPage, PredictionRecord
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, Settlement
from ledger.models.fight_results import FightResult
from tests.support.handler_context import claim_of
from workers.handlers.monitoring.review_bets import review_bets
from workers.jobs.context import JobContext
from workers.settings import WorkerSettings

FIRST = datetime(2026, 1, 3, 20, 0, tzinfo=UTC)
EVENTS, FIGHTS = 12, 4
CAREFUL = DecisionRules(kelly_fraction=0.1)
Review = Callable[..., BetsReport]


@pytest.fixture
def review(ledger: Ledger, tmp_path: Path) -> Review:
    context = JobContext(claim_of("review_bets"), WorkerSettings(data=tmp_path), ledger, cast("Any", None), 0.0)
    return lambda **fields: review_bets(ReviewBets(**fields), context)


def start_of(event: int) -> datetime:
    return FIRST + timedelta(days=7 * event)


def bet_of(event: int, fight: int, **changes: Any) -> PlacedBet:
    usual = PlacedBet(
        bet_id=f"bet-{event}-{fight}",
        job_id=f"job-{event}",
        card_id=f"card-{event}",
        fight_id=f"fight-{event}-{fight}",
        event_start=start_of(event),
        fighters=("Ana", "Bea"),
        fighter="Ana",
        bookmaker="North" if fight % 2 else "South",
        price=2.2,
        stake=100 + 10 * fight,
        probability=0.55 if fight % 2 else 0.35,
        rules=CAREFUL if fight == 0 else DecisionRules(),
        who="ann",
    )
    return replace(usual, **changes)


def result_of(event: int, fight: int) -> BetResult:
    return "won" if (3 * event + 5 * fight) % 7 < 4 else "lost"


@pytest.fixture
def season(ledger: Ledger) -> list[PlacedBet]:
    """Settled bets of twelve events, of which all but the last fight of each have a close."""
    bets = [bet_of(event, fight) for event in range(EVENTS) for fight in range(FIGHTS)]
    fighters = (Fighter(name="Ana"), Fighter(name="Bea"))
    for event in range(EVENTS):
        for hours, prices in ((48, {"Ana": 2.2, "Bea": 1.7}), (1, {"Ana": 2.0, "Bea": 1.9})):
            quotes = tuple(Quote(bookmaker=name, prices=prices) for name in ("North", "South"))
            names = [f"fight-{event}-{fight}" for fight in range(FIGHTS - 1)]
            fights = [Fight(id=name, fighters=fighters, quotes=quotes) for name in names]
            ledger.prices.record(fights, start_of(event) - timedelta(hours=hours))
    for bet in bets:
        ledger.bets.place(bet, taken=True)
    for event in range(EVENTS):
        ledger.bets.settle({f"bet-{event}-{fight}": result_of(event, fight) for fight in range(FIGHTS)}, user="ann")
    return bets


def test_a_review_has_the_figures_of_all_settled_bets(ledger: Ledger, season: list[PlacedBet], review: Review) -> None:
    ledger.bets.place(bet_of(EVENTS, 0), taken=True)
    ledger.bets.place(bet_of(EVENTS, 1), taken=True)
    ledger.bets.void([f"bet-{EVENTS}-1"], user="ann", reason="no bout")
    ledger.bets.place(bet_of(EVENTS, 2, mode="live"), taken=True)
    report = review()
    account = ledger.bets.account("paper")
    total = report.total
    assert (report.mode, report.start, report.open, report.void) == ("paper", account.start, 1, 1)
    assert (total.bets, total.events, total.won) == (48, 12, account.won)
    assert (total.staked, total.profit) == (account.staked, account.profit)
    assert total.return_on_stake is not None
    assert total.return_on_stake.value == pytest.approx(account.profit / account.staked)
    assert total.return_on_stake.lower is not None
    assert report.drawdown.amount > 0

    # Closing-line value: the price that was taken against the fair closing price of the last quotes.
    fair = float(devig([[2.0, 1.9]])[0, 0])
    assert total.closing is not None
    assert total.closing.bets == 36
    assert total.closing.edge.value == pytest.approx(2.2 * fair - 1.0)
    assert total.closing.log_ratio.value == pytest.approx(np.log(2.2 * fair))
    assert total.closing.beaten.value == 1.0

    # By rules, bookmaker and probability.
    assert report.rules_tried == 2
    assert [(rule.digest, rule.rules, rule.figures.bets) for rule in report.rules] == [
        (rules_digest(DecisionRules()), DecisionRules(), 36),
        (rules_digest(CAREFUL), CAREFUL, 12),
    ]
    assert all(rule.p_value is not None for rule in report.rules)
    assert {group.name: group.figures.bets for group in report.bookmakers} == {"North": 24, "South": 24}
    assert {group.name: group.figures.bets for group in report.bands} == {"30% to 40%": 24, "50% to 60%": 24}
    for groups in (report.bookmakers, report.bands):
        assert sum(group.figures.profit for group in groups) == total.profit

    # The days add up to the whole.
    assert [day.day for day in report.days] == [start_of(event).date() for event in range(EVENTS)]
    assert sum(day.profit for day in report.days) == total.profit
    closed = sum(bet.stake for bet in season if not bet.fight_id.endswith("-3"))
    assert sum(day.expected for day in report.days) == pytest.approx(closed * (2.2 * fair - 1.0))
    assert review() == report


def test_a_range_a_rule_and_the_number_of_tries_are_chosen(season: list[PlacedBet], review: Review) -> None:
    later = review(since=start_of(4), until=start_of(6))
    assert (later.total.bets, later.total.events) == (2 * FIGHTS, 2)
    assert later.total.return_on_stake is not None
    assert later.total.return_on_stake.lower is None  # two events are too few
    before = review(until=start_of(4)).total.profit
    assert later.start == review().start + before
    one = review(rule=rules_digest(CAREFUL)[:8], rules_tried=20)
    assert one.rule == rules_digest(CAREFUL)[:8]
    assert ([rule.digest for rule in one.rules], one.rules_tried) == ([rules_digest(CAREFUL)], 20)
    (wide,), (narrow,) = one.rules, review(rule=rules_digest(CAREFUL)[:8]).rules
    assert wide.simultaneous is not None
    assert narrow.simultaneous is not None
    assert wide.simultaneous.upper > narrow.simultaneous.upper  # type: ignore[operator]
    with pytest.raises(JobRefusedError, match="no settled bet was decided by rules"):
        review(rule="0" * 12)


def test_a_bet_that_is_settled_again_counts_as_at_last(ledger: Ledger, season: list[PlacedBet], review: Review) -> None:
    before = review().total
    other = {"won": "lost", "lost": "won"}[result_of(0, 0)]
    ledger.bets.settle({"bet-0-0": cast("BetResult", other)}, user="ann", replace=True)
    assert abs(review().total.won - before.won) == 1
    ledger.bets.settle({"bet-0-0": "void"}, user="ann", replace=True)
    report = review()
    assert (report.total.bets, report.void, report.open) == (47, 1, 0)
    assert report.total.profit == ledger.bets.account("paper").profit


def test_an_empty_register_is_reviewed(review: Review) -> None:
    report = review(mode="live")
    assert (report.mode, report.total.bets, report.total.return_on_stake, report.days) == ("live", 0, None, ())


def log(ledger: Ledger, day: date, entries: list[PredictionRecord]) -> None:
    """Put entries into the prediction log, through the script that settles cards."""
    start = datetime(2099, 1, 1, tzinfo=UTC)
    page = PredictionPage.from_records(start, [(" v ".join(entry.fighters), entry) for entry in entries])
    ledger.submit(TrainEnsemble(data=str(day)))
    (claim,) = ledger.claim("train", "n#1/1")
    report = HealthReport(status="healthy", checks=(), memory_mb=1.0)
    ledger.settle_batch([Settlement.from_result(claim, report, replace(page, day=day))])


def test_abstentions_name_what_they_forwent_or_saved(ledger: Ledger, review: Review) -> None:
    results = []
    for event in range(EVENTS):
        day = start_of(event).date()
        usual = PredictionRecord(
            day=day,
            fighters=("Ana", "Bea"),
            model="0" * 64,
            role="live",
            job_id="past",
            probability=0.6,
            intervals=(),
            action="abstain",
            reasons=("not_certain_enough",),
            fight_id=f"{event}-0",
            offered=(1.5, 3.0),
        )
        entries = [
            usual,  # the second side is better: 0.4 * 3.0 > 0.6 * 1.5, and it loses
            replace(
                usual, fighters=("Cleo", "Dora"), fight_id=f"{event}-1", reasons=("not_certain_enough", "no_stake")
            ),
            replace(usual, fighters=("Eva", "Fay"), fight_id=f"{event}-2", offered=(None, None)),
            replace(usual, fighters=("Gil", "Hana"), fight_id=f"{event}-3", action="bet", reasons=(), bet_on=0),
            replace(usual, fighters=("Ines", "Jana"), fight_id=f"{event}-4"),  # an earlier answer had a bet
            replace(usual, fighters=("Kim", "Lea"), fight_id=f"{event}-5"),  # no result yet
        ]
        log(ledger, day, entries)
        ledger.bets.place(bet_of(event, 4, fight_id=f"{event}-4"), taken=True)
        results += [
            FightResult(date=day, fighters=entry.fighters, winner=1 if entry.fight_id == f"{event}-1" else 0)
            for entry in entries[:-1]
        ]
    ledger.fight_results.add(results, user="ann")
    report = review()
    assert (report.unpriced, report.waiting) == (EVENTS, EVENTS)
    assert [(one.reason, one.fights, one.profit) for one in report.abstentions] == [
        ("all", 24, 12 * (-1.0 + 2.0)),
        ("not_certain_enough", 24, 12.0),
        ("no_stake", 12, 24.0),
    ]
    assert report.abstentions[0].per_fight.value == pytest.approx(0.5)
    assert report.abstentions[0].per_fight.lower is not None
    later = review(since=start_of(4), until=start_of(6))
    assert [one.fights for one in later.abstentions] == [4, 4, 2]
