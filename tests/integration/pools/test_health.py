"""A real pool with a real model: ready, wrong, and without; what its answers measure."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from engine.model.bundle import Bundle
from engine.simulation.league import League, odds_feed
from ledger.contracts.jobs import CheckHealth, Fight, Fighter
from ledger.contracts.reports import CardReport, FightReport, HealthReport
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.feed.odds_api import read_cards
from producer.output.exit_codes import ExitCode
from tests.support.endpoints import HASTY, checks, scrape, value
from tests.support.small_models import trained, wrong

WAIT_SECONDS = 60

Until = Callable[..., None]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained(tmp_path_factory.mktemp("models"), seed=3, replicas=10)


def cornerman(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["health", *arguments])


@pytest.mark.usefixtures("command_environment")
def test_a_pool_is_ready_with_the_right_answers_and_only_with_them(
    bundle: Bundle, ledger: Ledger, start_pool: Callable[..., Any], until: Until, tmp_path: Path
) -> None:
    pool = start_pool(
        real=True, concurrency=1, CORNERMAN_MODELS=str(bundle.folder.parent), CORNERMAN_DATA=str(tmp_path), **HASTY
    )
    until(lambda: ledger.pools.alive()[0]["http"])
    address = ledger.pools.alive()[0]["http"]

    def ready(**expected: bool) -> bool:
        status, found = checks(address)
        assert status == (200 if all(found.values()) else 503)
        return found == {"guard": True, "consumption": True, "memory": True, **expected}

    until(lambda: ready(model_loaded=False), WAIT_SECONDS)
    assert "train one" in cornerman("--url", f"http://{address}").stdout
    asked = cornerman("--json")
    assert (asked.exit_code, json.loads(asked.stdout)["status"]) == (ExitCode.FAILED, "unhealthy")

    ledger.models.register(bundle.digest, {})
    ledger.aliases.set("champion", bundle.digest, user="test", reason="to begin")
    until(lambda: ready(model_loaded=True, prediction=True))
    asked = cornerman("--url", f"http://{address}", "--json")
    assert (asked.exit_code, json.loads(asked.stdout)["status"]) == (ExitCode.OK, "passed")
    report = ledger.wait(ledger.submit(CheckHealth(nonce="now")).job_id, WAIT_SECONDS).report
    assert isinstance(report, HealthReport)
    assert (report.status, report.model) == ("healthy", bundle.digest)
    assert cornerman().exit_code == ExitCode.OK
    until(lambda: value(scrape(address), "cornerman_model_info", alias="champion", model=bundle.digest) == 1)

    other = wrong(bundle)
    ledger.models.register(other.digest, {})
    ledger.aliases.set("champion", other.digest, user="test", reason="to go wrong")
    until(lambda: ready(model_loaded=True, prediction=False))
    until(lambda: '"alert": "ReferencePredictionsWrong"' in pool.log.read_text())
    asked = cornerman("--url", f"http://{address}/readyz")
    assert (asked.exit_code, "differ by at most 1.0e-06" in asked.stdout) == (ExitCode.FAILED, True)
    assert cornerman("--url", f"http://{address}/healthz").exit_code == ExitCode.OK
    assert pool.stop() == 0
    assert cornerman("--url", f"http://{address}").exit_code == ExitCode.UNAVAILABLE
    assert cornerman("--url", "pool:1").exit_code == ExitCode.REFUSED


def test_answers_are_measured(
    bundle: Bundle, league: League, ledger: Ledger, start_pool: Callable[..., Any], until: Until
) -> None:
    start_pool(real=True, concurrency=1, CORNERMAN_MODELS=str(bundle.folder.parent), **HASTY)
    until(lambda: ledger.pools.alive()[0]["http"])
    address = ledger.pools.alive()[0]["http"]
    (card, *_) = read_cards(json.dumps(odds_feed(league)), price_format="american")
    nobody = Fight(id="x", fighters=(Fighter(name="Nobody Inparticular"), Fighter(name="No Oneelse")))
    card = msgspec.structs.replace(
        card, fights=(*card.fights, nobody), model=bundle.digest, deadline=datetime(2100, 1, 1, tzinfo=UTC)
    )
    report = ledger.wait(ledger.submit(card).job_id, WAIT_SECONDS).report
    assert isinstance(report, CardReport)
    answered = [fight for fight in report.fights if isinstance(fight, FightReport)]
    assert len(answered) == len(card.fights) - 1
    until(lambda: value(scrape(address), "cornerman_jobs_total", kind="predict_card", outcome="succeeded") == 1)
    values = scrape(address)
    abstained = [fight.decision.reasons for fight in answered if fight.decision.action == "abstain"]
    assert value(values, "cornerman_fights_total", result="abstain") == len(abstained)
    assert value(values, "cornerman_fights_total", result="bet") == len(answered) - len(abstained)
    assert value(values, "cornerman_fights_total", result="failed") == 1
    assert value(values, "cornerman_fight_failures_total", code="unknown_fighter") == 1
    assert value(values, "cornerman_abstentions_total") == sum(map(len, abstained))
    widths = [interval.upper - interval.lower for fight in answered for interval in fight.fighters[0].intervals]
    assert value(values, "cornerman_uncertainty_count") == len(answered)
    assert value(values, "cornerman_uncertainty_sum") == pytest.approx(sum(widths[::2]))  # of level 0.8
    assert value(values, "cornerman_interval_width_sum", level="0.95") == pytest.approx(
        sum(widths[1::2]) / len(answered)
    )
    priced = [fight for fight in answered if fight.market is not None]
    assert value(values, "cornerman_market_probabilities_total", level="0.8") == len(priced) > 0
    assert value(values, "cornerman_odds_age_seconds_count") == 1
