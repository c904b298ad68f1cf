"""Jobs, and origins of their outcomes, of which `tests/golden` has the JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime

from ledger.contracts.bets import BettingRoom
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.update_report import FighterState
from ledger.contracts.jobs import (
    ArchiveOutcomes,
    ArchivePrices,
    BacktestPart,
    CheckHealth,
    CollectGarbage,
    CompareModels,
    DecisionRules,
    DeclaredRecord,
    Fight,
    Fighter,
    IntervalOptions,
    Job,
    JudgeModels,
    LinkChoice,
    MatrixColumns,
    MemberWeights,
    PredictCard,
    Quote,
    Replay,
    ReproduceTraining,
    ReviewBets,
    ReviewModel,
    SettleBets,
    ShadowCard,
    TrainEnsemble,
    TrainPart,
    UpdateFightLog,
    UpdateModel,
)
from ledger.contracts.provenance import Provenance, RuntimeEnvironment

NIGHT = datetime(2099, 1, 3, 3, 30, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4
ESTIMATE = Estimate(value=0.625, lower=0.5, upper=0.75)

FULL_FIGHT = Fight(
    id="main event",
    fighters=(
        Fighter(
            name="Ana Núñez",
            corner="red",
            debut=True,
            date_of_birth=date(1995, 2, 28),
            height_cm=170.5,
            reach_cm=172.0,
            stance="southpaw",
        ),
        Fighter(name='Bea "B" O\'Neil', corner="blue"),
    ),
    weight_class="Women's Flyweight",
    scheduled_rounds=5,
    title_bout=True,
    features={"diff_reach": -1.5, "women": None},
    quotes=(
        Quote(bookmaker="Acme", prices={"Ana Núñez": 1.5, 'Bea "B" O\'Neil': 2.75}, as_of=NIGHT),
        Quote(bookmaker="Best", prices={"Ana Núñez": 1.01, 'Bea "B" O\'Neil': 1001.0}),
    ),
    invalid_quotes=("Crook: a price of 0.5 is none",),
)
PLAIN_FIGHT = Fight(id="2", fighters=(Fighter(name="Cleo"), Fighter(name="Dora")))
FAILURE = Failure(
    code=FailureCode.STALE_ODDS,
    message="fight 'main event': the prices of Acme are 120.5 s old",
    retryable=True,
    details={"age_seconds": 120.5, "names": ["Ana", "Bea"], "none": None},
)

JOBS: dict[str, Job] = {
    "job_predict_card_plain": PredictCard(card_id="c1", event_start=NIGHT, fights=(PLAIN_FIGHT,)),
    "job_predict_card_full": PredictCard(
        card_id="UFC 400",
        event_start=NIGHT,
        fights=(FULL_FIGHT, PLAIN_FIGHT),
        model=DIGEST,
        deadline=datetime(2099, 1, 3, 4, 0, 0, 250_000, tzinfo=UTC),
        intervals=IntervalOptions(levels=(0.5, 0.9), bootstrap_samples=0),
        rules=DecisionRules(level=0.9, min_prediction_confidence=0.6, kelly_fraction=0.5),
    ),
    "job_predict_card_fresh": PredictCard(
        card_id="c2",
        event_start=NIGHT,
        fights=(
            Fight(
                id="1",
                fighters=(Fighter(name="Ana"), Fighter(name="Bea")),
                quotes=(Quote(bookmaker="Acme", prices={"Ana": 1.9, "Bea": 2.1}, as_of=NIGHT),),
            ),
        ),
        max_quote_age_seconds=90.0,
    ),
    "job_predict_card_declared": PredictCard(
        card_id="c4",
        event_start=NIGHT,
        fights=(
            Fight(
                id="1",
                fighters=(
                    Fighter(name="Ana", debut=True, record=DeclaredRecord(wins=3, losses=0)),
                    Fighter(
                        name="Bea",
                        debut=True,
                        record=DeclaredRecord(
                            wins=14,
                            losses=2,
                            draws=1,
                            knock_out_wins=5,
                            submission_wins=4,
                            knock_out_losses=0,
                            submission_losses=1,
                            last_bout=date(2020, 3, 1),
                        ),
                    ),
                ),
            ),
        ),
    ),
    "job_train_ensemble_plain": TrainEnsemble(data="/fights"),
    "job_train_part": TrainPart(
        of="job",
        prepared=DIGEST,
        name="replica-5-10",
        fights=7000,
        columns=36,
        replicas=5,
        trees=200,
        replica_trees=50,
        max_training_time_seconds=3600.0,
        max_memory_mb=4096.0,
    ),
    "job_backtest_part": BacktestPart(
        of="job",
        prepared=DIGEST,
        name="period-3",
        fights=7000,
        columns=36,
        fits=15,
        max_training_time_seconds=3600.0,
        max_memory_mb=4096.0,
    ),
    "job_settle_bets_plain": SettleBets(),
    "job_settle_bets_full": SettleBets(nonce="n", deadline=NIGHT),
    "job_update_fight_log_plain": UpdateFightLog(log="/fights"),
    "job_update_fight_log_full": UpdateFightLog(
        log="/fights",
        sources=("/exports/ufcstats", "/exports/scores.json"),
        format="ufcstats",
        skip_faulty=True,
        dry_run=True,
        closes=False,
        links=(LinkChoice(kind="fighter", source="ufcstats", source_id="a1", log_id="new"),),
        nonce="n",
        deadline=NIGHT,
    ),
    "job_archive_outcomes_plain": ArchiveOutcomes(),
    "job_archive_outcomes_full": ArchiveOutcomes(keep_days=7.5, keep_archived_days=730.0, nonce="n", deadline=NIGHT),
    "job_archive_prices_plain": ArchivePrices(),
    "job_archive_prices_full": ArchivePrices(keep_days=7.5, nonce="n", deadline=NIGHT),
    "job_collect_garbage": CollectGarbage(keep_days=30.0, dry_run=True),
    "job_train_ensemble_full": TrainEnsemble(
        data="/fights.csv",
        data_digest=DIGEST,
        matrix=MatrixColumns(label="won", event="event", date="date", red_odds="r", blue_odds="b"),
        cutoff=date(2024, 2, 29),
        alias=None,
        seed=2**32 - 1,
        bootstrap_samples=0,
        fits=1,
        folds=3,
        forest_trees=7,
        replica_forest_trees=3,
        model_weights=MemberWeights(random_forest=0.5, xgboost=0.25, neural_network=0.25),
        max_training_time_seconds=0.5,
        max_memory_mb=1e3,
        deadline=NIGHT,
    ),
    "job_judge_models_plain": JudgeModels(data="/fights", challenger=DIGEST),
    "job_judge_models_full": JudgeModels(
        data="/fights.csv",
        data_digest=DIGEST,
        matrix=MatrixColumns(label="won", event="event", date="date"),
        challenger=DIGEST,
        champion=DIGEST[::-1],
        first_day=date(2023, 7, 1),
        refit_months=6,
        max_training_time_seconds=600.0,
        max_memory_mb=1e3,
        deadline=NIGHT,
    ),
    "job_judge_models_lagging": JudgeModels(data="/fights", challenger=DIGEST, state="lagging"),
    "job_judge_models_anchored": JudgeModels(
        data="/fights", challenger=DIGEST, champion=DIGEST[::-1], anchor=DIGEST[::-2] * 2, tries=3
    ),
    "job_predict_card_matched": PredictCard(
        card_id="c3",
        event_start=NIGHT,
        fights=(
            Fight(
                id="2",
                fighters=(Fighter(name="Cleo"), Fighter(name="Dora")),
                quotes=(Quote(bookmaker="Exchange", prices={"Cleo": 1.5, "Dora": 2.75}, as_of=NIGHT, commission=0.05),),
                sport="mma_mixed_martial_arts",
                same_bout_as="1",
                conflicts_with=("3", "4"),
            ),
        ),
        quote_age_limit_seconds=600.0,
        priced_at=NIGHT,
        stake_share=0.25,
    ),
    "job_predict_card_devigged": PredictCard(
        card_id="c4", event_start=NIGHT, fights=(PLAIN_FIGHT,), devig_method="odds_ratio"
    ),
    "job_predict_card_explained": PredictCard(
        card_id="c5", event_start=NIGHT, fights=(PLAIN_FIGHT,), contributions=True
    ),
    "job_check_health_plain": CheckHealth(),
    "job_check_health_full": CheckHealth(model="challenger", nonce="n", deadline=NIGHT),
    "job_check_health_anew": CheckHealth(model="challenger", anew=True),
    "job_replay_plain": Replay(job_id="j"),
    "job_replay_full": Replay(job_id="j", nonce="n", deadline=NIGHT),
    "job_retrain_plain": ReproduceTraining(job_id="j"),
    "job_retrain_full": ReproduceTraining(job_id="j", nonce="n", deadline=NIGHT),
    "job_review_model_plain": ReviewModel(),
    "job_review_model_full": ReviewModel(model=DIGEST, nonce="n", deadline=NIGHT),
    "job_review_bets_plain": ReviewBets(),
    "job_review_bets_full": ReviewBets(
        mode="live", since=NIGHT, until=NIGHT, rule="0a1b2c3d", rules_tried=7, nonce="n", deadline=NIGHT
    ),
    "job_compare_models_plain": CompareModels(),
    "job_compare_models_full": CompareModels(champion=DIGEST, challenger="next", nonce="n", deadline=NIGHT),
    "job_shadow_card": ShadowCard(card="c1", deadline=NIGHT),
    "job_update_model_plain": UpdateModel(data="/fights"),
    "job_update_model_reanchoring": UpdateModel(data="/fights", reanchor=True),
    "job_update_model_full": UpdateModel(
        data="/fights",
        data_digest=DIGEST,
        base=DIGEST[::-1],
        cutoff=date(2024, 2, 29),
        max_training_time_seconds=60.0,
        max_memory_mb=1e3,
        deadline=NIGHT,
    ),
}
SURROUNDINGS = RuntimeEnvironment(processor="x86_64 Model", libraries={"numpy": "2.3.5", "python": "3.11.2"})
STATE = FighterState(digest=DIGEST, cutoff=date(2098, 12, 27))
ORIGINS: dict[str, Provenance] = {
    "origin_stated": Provenance(
        claimed_at=NIGHT, models={"champion": DIGEST}, controls={}, surroundings=SURROUNDINGS, states={DIGEST: STATE}
    ),
    "origin_plain": Provenance(claimed_at=NIGHT, models={}, controls={}, surroundings=SURROUNDINGS),
    "origin_full": Provenance(
        claimed_at=NIGHT,
        models={"champion": DIGEST},
        controls={"bootstrap": False, "max_replicas": 20},
        surroundings=SURROUNDINGS,
    ),
    "origin_room": Provenance(
        claimed_at=NIGHT,
        models={},
        controls={},
        surroundings=SURROUNDINGS,
        room=BettingRoom(
            mode="live",
            bankroll=1_000_000,
            min_stake=200,
            stopped=True,
            total=900_000,
            card=50_000,
            week=0,
            fights={"1": 25_000},
            bookmakers={"Exchange": 99_999},
        ),
    ),
    "origin_card": Provenance(
        claimed_at=NIGHT, models={"champion": DIGEST}, controls={}, surroundings=SURROUNDINGS, devig_method="power"
    ),
}
