"""The register of bets against a naive model: what is at stake is the sum of the open bets, and no cap is exceeded."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger.contracts.bets import (
    BetConflictError,
    BetPlaced,
    BetRefusedError,
    BetResult,
    BetSettled,
    BetVoided,
    CapName,
    PlacedBet,
)
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

CAPS: dict[CapName, int] = {"fight": 900, "card": 1500, "bookmaker": 1200, "week": 2000}
BANKROLL = 10_000
STOP = 4_000
WEEKS = ("2098-W01", "2099-W01")


class Bets(RuleBasedStateMachine):
    """Two placers, a settler and one who voids, on one register."""

    server: EmbeddedServer

    @initialize()
    def open(self) -> None:
        self.ledgers = [
            Ledger.connect(LedgerSettings(redis_url=self.server.url, namespace=namespace))
            for namespace in [f"test-{uuid.uuid4().hex}"] * 2
        ]
        controls = {f"max_{cap}_exposure": share for cap, share in CAPS.items()}
        self.ledgers[0].controls.set(
            {**controls, "bankroll": BANKROLL, "drawdown_stop": STOP}, user="ann", reason="test"
        )
        self.bets: dict[str, PlacedBet] = {}
        self.state: dict[str, str] = {}
        self.profit = 0
        self.peak = 0

    def teardown(self) -> None:
        for ledger in getattr(self, "ledgers", ()):
            ledger.close()

    def at_stake(self, field: str, value: str) -> int:
        return sum(
            bet.stake for name, bet in self.bets.items() if self.state[name] == "open" and getattr(bet, field) == value
        )

    def limit(self, cap: CapName) -> int:
        return max(BANKROLL + self.profit, 0) * CAPS[cap] // 10_000

    @property
    def stopped(self) -> bool:
        return self.peak > self.profit and Fraction(self.peak - self.profit, BANKROLL + self.peak) >= Fraction(
            STOP, 10_000
        )

    @rule(
        placer=st.sampled_from([0, 1]),
        job=st.integers(0, 3),
        fight=st.integers(0, 5),
        bookmaker=st.sampled_from(["Alpha", "Beta"]),
        stake=st.integers(1, 1500),
        price=st.sampled_from([1.01, 1.9, 2.35, 7.0]),
        commission=st.sampled_from([0.0, 0.05]),
    )
    def place(
        self, placer: int, job: int, fight: int, bookmaker: str, stake: int, price: float, commission: float
    ) -> None:
        bet = PlacedBet(
            job_id=f"job-{job}",
            card_id=f"card-{fight // 2}",
            fight_id=f"fight-{fight}",
            event_start=datetime(2098 + fight % 2, 1, 2 if fight % 2 == 0 else 1, tzinfo=UTC),
            fighters=("Ana", "Bea"),
            fighter="Bea",
            bookmaker=bookmaker,
            price=price,
            commission=commission,
            stake=stake,
            who=f"placer {placer}",
        )
        known = self.bets.get(bet.id)
        room = min(
            self.limit("fight") - self.at_stake("fight_id", bet.fight_id),
            self.limit("card") - self.at_stake("card_id", bet.card_id),
            self.limit("bookmaker") - self.at_stake("bookmaker", bookmaker),
            self.limit("week") - self.at_stake("week", bet.week),
            max(BANKROLL + self.profit, 0) - self.at_stake("mode", "paper"),
        )
        try:
            receipt = self.ledgers[placer].bets.place(bet)
        except BetRefusedError as refusal:
            self.check_refusal(refusal, known, max(room, 0), stake)
        except BetConflictError:
            assert known is not None
            assert (known.stake, known.price, known.bookmaker, known.commission) != (
                stake,
                price,
                bookmaker,
                commission,
            )
        else:
            assert receipt.created == (known is None)
            if known is None:
                assert not self.stopped
                assert stake <= room
                self.bets[bet.id] = receipt.bet
                self.state[bet.id] = "open"

    def check_refusal(self, refusal: BetRefusedError, known: PlacedBet | None, room: int, stake: int) -> None:
        assert known is None
        assert self.stopped if refusal.cap == "drawdown_stop" else refusal.room == room < stake

    @precondition(lambda self: self.bets)
    @rule(data=st.data(), result=st.sampled_from(["won", "lost", "void"]), replace=st.booleans())
    def settle(self, data: st.DataObject, result: BetResult, replace: bool) -> None:
        bet_id = data.draw(st.sampled_from(sorted(self.bets)))
        before, bet = self.state[bet_id], self.bets[bet_id]
        try:
            settled = self.ledgers[0].bets.settle({bet_id: result}, user="settler", replace=replace)
        except BetConflictError:
            assert not replace
            assert before not in ("open", result)
            return
        assert settled == (() if before == result else (bet_id,))
        self.change(bet, before, result)

    @precondition(lambda self: self.bets)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        fight = data.draw(st.sampled_from(sorted({bet.fight_id for bet in self.bets.values()})))
        wanted = {name for name, bet in self.bets.items() if bet.fight_id == fight and self.state[name] == "open"}
        assert set(self.ledgers[1].bets.void(fight_id=fight, user="ann", reason="cancelled")) == wanted
        for name in wanted:
            self.change(self.bets[name], "open", "void")

    def change(self, bet: PlacedBet, before: str, after: str) -> None:
        profits = {"won": bet.payout - bet.stake, "lost": -bet.stake, "void": 0, "open": 0}
        self.state[bet.id] = after
        self.profit += profits[after] - profits[before]
        self.peak = max(self.peak, self.profit)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        register = self.ledgers[0].bets
        exposure, account = register.exposure(), register.account()
        open_bets = [bet for name, bet in self.bets.items() if self.state[name] == "open"]
        assert exposure.total == account.open == sum(bet.stake for bet in open_bets)
        for kept, field in (
            (exposure.fights, "fight_id"),
            (exposure.cards, "card_id"),
            (exposure.bookmakers, "bookmaker"),
            (exposure.weeks, "week"),
        ):
            assert kept == {
                value: self.at_stake(field, value) for value in {str(getattr(bet, field)) for bet in open_bets}
            }
        assert exposure.caps == {"bankroll": BANKROLL + self.profit} | {cap: self.limit(cap) for cap in CAPS}
        assert (account.profit, account.peak, account.stopped) == (self.profit, BANKROLL + self.peak, self.stopped)
        decided = [self.bets[name].stake for name, state in self.state.items() if state in ("won", "lost")]
        assert account.staked == sum(decided)
        states = [*self.state.values()]
        assert [account.open_bets, account.won, account.lost, account.void] == [
            states.count(state) for state in ("open", "won", "lost", "void")
        ]
        assert account.placed == len(self.bets)
        assert {bet.bet_id for bet in register.open_bets()} == {bet.bet_id for bet in open_bets}

    @invariant()
    def the_entries_give_the_same(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        state: dict[str, str] = {}
        profit = 0
        for entry in self.ledgers[0].bets.entries():
            if isinstance(entry, BetPlaced):
                state[entry.bet.bet_id] = "open"
                assert entry.bet == self.bets[entry.bet.bet_id]
            elif isinstance(entry, BetVoided):
                state[entry.bet_id] = "void"
            else:
                assert isinstance(entry, BetSettled)
                state[entry.bet_id] = entry.result
                profit += entry.profit - entry.profit_before
        assert state == self.state
        assert profit == self.profit


@pytest.fixture
def machine(valkey: EmbeddedServer) -> type[Bets]:
    return type("BetsOnThisServer", (Bets,), {"server": valkey})


def test_the_register_agrees_with_a_naive_model(machine: type[Bets]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))
