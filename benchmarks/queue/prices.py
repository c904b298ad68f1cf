"""Price history: quotes a second, memory of a year on the server, and its size as Parquet.

    python -m benchmarks.queue.prices [--bouts 520] [--json]

Naive is one stream entry for each quote that is read, sent in one pipeline a reading. Both ways get the same readings
in turn: a card of 13 bouts at 12 bookmakers, of which a few move between two readings, as between two polls.

The year has the size of the real one: 520 bouts (the most in a calendar year of the fight log, 2023), each listed for
60 days at 11 bookmakers (a feed of a real card has 8 to 12, 11.2 on average). Prices move as in the simulated season:
each bookmaker every 30 hours, and 4 times more in the last day. Readings are those of the polling plan: every 30
minutes, every 5 in the last day, every minute in the last two hours; those that change nothing write nothing, whatever
their number. Memory is the growth of `used_memory` of the server, which must hold the whole year, because nothing is
archived until its end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.market.odds import american_to_decimal
from engine.simulation.price_paths import PriceMove, draw_price_path
from ledger.contracts.jobs import ArchivePrices, Fight, Fighter, Quote
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from workers.handlers.archive_prices import archive_prices
from workers.settings import WorkerSettings

COMMAND = "python -m benchmarks.queue.prices"
BOUTS, BOOKMAKERS, LISTED_DAYS = 520, 11, 60
READINGS, CARD_BOUTS, CARD_BOOKMAKERS, MOVES_PER_READING = 200, 13, 12, 5
DAY_SECONDS = 86_400
YEAR = datetime(2025, 1, 1, tzinfo=UTC)


def polled(at_seconds: int, bell_seconds: int) -> int:
    """Return the first poll at a moment or later."""
    left = bell_seconds - at_seconds
    step = 60 if left <= 7_200 else 300 if left <= DAY_SECONDS else 1_800
    return -(-at_seconds // step) * step


def throughput(ledger: Ledger) -> dict[str, float]:
    """Return quotes a second of both ways, and bytes for a quote that was read."""
    rng = np.random.default_rng(7)
    prices = 1.5 + rng.random((CARD_BOUTS, CARD_BOOKMAKERS, 2))
    used: dict[str, float] = {"naive": 0.0, "ours": 0.0}
    seconds: dict[str, float] = {"naive": 0.0, "ours": 0.0}
    for number in range(READINGS):
        for _ in range(MOVES_PER_READING):
            prices[rng.integers(CARD_BOUTS), rng.integers(CARD_BOOKMAKERS)] = 1.5 + rng.random(2)
        read_at = YEAR + timedelta(minutes=number)
        fights = [
            _fight(f"bout {bout}", {f"bookmaker {name}": tuple(prices[bout, name]) for name in range(CARD_BOOKMAKERS)})
            for bout in range(CARD_BOUTS)
        ]
        for way in ("naive", "ours") if number % 2 else ("ours", "naive"):
            before, start = _used_bytes(ledger), time.perf_counter()
            if way == "ours":
                ledger.prices.record(fights, read_at)
            else:
                _naive(ledger, fights, read_at)
            seconds[way] += time.perf_counter() - start
            used[way] += _used_bytes(ledger) - before
    quotes = READINGS * CARD_BOUTS * CARD_BOOKMAKERS
    return {
        "naive, quotes/s": quotes / seconds["naive"],
        "ours, quotes/s": quotes / seconds["ours"],
        "naive, bytes a quote read": used["naive"] / quotes,
        "ours, bytes a quote read": used["ours"] / quotes,
    }


def _naive(ledger: Ledger, fights: list[Fight], read_at: datetime) -> None:
    pipeline = ledger.server.client.pipeline(transaction=False)
    for fight in fights:
        for quote in fight.quotes:
            (one, first), (other, second) = quote.prices.items()
            entry = {"bookmaker": quote.bookmaker, one: first, other: second, "read_at": read_at.isoformat()}
            pipeline.xadd(f"naive:{fight.id}", entry)
    pipeline.execute()


def _fight(name: str, prices: dict[str, tuple[float, float]]) -> Fight:
    quotes = tuple(
        Quote(bookmaker=bookmaker, prices={"Ana Ninguem": float(first), "Bea Outra": float(second)})
        for bookmaker, (first, second) in prices.items()
    )
    return Fight(id=name, fighters=(Fighter(name="Ana Ninguem"), Fighter(name="Bea Outra")), quotes=quotes)


def year(ledger: Ledger, folder: Path, bouts: int) -> dict[str, float]:
    """Return what a year takes on the server and as Parquet."""
    before, start = _used_bytes(ledger), time.perf_counter()
    changes = 0
    for number in range(bouts):
        rng = np.random.default_rng([7, number])
        bell = LISTED_DAYS * DAY_SECONDS + number * 365 * DAY_SECONDS // bouts
        changes += _play(ledger, f"{rng.bytes(16).hex()}", bell - LISTED_DAYS * DAY_SECONDS, bell, rng)
    seconds = time.perf_counter() - start
    _forget_replies(ledger)
    used = _used_bytes(ledger) - before
    settings = WorkerSettings(data=folder)
    context: Any = SimpleNamespace(settings=settings, ledger=ledger, progress=lambda *_: None)
    start = time.perf_counter()
    report = archive_prices(ArchivePrices(keep_days=0), context)
    archived = time.perf_counter() - start
    _forget_replies(ledger)
    size = sum(path.stat().st_size for path in settings.models_folder.rglob("*.parquet"))
    return {
        "bouts": bouts,
        "changes of prices": changes,
        "server, MB": used / 1e6,
        "server, bytes a change": used / changes,
        "server after archiving, MB": (_used_bytes(ledger) - before) / 1e6,
        "Parquet, MB": size / 1e6,
        "Parquet, bytes a change": size / changes,
        "recorded in, s": seconds,
        "archived and dropped in, s": archived,
        "fights dropped": report.dropped,
    }


def _play(ledger: Ledger, fight_id: str, opens: int, bell: int, rng: np.random.Generator) -> int:
    """Record the readings of a bout that change something; return the number of changed prices."""
    view = float(rng.normal(0.0, 0.8))
    moves = draw_price_path(view, opens, bell, rng)
    others = [PriceMove(m.at_seconds, f"{m.bookmaker} 2", m.prices) for m in draw_price_path(view, opens, bell, rng)]
    kept = sorted({move.bookmaker for move in moves} | {move.bookmaker for move in others})[:BOOKMAKERS]
    standing: dict[str, tuple[float, float]] = {}
    readings: dict[int, dict[str, tuple[float, float]]] = {}
    for move in sorted((*moves, *others)):
        if move.bookmaker not in kept:
            continue
        if move.prices is None:
            standing.pop(move.bookmaker, None)
        else:
            first, second = (float(american_to_decimal(price)) for price in move.prices)
            standing[move.bookmaker] = first, second
        readings[polled(move.at_seconds, bell)] = dict(standing)
    start = YEAR - timedelta(days=365) + timedelta(seconds=bell)
    starts = {fight_id: start}
    origin = YEAR - timedelta(days=365)
    return sum(
        ledger.prices.record([_fight(fight_id, prices)], origin + timedelta(seconds=at), starts=starts)
        for at, prices in sorted(readings.items())
    )


def measure(bouts: int = BOUTS) -> dict[str, dict[str, float]]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, namespace="bench"))
        found = {"recording": throughput(ledger)}
        ledger.server.client.flushall()
        ledger.close()
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, namespace="bench"))
        found["a year"] = year(ledger, Path(folder) / "data", bouts)
        ledger.close()
    return found


def _forget_replies(ledger: Ledger) -> None:
    """Remove what the server keeps for a minute, for calls that are repeated: the year passes in some minutes here."""
    for key in ledger.server.client.scan_iter("bench:reply:*", count=1000):
        ledger.server.client.unlink(key)


def _used_bytes(ledger: Ledger) -> float:
    return float(ledger.server.client.info("memory")["used_memory"])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bouts", type=int, default=BOUTS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.bouts)
    if given.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(name)
        for what, value in figures.items():
            print(f"  {what:32} {value:14,.1f}")


if __name__ == "__main__":
    main()
