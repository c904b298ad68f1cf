"""The whole way on real fights: train before mid-2023, answer a real feed, score what came after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.statistics.calibration import log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import TrainEnsemble
from ledger.contracts.reports import CardReport, FightFailure, FightReport, TrainingReport
from ledger.dataset_files import folder_digest
from ledger.ledger import Ledger
from producer.feed.odds_api import read_cards
from tests.support.real_fights import DATA, needs_real_fights, real_log, real_replay

CUTOFF = date(2023, 7, 1)
TRAIN_SECONDS = 280

pytestmark = [
    pytest.mark.data,
    needs_real_fights,
    pytest.mark.timeout(400),
]


def _report(outcome: Outcome) -> Any:
    assert outcome.report is not None, outcome.failure
    return outcome.report


def test_train_on_real_fights_and_answer_a_real_feed(
    ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path
) -> None:
    start_pool(queue="train", real=True, concurrency=1)
    start_pool(queue="predict", real=True, concurrency=2)
    # Fewer trees, folds and replicas than the defaults, to stay within a test's time.
    job = TrainEnsemble(
        data=str(DATA),
        data_digest=folder_digest(DATA),
        cutoff=CUTOFF,
        bootstrap_samples=20,
        folds=5,
        forest_trees=50,
        replica_forest_trees=25,
    )
    trained = _report(ledger.wait(ledger.submit(job).job_id, TRAIN_SECONDS))
    assert isinstance(trained, TrainingReport)
    assert trained.data_cutoff < CUTOFF
    assert trained.interval_method == "anchored"

    feed = (DATA / "odds_feed_sample.json").read_bytes()
    (card,) = read_cards(feed, price_format="american", deadline=datetime.now(UTC) + timedelta(hours=1))
    answer = _report(ledger.wait(ledger.submit(card).job_id, 60))
    assert isinstance(answer, CardReport)
    _check_answers(answer, trained)
    _check_held_out_fights(tmp_path / "models" / trained.model)


def _check_answers(answer: CardReport, trained: TrainingReport) -> None:
    assert answer.model == trained.model
    assert len(answer.fights) == 13
    failures = [fight for fight in answer.fights if isinstance(fight, FightFailure)]
    reports = [fight for fight in answer.fights if isinstance(fight, FightReport)]
    assert {fight.failure.code for fight in failures} == {FailureCode.UNKNOWN_FIGHTER}
    assert "Stan Dorsainvil" in next(fight for fight in failures if "Stan Dorsainvil" in fight.names).failure.message
    by_names = {frozenset(side.name for side in fight.fighters): fight for fight in reports}
    assert frozenset({"Roman Dolidze", "Reinier de Ridder"}) in by_names
    # Chris Padilla first fought after the cut-off: known by name, without a record.
    assert "debutant" in by_names[frozenset({"Chris Padilla", "Nasrat Haqparast"})].flags
    for fight in reports:
        first, second = fight.fighters
        assert first.probability == 1.0 - second.probability
        assert fight.market is not None
        assert len(fight.market.bookmakers) >= 8
        assert "stale_fight_log" in fight.flags
        assert first.sampling_interval is not None
        assert first.market_aware is not None
        low, high = first.intervals[1].lower, first.intervals[1].upper
        assert 0.0 < low < first.probability < high < 1.0


def _check_held_out_fights(bundle: Path) -> None:
    """Score the fights of mid-2023 to 2024, each with the features of its own day, against their results."""
    manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=0))
    manager.load_models(bundle)
    matrix = build_matrix(real_log(), rated=real_replay()).select(MODEL_COLUMNS)
    later = matrix.take((matrix.date >= np.datetime64(CUTOFF)) & (matrix.date < np.datetime64("2025-01-01")))
    pairs = [(f"red {row}", f"blue {row}") for row in range(len(later))]
    market = logit_to_probability(market_logit(later))
    answers = manager.predict_fights(
        later.X, pairs, experience=later.experience.tolist(), market_probability=market.tolist(), levels=(0.8, 0.95)
    )
    p = np.array([answer.probability for answer in answers])
    assert len(later) == 769
    assert 0.590 < log_loss(p, later.won) <= 0.625  # below this, look for a leak
    priced = np.isfinite(market)
    aware = np.array([answer.market_aware.probability for answer in answers if answer.market_aware])
    assert len(aware) == priced.sum() == 768
    assert -0.008 < log_loss(aware, later.won[priced]) - log_loss(market[priced], later.won[priced]) < 0.003
