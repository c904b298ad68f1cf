from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ledger.bets.bet_register import BetRegister
from ledger.contracts.bets import BetSettled, PlacedBet
from ledger.contracts.controls import Controls
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.jobs import SettleBets
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.fight_results import FightResult
from tests.support.handler_context import claim_of, context_of
from workers.handlers.monitoring.settle_bets import settle_bets

START = datetime(2026, 11, 21, 22, tzinfo=UTC)
DAY = date(2026, 11, 21)


def bet(fight: str = "fight", **changes: Any) -> PlacedBet:
    fields: dict[str, Any] = {
        "job_id": "job",
        "card_id": "card",
        "fight_id": fight,
        "event_start": START,
        "fighters": ("Ana Núñez", "Bea"),
        "fighter": "Ana Núñez",
        "bookmaker": "Alpha",
        "price": 2.0,
        "stake": 100,
        "who": "ann",
    }
    return PlacedBet(**{**fields, **changes})


def place(ledger: Ledger, *bets: PlacedBet) -> list[str]:
    return [ledger.bets.place(one, taken=True).bet.bet_id for one in bets]


def result(fighters: tuple[str, str] = ("Bea", "Ana Nunez"), winner: int | None = 1, **changes: Any) -> FightResult:
    fields = {"date": DAY, "ending": "won" if winner is not None else "draw", **changes}
    return FightResult(fighters=fighters, winner=winner, **fields)  # type: ignore[arg-type]


def settle(ledger: Ledger, **controls: bool) -> BetSettlementReport:
    claim = claim_of("settle_bets", controls=Controls(dict(controls)))
    return settle_bets(SettleBets(), context_of(claim, ledger=ledger))


def states(ledger: Ledger, ids: list[str]) -> list[str]:
    return [ledger.bets.get(bet_id).state for bet_id in ids]


def test_bets_are_settled_by_their_results(ledger: Ledger) -> None:
    ids = place(
        ledger,
        bet(),
        bet(fighter="Bea", bet_id="other side"),
        bet("drawn", fighters=("Cleo", "Dora"), fighter="Dora"),
        bet("later", fighters=("Eve", "Fay"), fighter="Eve", event_start=datetime(2099, 1, 1, tzinfo=UTC)),
        bet("unknown", fighters=("Gia", "Hel"), fighter="Hel"),
    )
    ledger.fight_results.add([result(), result(("Dora", "Cleo"), None)], user="ann")
    report = settle(ledger)
    assert states(ledger, ids) == ["won", "lost", "void", "open", "open"]
    assert (report.won, report.lost, report.void, report.profit, report.open) == (1, 1, 1, 0, 2)
    assert report.waiting == (ids[4],)
    again = settle(ledger)
    assert (again.won, again.lost, again.void, again.waiting) == (0, 0, 0, (ids[4],))
    assert ledger.bets.exposure().total == 200


def test_a_result_a_day_off_and_without_accents_belongs_to_the_bet(ledger: Ledger) -> None:
    [bet_id] = place(ledger, bet())
    ledger.fight_results.add([result(date=DAY + timedelta(days=2))], user="ann")
    assert settle(ledger).won == 0
    ledger.fight_results.add([result(date=DAY + timedelta(days=1))], user="ann")
    assert settle(ledger).won == 1
    assert states(ledger, [bet_id]) == ["won"]


def test_a_result_with_the_id_of_the_fight_may_be_of_another_day_but_not_of_a_fight_before(ledger: Ledger) -> None:
    ids = place(ledger, bet("moved"), bet("1", event_start=START + timedelta(days=400)))
    ledger.fight_results.add(
        [
            result(date=DAY + timedelta(days=9), fight_ids=("moved",)),
            result(("Ana Núñez", "Bea"), 1, date=DAY - timedelta(days=5), fight_ids=("1",)),
        ],
        user="ann",
    )
    assert settle(ledger).won == 1
    assert states(ledger, ids) == ["won", "open"]


def test_results_that_contradict_each_other_settle_nothing(ledger: Ledger) -> None:
    [bet_id] = place(ledger, bet())
    ledger.fight_results.add([result(), result(("Bea", "ANA NÚÑEZ"), 0)], user="ann")
    report = settle(ledger)
    assert (report.won, report.lost, report.unclear) == (0, 0, (bet_id,))
    assert states(ledger, [bet_id]) == ["open"]


def test_a_result_that_is_overturned_settles_again_only_if_the_control_says_so(ledger: Ledger) -> None:
    [bet_id] = place(ledger, bet())
    ledger.fight_results.add([result()], user="ann")
    assert settle(ledger).won == 1
    ledger.fight_results.add([result(winner=None, ending="no_contest")], user="commission")
    assert settle(ledger).void == 0
    assert states(ledger, [bet_id]) == ["won"]
    report = settle(ledger, resettle_bets=True)
    assert (report.void, report.resettled, report.profit) == (1, 1, -100)
    *_, before, after = ledger.bets.entries()
    assert isinstance(after, BetSettled)
    assert (after.result, after.profit, after.profit_before, after.reverses) == ("void", 0, 100, before.place)
    assert settle(ledger, resettle_bets=True).resettled == 0
    assert ledger.bets.account().profit == 0


def test_a_bet_that_is_open_when_its_result_is_overturned_has_the_announced_result(ledger: Ledger) -> None:
    [bet_id] = place(ledger, bet())
    ledger.fight_results.add([result()], user="ann")
    ledger.fight_results.add([result(winner=0)], user="commission")
    settle(ledger)
    assert states(ledger, [bet_id]) == ["won"]


def test_a_voided_bet_stays_void(ledger: Ledger) -> None:
    ids = place(ledger, bet())
    ledger.bets.void(ids, user="ann", reason="cancelled")
    ledger.fight_results.add([result()], user="ann")
    assert settle(ledger, resettle_bets=True).won == 0
    assert states(ledger, ids) == ["void"]


@pytest.mark.parametrize("calls", [1, 4, 9])
def test_a_kill_settles_no_bet_twice_and_leaves_none(
    ledger: Ledger, ledger_settings: LedgerSettings, calls: int
) -> None:
    ids = place(ledger, *(bet(f"fight {n}", bet_id=f"{n}", fighter=("Ana Núñez", "Bea")[n % 2]) for n in range(10)))
    ledger.fight_results.add([result()], user="ann")

    def killed() -> None:
        left = [calls]
        plain = BetRegister.settle

        def settle_and_die(self: BetRegister, *args: Any, **kwargs: Any) -> Any:
            settled = plain(self, *args, **kwargs)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return settled

        BetRegister.settle = settle_and_die  # type: ignore[method-assign]
        settle(Ledger.connect(ledger_settings))

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    report = settle(ledger)
    assert report.won + report.lost == 10 - calls
    entries = [entry for entry in ledger.bets.entries() if isinstance(entry, BetSettled)]
    assert sorted(entry.bet_id for entry in entries) == sorted(ids)
    assert ledger.bets.account().profit == 0
    assert ledger.bets.exposure().total == 0
