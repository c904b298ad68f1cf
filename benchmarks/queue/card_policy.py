"""How many answers a card gets, and how far the last one is from the market, by the step of its policy.

    python -m benchmarks.queue.card_policy [--feed FILE] [--json]

The first table is the standard error of the consensus of each fight of a real feed (American prices), over its
bookmakers: a movement of that size says nothing but which bookmakers have moved. The second plays simulated cards of 12
bouts at 8 bookmakers, listed for 12 days and read by the polling plan. `every change` is what `enqueue_feed` does. The
distance is that of the consensus at a reading from that of the last answer, over all bouts and all readings.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.queue.prices import DAY_SECONDS, polled
from engine.market.odds import american_to_decimal
from engine.simulation.price_paths import draw_price_path
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from producer.feed.odds_api import read_feed
from producer.feed_runner.card_policy import CardPolicy, new_answer_reason
from producer.feed_runner.consensus import consensus, mean_probability
from producer.polling import CardDigests

COMMAND = "python -m benchmarks.queue.card_policy"
CARDS, BOUTS, LISTED_DAYS = 10, 12, 12
STEPS = (0.0025, 0.005, 0.01, 0.02)
START = datetime(2026, 1, 1, tzinfo=UTC)

Rule = Callable[[PredictCard, PredictCard], bool]


def real_errors(feed: Path) -> dict[str, float]:
    """Return the standard errors of the consensus of the fights of a feed."""
    errors = []
    for card in read_feed(feed.read_bytes(), price_format="american").cards:
        for fight in card.fights:
            name = fight.fighters[0].name
            shares = [mean_probability([quote], name) for quote in fight.quotes]
            known = [share for share in shares if share is not None]
            if len(known) > 1:
                errors.append(statistics.stdev(known) / len(known) ** 0.5)
    return {
        "fights": len(errors),
        "standard error, median": statistics.median(errors),
        "standard error, largest": max(errors),
    }


def readings(seed: int) -> Iterator[PredictCard]:
    """Yield a simulated card as it is read, until its start."""
    rng = np.random.default_rng([11, seed])
    bell = LISTED_DAYS * DAY_SECONDS
    moves = sorted(
        (move.at_seconds, bout, move)
        for bout in range(BOUTS)
        for move in draw_price_path(float(rng.normal(0.0, 0.8)), 0, bell, rng)
    )
    standing: list[dict[str, tuple[float, float]]] = [{} for _ in range(BOUTS)]
    at, place = 0, 0
    while (at := polled(at + 1, bell)) < bell:
        while place < len(moves) and moves[place][0] <= at:
            _, bout, move = moves[place]
            standing[bout].pop(move.bookmaker, None)
            if move.prices is not None:
                first, second = (float(american_to_decimal(price)) for price in move.prices)
                standing[bout][move.bookmaker] = first, second
            place += 1
        yield PredictCard(
            card_id="card",
            event_start=START + timedelta(seconds=bell),
            priced_at=START + timedelta(seconds=at),
            fights=tuple(_fight(bout, prices) for bout, prices in enumerate(standing)),
        )


def _fight(bout: int, prices: dict[str, tuple[float, float]]) -> Fight:
    names = f"Ana {bout}", f"Bea {bout}"
    quotes = tuple(
        Quote(bookmaker=bookmaker, prices=dict(zip(names, pair, strict=True))) for bookmaker, pair in prices.items()
    )
    return Fight(id=str(bout), fighters=(Fighter(name=names[0]), Fighter(name=names[1])), quotes=quotes)


def play(rule: Rule) -> dict[str, float]:
    """Return the answers a card, and how far the last answer was from the market."""
    answers, distances = 0, []
    for seed in range(CARDS):
        last: PredictCard | None = None
        for card in readings(seed):
            if last is None or rule(last, card):
                last, answers = card, answers + 1
            for before, now in zip(last.fights, card.fights, strict=True):
                one, other = consensus(before, before.quotes), consensus(now, now.quotes)
                if one is not None and other is not None:
                    distances.append(abs(one - other))
    return {
        "answers a card": answers / CARDS,
        "distance, mean": statistics.mean(distances),
        "distance, 99%": float(np.quantile(distances, 0.99)),
    }


def measure(feed: Path | None) -> dict[str, dict[str, float]]:
    """Return the figures of the real feed, if it is given, and of each step."""
    found = {} if feed is None else {"a real feed": real_errors(feed)}
    found["every change"] = play(
        lambda before, after: CardDigests.from_card(before).moved != CardDigests.from_card(after).moved
    )
    for step in STEPS:
        policy = CardPolicy(step=step)
        found[f"step {step}"] = play(
            lambda before, after, policy=policy: new_answer_reason(before, after, policy) is not None  # type: ignore[misc]
        )
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feed", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.feed)
    if given.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name}: " + ", ".join(f"{what} {value:.4g}" for what, value in figures.items()))


if __name__ == "__main__":
    main()
