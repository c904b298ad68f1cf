from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger.contracts.bets import (
    DEFAULT_BANKROLL,
    BetConflictError,
    BetPlaced,
    BetRefusedError,
    BetSettled,
    BettingRoom,
    BetVoided,
    PlacedBet,
    UnknownBetError,
    default_bet_id,
)
from ledger.contracts.controls import Controls
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.ledger import Ledger

START = datetime(2099, 1, 3, 4, tzinfo=UTC)


def bet(**changes: Any) -> PlacedBet:
    fields: dict[str, Any] = {
        "job_id": "job",
        "card_id": "card",
        "fight_id": "fight",
        "event_start": START,
        "fighters": ("Ana", "Bea"),
        "fighter": "Ana",
        "bookmaker": "Alpha",
        "price": 2.35,
        "stake": 1001,
        "who": "ann",
    }
    return PlacedBet(**{**fields, **changes})


def set_controls(ledger: Ledger, **values: Any) -> None:
    ledger.controls.set(values, user="ann", reason="test")


def test_placing_twice_places_once(ledger: Ledger) -> None:
    first = ledger.bets.place(bet())
    again = ledger.bets.place(bet(who="bob"))
    assert (first.created, again.created) == (True, False)
    assert first.bet == again.bet
    assert first.bet.bet_id == default_bet_id("job", "fight", "paper")
    assert first.bet.placed_at is not None
    assert ledger.bets.exposure().total == 1001
    [entry] = ledger.bets.entries()
    assert isinstance(entry, BetPlaced)
    assert entry.bet == first.bet
    with pytest.raises(BetConflictError, match="1001 on Ana"):
        ledger.bets.place(bet(stake=1002))
    assert ledger.bets.place(bet(stake=1002, bet_id="second")).created


def test_a_payout_is_exact_and_never_rounded_up() -> None:
    assert bet(stake=1001, price=2.35).payout == 2352  # 2352.35
    assert bet(stake=3, price=1.1).payout == 3
    assert bet(stake=100, price=2.2, commission=0.05).payout == 214
    assert bet(stake=99_999_999_999, price=1.0000001).payout == 100_000_009_998


def test_a_bet_is_won_lost_or_void(ledger: Ledger) -> None:
    for fight in "abc":
        ledger.bets.place(bet(fight_id=fight))
    won, lost, void = (default_bet_id("job", fight, "paper") for fight in "abc")
    assert ledger.bets.settle({won: "won", lost: "lost"}, user="settler") == (won, lost)
    assert ledger.bets.void(fight_id="c", user="ann", reason="cancelled") == (void,)
    assert ledger.bets.settle({won: "won"}, user="settler") == ()
    assert ledger.bets.void([void], user="ann", reason="cancelled") == ()
    account = ledger.bets.account()
    assert (account.profit, account.staked, account.bankroll) == (350, 2002, DEFAULT_BANKROLL + 350)
    assert (account.peak, account.drawdown) == (DEFAULT_BANKROLL + 1351, 1001)
    assert (account.won, account.lost, account.void, account.open_bets, account.open) == (1, 1, 1, 0, 0)
    *_, first, second, third = ledger.bets.entries()
    assert isinstance(first, BetSettled)
    assert (first.result, first.returned, first.profit, first.reverses) == ("won", 2352, 1351, None)
    assert isinstance(second, BetSettled)
    assert (second.fight_id, second.profit) == ("b", -1001)
    assert isinstance(third, BetVoided)
    assert (third.bet_id, third.reason, third.who) == (void, "cancelled", "ann")
    assert ledger.bets.get(won).state == "won"
    with pytest.raises(UnknownBetError, match="nothing"):
        ledger.bets.settle({won: "won", "nothing": "lost"}, user="settler")


def test_a_settled_bet_stays_settled_unless_it_is_replaced_on_purpose(ledger: Ledger) -> None:
    bet_id = ledger.bets.place(bet()).bet.bet_id
    ledger.bets.settle({bet_id: "won"}, user="settler")
    with pytest.raises(BetConflictError, match="ended as won"):
        ledger.bets.settle({bet_id: "lost"}, user="settler")
    with pytest.raises(BetConflictError, match="ended as won"):
        ledger.bets.void([bet_id], user="ann", reason="cancelled")
    assert ledger.bets.settle({bet_id: "lost"}, user="settler", replace=True) == (bet_id,)
    *_, before, after = ledger.bets.entries()
    assert isinstance(after, BetSettled)
    assert (after.profit, after.profit_before, after.reverses) == (-1001, 1351, before.place)
    account = ledger.bets.account()
    assert (account.profit, account.won, account.lost, account.staked) == (-1001, 0, 1, 1001)


def test_two_who_place_at_once_cannot_exceed_a_cap_together(ledger: Ledger) -> None:
    set_controls(ledger, max_card_exposure=1000)  # 100,000

    def place(fight: int) -> bool:
        try:
            return ledger.bets.place(bet(fight_id=str(fight), stake=30_000)).created
        except BetRefusedError as refusal:
            return (refusal.cap, refusal.limit, refusal.room) != ("card", 100_000, 10_000)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(place, range(16))) == 3
    assert ledger.bets.exposure().cards == {"card": 90_000}


