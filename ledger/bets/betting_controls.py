"""The controls of betting as amounts: mode, bankroll, caps on what is open, and the drawdown stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ledger.contracts.bets import BASIS_POINTS, DEFAULT_BANKROLL, BetMode, CapName
from ledger.contracts.controls import Controls

BettingMode = Literal["off", "paper", "live"]

CAP_CONTROLS: dict[CapName, str] = {
    "fight": "max_fight_exposure",
    "card": "max_card_exposure",
    "bookmaker": "max_bookmaker_exposure",
    "week": "max_week_exposure",
}
"""The control of each cap, in basis points of the bankroll. What is open never exceeds the bankroll itself either."""


LIMITS = frozenset({"bankroll", "drawdown_stop", *CAP_CONTROLS.values()})
"""Controls that limit bets; if none is set, no card has to read its room."""


class BettingControls(Struct, frozen=True):
    """The controls of betting as amounts."""

    mode: BettingMode
    start: int
    min_stake: int
    shares: Mapping[CapName, int | None]
    drawdown_stop: int | None

    @classmethod
    def from_controls(cls, controls: Controls) -> BettingControls:
        """Return the controls of betting, with their defaults."""
        mode = controls.choice("betting")
        start = controls.number("bankroll")
        return cls(
            mode="off" if mode == "off" else "live" if mode == "live" else "paper",
            start=DEFAULT_BANKROLL if start is None else start,
            min_stake=controls.number("min_stake") or 1,
            shares={cap: controls.number(name) for cap, name in CAP_CONTROLS.items()},
            drawdown_stop=controls.number("drawdown_stop"),
        )

    @property
    def bet_mode(self) -> BetMode:
        """Mode of bets; paper if betting is off."""
        return "live" if self.mode == "live" else "paper"

    def caps(self, bankroll: int) -> dict[CapName, int | None]:
        """Return the caps in the smallest unit, for the present bankroll."""
        whole = max(bankroll, 0)
        shares = {cap: None if share is None else whole * share // BASIS_POINTS for cap, share in self.shares.items()}
        return {"bankroll": whole, **shares}

    def is_stopped(self, profit: int, peak_profit: int) -> bool:
        """Return True if the drawdown has reached the stop."""
        stop = self.drawdown_stop
        fall = peak_profit - profit
        return stop is not None and fall > 0 and fall * BASIS_POINTS >= stop * (self.start + peak_profit)
