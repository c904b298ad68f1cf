"""What simultaneous Kelly stakes change on simulated cards: sizes of stakes, and the mean growth of log bankroll.

    python -m benchmarks.accuracy.card_stakes --seeds 5 --fights 3000

A bettor who knows the true probabilities bets on every side whose expected value at the early prices is positive; the
mean log growth of a card is over 20,000 draws of its results from these probabilities. Compared are the single Kelly
stakes of each bet, shrunk by a common factor to the cap of the card, with the simultaneous ones under the same rules.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.market.bet_decision import BettingRules, fractional_kelly_stake, scale_stakes
from engine.market.simultaneous_kelly import KellyBet, fractional_stakes
from engine.simulation.league import League, LeagueConfig, simulate_league

DRAWS = 20_000


@dataclass(frozen=True)
class Staking:
    """Rules for stakes, and the cap of a card."""

    name: str
    rules: BettingRules
    card_cap: float


STAKINGS = (
    Staking("full Kelly, no caps but the bankroll", BettingRules(kelly_fraction=1.0, max_stake_fraction=1.0), 0.999),
    Staking("half Kelly, no caps but the bankroll", BettingRules(kelly_fraction=0.5, max_stake_fraction=1.0), 0.999),
    Staking("default: a quarter, 5% a bet, 25% a card", BettingRules(), 0.25),
)


def cards_of(league: League) -> Iterator[list[KellyBet]]:
    """Yield the bets of each event."""
    for _, fights in league.log.fights.groupby("event", sort=False):
        bets = []
        prices = fights[["red_early_decimal_odds", "blue_early_decimal_odds"]].to_numpy(np.float64)
        for fight, pair in zip(fights["fight_id"], prices, strict=True):
            red = league.truth[fight]
            for probability, price in zip((red, 1.0 - red), pair.tolist(), strict=True):
                if np.isfinite(price) and probability * price > 1.0:
                    bets.append(KellyBet(probability, price))
        yield bets


def growth_of(bets: Sequence[KellyBet], stakes: Sequence[float], rng: np.random.Generator) -> tuple[float, float]:
    """Return the mean and the variance of the log growth of a card over draws of its results."""
    p, price = np.array(bets).T
    profits = np.where(rng.random((DRAWS, len(bets))) < p, price - 1.0, -1.0)
    growth = np.log1p(profits @ np.array(stakes))
    return float(np.mean(growth)), float(np.var(growth))


def seconds_for(bets: Sequence[KellyBet]) -> float:
    """Return how long the stakes of a card take."""
    started_seconds = time.perf_counter()
    fractional_stakes(bets, BettingRules())
    return time.perf_counter() - started_seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.card_stakes", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fights", type=int, default=3000)
    options = parser.parse_args(arguments)
    leagues = [simulate_league(LeagueConfig(fights=options.fights, seed=seed)) for seed in range(options.seeds)]
    cards = [bets for league in leagues for bets in cards_of(league) if len(bets) > 1]
    sizes = np.array([len(bets) for bets in cards])
    print(f"{len(cards)} cards with several bets, {sizes.mean():.1f} bets on average, at most {sizes.max()}")
    for staking in STAKINGS:
        growth, ratios, changed = [], [], 0
        for number, bets in enumerate(cards):
            single = scale_stakes(
                [fractional_kelly_stake(bet.probability, bet.price, staking.rules) for bet in bets], staking.card_cap
            )
            together = scale_stakes(fractional_stakes(bets, staking.rules), staking.card_cap)
            growth.append([growth_of(bets, each, np.random.default_rng(number)) for each in (single, together)])
            ratios.append(sum(together) / sum(single))
            changed += single != together
        (mean, variance), (other_mean, other_variance) = np.mean(growth, axis=0)
        print(
            f"{staking.name}: growth of log bankroll a card {mean:.4f} -> {other_mean:.4f}, its standard deviation "
            f"{variance**0.5:.4f} -> {other_variance**0.5:.4f}, sum of stakes x{np.mean(ratios):.3f} (least "
            f"{np.min(ratios):.3f}), other stakes on {changed} of {len(cards)} cards"
        )
    for size in (2, 5, 10):
        several = [bets[:size] for bets in cards if len(bets) >= size]
        fastest = min(seconds_for(bets) for bets in several[:100] for _ in range(10))
        print(f"shortest time of the stakes of {size} bets: {1e6 * fastest:.0f} microseconds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