@pytest.mark.parametrize("cap", ["fight", "card", "bookmaker", "week"])
def test_each_cap_names_its_room(ledger: Ledger, cap: str) -> None:
    set_controls(ledger, bankroll=10_000, **{f"max_{cap}_exposure": 1500})
    ledger.bets.place(bet(bet_id="first"))
    with pytest.raises(BetRefusedError, match=f"max_{cap}_exposure is 1500 .* 499 is left") as refused:
        ledger.bets.place(bet(bet_id="second", stake=500))
    assert refused.value.failure.details == {"cap": cap, "limit": 1500, "room": 499}
    ledger.bets.place(bet(bet_id="third", stake=499))


def test_the_bankroll_itself_is_a_cap(ledger: Ledger) -> None:
    set_controls(ledger, bankroll=1500)
    ledger.bets.place(bet())
    with pytest.raises(BetRefusedError, match="bankroll is 1500 for 'all bets', 499 is left"):
        ledger.bets.place(bet(fight_id="other"))


def test_what_was_taken_already_is_recorded_whatever_the_caps_say(ledger: Ledger) -> None:
    set_controls(ledger, bankroll=100, betting="off")
    taken = ledger.bets.place(bet(mode="live", event_start=START - timedelta(days=36_500)), taken=True)
    assert taken.bet.beyond_caps
    assert ledger.bets.exposure("live").total == 1001
    assert ledger.bets.exposure().total == 0


def test_the_mode_and_the_start_refuse(ledger: Ledger) -> None:
    with pytest.raises(BetRefusedError, match="betting is paper, so that no live bet"):
        ledger.bets.place(bet(mode="live"))
    with pytest.raises(BetRefusedError, match="takes no more bets"):
        ledger.bets.place(bet(event_start=datetime(2020, 1, 1, tzinfo=UTC)))
    set_controls(ledger, betting="live")
    with pytest.raises(BetRefusedError, match="live bets need a bankroll"):
        ledger.bets.place(bet(mode="live"))
    with pytest.raises(BetRefusedError, match="betting is live, so that no paper bet"):
        ledger.bets.place(bet())
    set_controls(ledger, betting="off")
    with pytest.raises(BetRefusedError, match="betting is off"):
        ledger.bets.place(bet())
    assert ledger.bets.entries() == []


def test_the_drawdown_stop(ledger: Ledger) -> None:
    set_controls(ledger, bankroll=10_000, drawdown_stop=1000)
    ledger.bets.place(bet(bet_id="lost", stake=1000))
    ledger.bets.settle({"lost": "lost"}, user="settler")
    assert ledger.bets.account().stopped
    with pytest.raises(BetRefusedError, match="drawdown_stop"):
        ledger.bets.place(bet(bet_id="next", stake=1))
    set_controls(ledger, bankroll=20_000)  # a deposit is no gain: of 20,000, 1,000 are 5%
    assert not ledger.bets.account().stopped
    assert ledger.bets.place(bet(bet_id="next", stake=1)).created


def test_one_open_bet_of_a_fight(ledger: Ledger) -> None:
    ledger.bets.place(bet())
    with pytest.raises(BetRefusedError, match="has an open paper bet already"):
        ledger.bets.place(bet(job_id="newer"), once=True)
    assert not ledger.bets.place(bet(), once=True).created
    ledger.bets.void(fight_id="fight", user="ann", reason="a fighter was replaced")
    assert ledger.bets.place(bet(job_id="newer"), once=True).created


def test_a_bet_that_contradicts_itself_is_refused(ledger: Ledger) -> None:
    with pytest.raises(JobRefusedError, match="'Cleo' does not fight"):
        ledger.bets.place(bet(fighter="Cleo"))
    with pytest.raises(JobRefusedError, match="stake"):
        ledger.bets.place(bet(stake=0))
    with pytest.raises(JobRefusedError, match="split it"):
        ledger.bets.place(bet(stake=100_000_000_000))


def test_entries_are_read_page_by_page(ledger: Ledger) -> None:
    for number in range(5):
        ledger.bets.place(bet(fight_id=str(number)))
    first = ledger.bets.entries(limit=2)
    rest = ledger.bets.entries(after=first[-1].place)
    assert [entry.bet.fight_id for entry in (*first, *rest) if isinstance(entry, BetPlaced)] == [*"01234"]
    assert ledger.bets.entries(after=rest[-1].place) == []
    with pytest.raises(JobRefusedError, match="no place"):
        ledger.bets.entries(after="yesterday")


def test_the_room_of_a_card(ledger: Ledger) -> None:
    quotes = tuple(Quote(bookmaker=name, prices={"Ana": 2.0, "Bea": 2.0}) for name in ("Beta", "Alpha"))
    fights = tuple(
        Fight(id=name, fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=quotes) for name in ("fight", "next")
    )
    card = PredictCard(card_id="card", event_start=START, fights=fights)
    assert ledger.bets.room(card, Controls()) is None
    values = {"bankroll": 10_000, "max_fight_exposure": 2000, "max_bookmaker_exposure": 1000, "max_card_exposure": 5000}
    set_controls(ledger, **values)
    ledger.bets.place(bet(stake=900))
    room = ledger.bets.room(card, ledger.controls.current())
    assert room == BettingRoom(
        mode="paper",
        bankroll=10_000,
        total=9100,
        card=4100,
        fights={"fight": 1100, "next": 2000},
        bookmakers={"Alpha": 100, "Beta": 1000},
    )
    assert ledger.bets.room(card, Controls({**values, "betting": "off"})) is None
    assert msgspec.json.decode(msgspec.json.encode(room), type=BettingRoom) == room
