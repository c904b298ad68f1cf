"""A gateway with a real pool behind it and something on every page: answered, failed, past and waiting cards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from engine.simulation.league import odds_feed
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import CardReport, FightReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.fight_results import FightResult
from producer.feed.odds_api import read_cards
from tests.support.fork_server import ForkServer
from tests.support.gateways import GatewayProcess, running_gateway
from tests.support.pools import ROOT, START_SECONDS, STOP_SECONDS, PoolProcess, start_program
from tests.support.small_models import LATER, set_alias, small_league, trained

WAIT_SECONDS = 120
CARD = "night of the tests"
FAILED_CARD = "card without a model"
STRANGE_CARD = 'a/b "<i>&amp;'
PRICE_STEPS = (1.0, 1.02, 0.99, 1.05)


@dataclass
class Site:
    """A gateway, its ledger and pool, and the ids of what is on it."""

    gateway: GatewayProcess
    ledger: Ledger
    pool: PoolProcess
    card: PredictCard

    @property
    def url(self) -> str:
        """The address of the gateway."""
        return self.gateway.url

    def answer(self, card: PredictCard) -> str:
        """Ask for a card, wait for its outcome, and return the id of its job."""
        job_id = self.ledger.submit(card).job_id
        self.ledger.wait(job_id, WAIT_SECONDS)
        return job_id

    def repriced(self, factor: float) -> PredictCard:
        """Return the card with all prices of the first fight's first fighter moved, and read now."""
        return repriced(self.card, factor)


def first_card() -> PredictCard:
    """A card of the small league that begins in two days, with a fighter whom nobody knows, and contributions."""
    league_card = read_cards(json.dumps(odds_feed(small_league())), price_format="american")[0]
    unknown = Fight(id="unknown/fight", fighters=(Fighter(name="Nobody Inparticular"), Fighter(name="No Oneelse")))
    return msgspec.structs.replace(
        league_card,
        card_id=CARD,
        event_start=datetime.now(UTC).replace(microsecond=0) + timedelta(days=2),
        fights=(*league_card.fights[:6], unknown),
        deadline=LATER,
        contributions=True,
    )


def repriced(card: PredictCard, factor: float) -> PredictCard:
    """Return a card whose first fight has moved prices, all of them read now."""
    now = datetime.now(UTC)
    fights = []
    for place, fight in enumerate(card.fights):
        moved = fight.fighters[0].name if place == 0 else ""
        quotes = tuple(_moved(quote, moved, factor, now) for quote in fight.quotes)
        fights.append(msgspec.structs.replace(fight, quotes=quotes))
    return msgspec.structs.replace(card, fights=tuple(fights), priced_at=now)


def _moved(quote: Quote, name: str, factor: float, now: datetime) -> Quote:
    prices = {each: max(1.01, price * factor) if each == name else price for each, price in quote.prices.items()}
    return msgspec.structs.replace(quote, prices=prices, as_of=now)


@contextmanager
def stocked_site(settings: LedgerSettings, folder: Path, engine: ForkServer) -> Iterator[Site]:
    """Run a pool and a gateway with cards for the duration of a block."""
    models = folder / "models"
    models.mkdir()
    bundle = trained(models, 5, replicas=10)
    ledger = Ledger.connect(settings)
    set_alias(ledger, "champion", bundle.digest)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CORNERMAN_REDIS_URL": str(settings.redis_url),
        "CORNERMAN_NAMESPACE": settings.namespace,
        "CORNERMAN_DATA": str(folder),
        "CORNERMAN_MODELS": str(models),
    }
    pool = start_program(
        ["-m", "workers", "--pool", "predict", "--concurrency", "1"], environment, folder / "pool.log", engine
    )
    try:
        with running_gateway(settings, folder) as gateway:
            site = Site(gateway, ledger, pool, first_card())
            _stock(site)
            yield site
    finally:
        pool.stop()
        pool.process.wait(STOP_SECONDS)
        ledger.close()


def _stock(site: Site) -> None:
    job_id = ""
    for factor in PRICE_STEPS:
        job_id = site.answer(site.repriced(factor))
    past = msgspec.structs.replace(
        site.card, card_id="last year", event_start=datetime(2025, 6, 1, 20, tzinfo=UTC), priced_at=None
    )
    site.answer(past)
    site.answer(msgspec.structs.replace(site.card, card_id=STRANGE_CARD, contributions=False))
    site.answer(msgspec.structs.replace(site.card, card_id=FAILED_CARD, model="no-such-model"))
    outcome = site.ledger.wait(job_id, START_SECONDS)
    assert isinstance(outcome.report, CardReport), outcome
    predicted = [fight for fight in outcome.report.fights if isinstance(fight, FightReport)]
    day = site.card.event_start.date()
    results = [
        FightResult(date=day, fighters=(fight.fighters[0].name, fight.fighters[1].name), winner=place % 2)  # type: ignore[arg-type]
        for place, fight in enumerate(predicted[:4])
    ]
    site.ledger.fight_results.add(results, user="test")
