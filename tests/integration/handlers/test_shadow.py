"""Live cards and their shadows, answered by real pools from a real model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.model.bundle import Bundle
from engine.model.trained_ensemble import load_ensemble, save_ensemble
from engine.simulation.league import League, odds_feed
from engine.statistics.calibration import Calibration
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import PredictCard, ShadowCard
from ledger.contracts.prediction_record import PredictionRecord
from ledger.contracts.reports import CardReport
from ledger.ledger import Ledger
from producer.feed.odds_api import read_cards
from tests.support.small_models import set_alias, trained

WAIT_SECONDS = 60
NEVER = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained(tmp_path_factory.mktemp("models"), seed=3, replicas=10)


@pytest.fixture(scope="module")
def challenger(champion: Bundle) -> Bundle:
    """The same model, twice as sure of itself."""
    ensemble = load_ensemble(champion)
    known = ensemble.calibration
    bolder = Calibration(2 * known.slope, 2 * known.corner_slope, known.corner_term)
    return save_ensemble(replace(ensemble, calibration=bolder), champion.folder.parent)


@pytest.fixture
def models(ledger: Ledger, champion: Bundle, challenger: Bundle) -> dict[str, str]:
    for name, bundle in {"champion": champion, "challenger": challenger}.items():
        set_alias(ledger, name, bundle.digest)
    return {"CORNERMAN_MODELS": str(champion.folder.parent)}


def card(league: League, **changes: Any) -> PredictCard:
    """A card of the league, in three days."""
    (first, *_) = read_cards(json.dumps(odds_feed(league)).encode(), price_format="american", deadline=NEVER)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    return msgspec.structs.replace(first, **{"event_start": start, "deadline": None} | changes)


def noted(ledger: Ledger, role: str) -> list[PredictionRecord]:
    return [entry for entry in ledger.prediction_log.entries() if entry.role == role]


def followed(ledger: Ledger) -> list[str]:
    return [outcome.job_id for _, outcome in ledger.follow("0", idle_seconds=0.1)]


def test_the_challenger_answers_for_the_journal_and_for_nobody_else(
    ledger: Ledger, league: League, models: dict[str, str], start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(real=True, concurrency=1, **models)
    pool = start_pool(real=True, queue="monitor", concurrency=1, **models)
    job = card(league, contributions=True)
    job_id = ledger.submit(job).job_id
    report = ledger.wait(job_id, WAIT_SECONDS).report
    assert isinstance(report, CardReport)
    until(lambda: noted(ledger, "shadow"), WAIT_SECONDS)
    live, shadow = noted(ledger, "live"), noted(ledger, "shadow")
    assert len(live) == len(shadow) == len(job.fights)
    champion, challenger = (ledger.aliases.resolve(name) for name in ("champion", "challenger"))
    assert {entry.model for entry in live} == {champion} == {report.model}
    assert {entry.model for entry in shadow} == {challenger}
    probabilities = {answer.name: answer.probability for fight in report.fights for answer in fight.fighters}  # type: ignore[union-attr]
    for one, other in zip(live, shadow, strict=True):
        assert (one.fighters, one.market, one.job_id) == (other.fighters, other.market, job_id)
        assert one.probability == probabilities[one.fighters[0]]
        assert abs(other.probability - 0.5) > abs(one.probability - 0.5)  # it is the bolder one
    until(lambda: '"kind": "shadow_card"' in pool.log.read_text())
    assert followed(ledger) == [job_id]
    assert ledger.outcome_stats.recent().outcomes == 1
    assert ledger.outcome(job_id).report == report  # type: ignore[union-attr]


def test_without_the_switch_or_a_challenger_there_is_no_shadow(
    ledger: Ledger, league: League, models: dict[str, str], start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(real=True, concurrency=1, **models)
    ledger.controls.set({"shadow": False}, user="ann", reason="a test")
    ledger.wait(ledger.submit(card(league, card_id="off")).job_id, WAIT_SECONDS)
    assert ledger.queue_stats.depths()["monitor"] == 0
    ledger.controls.set({"shadow": None}, user="ann", reason="a test")
    ledger.wait(ledger.submit(card(league, card_id="on")).job_id, WAIT_SECONDS)
    until(lambda: ledger.queue_stats.depths()["monitor"] == 1)


def test_a_shadow_that_fails_says_so_in_its_own_line_and_touches_no_answer(
    ledger: Ledger, league: League, models: dict[str, str], start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    gone = "ef" * 32
    ledger.models.register(gone, {})
    ledger.aliases.set("challenger", gone, user="test", reason="its bundle is lost")
    start_pool(real=True, concurrency=1, **models)
    pool = start_pool(real=True, queue="monitor", concurrency=1, **models)
    job_id = ledger.submit(card(league)).job_id
    assert ledger.wait(job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
    until(lambda: '"outcome": "model_not_found"' in pool.log.read_text(), WAIT_SECONDS)
    lines = [json.loads(line) for line in pool.log.read_text().splitlines() if '"event": "job"' in line]
    assert [(line["kind"], line["outcome"]) for line in lines] == [("shadow_card", "model_not_found")]
    assert followed(ledger) == [job_id]
    assert noted(ledger, "shadow") == []
    assert len(noted(ledger, "live")) > 0


def test_only_an_answered_card_has_a_shadow(
    ledger: Ledger, models: dict[str, str], start_pool: Callable[..., Any]
) -> None:
    start_pool(real=True, queue="monitor", concurrency=1, **models)
    receipt = ledger.submit(ShadowCard(card="nobody"))
    failure = ledger.wait(receipt.job_id, WAIT_SECONDS).failure
    assert failure is not None
    assert failure.code is FailureCode.INVALID_INPUT
    assert "no card to shadow" in failure.message


def test_a_model_is_not_held_against_itself(
    ledger: Ledger, league: League, models: dict[str, str], start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    ledger.aliases.set("challenger", str(ledger.aliases.resolve("champion")), user="test", reason="the same")
    start_pool(real=True, concurrency=1, **models)
    pool = start_pool(real=True, queue="monitor", concurrency=1, **models)
    ledger.wait(ledger.submit(card(league)).job_id, WAIT_SECONDS)
    until(lambda: '"kind": "shadow_card"' in pool.log.read_text(), WAIT_SECONDS)
    assert noted(ledger, "shadow") == []
