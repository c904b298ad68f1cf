"""Reports and failures of which `tests/golden` has the JSON."""

from __future__ import annotations

from datetime import date

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_reports.backtest_report import CalibrationLine, Estimate, IntervalCoverage, ReliabilityBin
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.job_reports.bets_report import (
    AbstentionReview,
    BetFigures,
    BetGroup,
    BetsReport,
    DrawdownFigures,
    ReviewedDay,
    RuleReview,
)
from ledger.contracts.job_reports.fight_log_report import (
    FightLogReport,
    LogChange,
    OpenCase,
    ProposedLink,
    ReadSource,
    SourceFault,
)
from ledger.contracts.job_reports.judgement_report import (
    EvaluatedCoverage,
    EvaluatedForecast,
    GateReason,
    JudgementReport,
    PairedDifference,
    PromotionVerdict,
    ServedComparison,
    ServedForecast,
)
from ledger.contracts.job_reports.monitoring_reports import (
    AnswerStates,
    ComparisonReport,
    FavouriteBin,
    FeatureShift,
    ReviewReport,
    Score,
    ScoreDifference,
    ScoreWindow,
    SequentialTestResult,
    ServedWindow,
)
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.job_reports.update_report import (
    Anchoring,
    FighterState,
    MovedLevel,
    StateDifference,
    UpdateReason,
    UpdateReport,
    UpdateVerdict,
)
from ledger.contracts.jobs import DecisionRules
from ledger.contracts.provenance import RuntimeEnvironment
from ledger.contracts.replay_report import FieldDifference, ReplayReport
from ledger.contracts.reports import (
    Bet,
    CardReport,
    Contributions,
    Decision,
    FighterAnswer,
    FightFailure,
    FightReport,
    GarbageReport,
    HealthCheck,
    HealthReport,
    Interval,
    Market,
    PartReport,
    Report,
    ServedState,
    ShadowReport,
    TrainingReport,
)
from tests.support.bets import FIGURES as BET_FIGURES
from tests.support.golden_jobs import DIGEST, ESTIMATE, FAILURE, NIGHT, STATE, SURROUNDINGS

REPORTS: dict[str, Report] = {
    "report_card": CardReport(
        card_id="UFC 400",
        model=DIGEST,
        data_cutoff=date(2098, 12, 6),
        fights=(
            FightReport(
                id="main event",
                fighters=tuple(  # type: ignore[arg-type]  # two of them
                    FighterAnswer(
                        name=name,
                        fighter_id=fighter_id,
                        probability=probability,
                        intervals=(Interval(level=0.8, lower=0.125, upper=0.875, method="anchored"),),
                        sampling_interval=sampling,
                        members={"random_forest": probability, "xgboost": 0.1 + 0.2},
                        market_probability=0.5,
                        best=best,
                    )
                    for name, fighter_id, probability, sampling, best in (
                        (
                            "Ana Núñez",
                            "f1",
                            0.625,
                            Interval(level=0.95, lower=1e-7, upper=0.9, method="bootstrap_percentile"),
                            Bet(
                                bookmaker="Acme",
                                price=1.5,
                                expected_value=-0.0625,
                                expected_value_lower=-0.8125,
                                kelly_fraction=0.0,
                                kelly_fraction_lower=0.0,
                            ),
                        ),
                        ('Bea "B" O\'Neil', None, 0.375, None, None),
                    )
                ),
                decision=Decision(
                    action="bet",
                    reasons=("edge",),
                    fighter="Ana Núñez",
                    bookmaker="Acme",
                    price=1.5,
                    stake_fraction=0.0125,
                ),
                market=Market(method="shin", bookmakers=("Acme", "Best"), overround=0.04, arbitrage=True),
                flags=("debutant",),
                notes=("Crook: a price of 0.5 is none",),
            ),
            FightReport(
                id="3",
                fighters=tuple(  # type: ignore[arg-type]  # two of them
                    FighterAnswer(
                        name=name,
                        fighter_id=None,
                        probability=0.5,
                        intervals=(Interval(level=0.8, lower=0.0, upper=1.0, method="model_based"),),
                        sampling_interval=None,
                        members={},
                    )
                    for name in ("Eve", "Flo")
                ),
                decision=Decision(action="abstain", reasons=("no_market",)),
                market_reason="no_quotes",
                sampling_reason="no_replicas",
            ),
            FightFailure(id="2", names=("Cleo", "Dora"), failure=FAILURE),
        ),
    ),
    "report_card_charged": CardReport(
        card_id="c",
        model=DIGEST,
        data_cutoff=date(2098, 12, 6),
        fights=(
            FightReport(
                id="1",
                fighters=tuple(  # type: ignore[arg-type]  # two of them
                    FighterAnswer(
                        name=name,
                        fighter_id=None,
                        probability=0.5,
                        intervals=(),
                        sampling_interval=None,
                        members={},
                        best=Bet(
                            bookmaker="Exchange",
                            price=2.0,
                            expected_value=-0.025,
                            expected_value_lower=-0.5,
                            kelly_fraction=0.0,
                            kelly_fraction_lower=0.0,
                            commission=0.05,
                        ),
                    )
                    for name in ("Eve", "Flo")
                ),
                decision=Decision(action="abstain", reasons=("no_interval", "same_bout", "conflicting_bouts")),
                flags=("quotes_left_out",),
                notes=("Old: stale (prices 1.5 and 2.75 of 2098-12-24 00:00:00 UTC)",),
            ),
        ),
    ),
    "report_card_explained": CardReport(
        card_id="c",
        model=DIGEST,
        data_cutoff=date(2098, 12, 6),
        fights=(
            FightReport(
                id="1",
                fighters=tuple(  # type: ignore[arg-type]  # two of them
                    FighterAnswer(
                        name=name,
                        fighter_id=None,
                        probability=0.5 + sign * 0.25,
                        intervals=(),
                        sampling_interval=None,
                        members={},
                        contributions=Contributions(
                            logit=sign * 1.125,
                            corner=sign * 0.25,
                            groups={"striking": sign * 1.0, "context": -sign / 8},
                        ),
                    )
                    for name, sign in (("Eve", 1.0), ("Flo", -1.0))
                ),
                decision=Decision(action="abstain", reasons=("no_interval",)),
                interval_reason="not_measured",
            ),
        ),
    ),
    "report_card_judged": CardReport(
        card_id="c",
        model=DIGEST,
        data_cutoff=date(2098, 12, 6),
        fights=(
            FightReport(
                id="1",
                fighters=tuple(  # type: ignore[arg-type]  # two of them
                    FighterAnswer(
                        name=name,
                        fighter_id=None,
                        probability=0.5,
                        intervals=(Interval(level=0.8, lower=0.25, upper=0.75, method="anchored"),),
                        sampling_interval=None,
                        members={},
                        market_probability=0.5,
                        best=Bet(
                            bookmaker="Acme",
                            price=2.0,
                            expected_value=0.0,
                            expected_value_lower=-0.5,
                            kelly_fraction=0.0,
                            kelly_fraction_lower=0.0,
                            market_probability=0.53125,
                            market_edge=0.0625,
                            without_own_quote=True,
                            market_aware_probability=0.515625,
                            market_aware_edge=0.03125,
                        ),
                    )
                    for name in ("Eve", "Flo")
                ),
                decision=Decision(action="abstain", reasons=("price_too_low",)),
                market=Market(method="shin", bookmakers=("Acme", "Best", "Case", "Dime"), overround=1.04),
            ),
        ),
    ),
    "report_card_unmeasured": CardReport(
        card_id="c",
        model=DIGEST,
        data_cutoff=date(2098, 12, 6),
        fights=(
            FightReport(
                id="1",
                fighters=tuple(  # type: ignore[arg-type]  # two of them
                    FighterAnswer(
                        name=name, fighter_id=None, probability=0.5, intervals=(), sampling_interval=None, members={}
                    )
                    for name in ("Eve", "Flo")
                ),
                decision=Decision(action="abstain", reasons=("no_interval",)),
                interval_reason="not_measured",
            ),
        ),
    ),
    "report_card_stated": CardReport(
        card_id="c",
        model=DIGEST,
        data_cutoff=date(2098, 12, 6),
        fights=(),
        state=ServedState(digest=DIGEST, cutoff=date(2098, 12, 27), age_days=7),
    ),
    "report_update_plain": UpdateReport(
        model=DIGEST,
        base=DIGEST,
        changed=False,
        data_digest=DIGEST,
        state=STATE,
        base_state=STATE,
        new_fights=0,
        new_fighters=0,
        corrected_fighters=0,
        past=StateDifference(pairs=198, mean=0.0, largest=0.0),
        change=StateDifference(pairs=198, mean=0.0, largest=0.0),
        verdict=UpdateVerdict(promote=True),
        bundle_bytes=1_000_000,
    ),
    "report_update_refused": UpdateReport(
        model=DIGEST,
        base=DIGEST[::-1],
        changed=True,
        data_digest=DIGEST,
        state=STATE,
        base_state=FighterState(digest=DIGEST[::-1], cutoff=date(2098, 12, 20)),
        new_fights=13,
        new_fighters=2,
        corrected_fighters=1,
        past=StateDifference(pairs=198, mean=0.001, largest=0.0625),
        change=StateDifference(pairs=198, mean=0.003, largest=0.125),
        verdict=UpdateVerdict(
            promote=False, reasons=(UpdateReason(code="past_answers_differ", message="the log gives another past"),)
        ),
        bundle_bytes=1_000_000,
    ),
    "report_update_reanchored": UpdateReport(
        model=DIGEST,
        base=DIGEST[::-1],
        changed=True,
        data_digest=DIGEST,
        state=STATE,
        base_state=STATE,
        new_fights=0,
        new_fighters=0,
        corrected_fighters=0,
        past=StateDifference(pairs=198, mean=0.0, largest=0.0),
        change=StateDifference(pairs=198, mean=0.0, largest=0.0),
        verdict=UpdateVerdict(
            promote=False, reasons=(UpdateReason(code="intervals_renewed", message="its intervals are new"),)
        ),
        bundle_bytes=1_000_000,
        anchoring=Anchoring(
            fights=500,
            until=date(2098, 12, 27),
            slope_factor=1.0625,
            levels=(MovedLevel(level=0.8, inside=0.8125, width_before=0.375, width_after=0.3125),),
        ),
    ),
    "report_part": PartReport(name="replica-5-10", digest=DIGEST, bytes_written=1_000_000),
    "report_bet_settlement": BetSettlementReport(
        won=2, lost=3, void=1, resettled=1, profit=-1250, open=4, waiting=("a", "b"), unclear=("c",)
    ),
    "report_fight_log_plain": FightLogReport(log="/fights", changed=False),
    "report_fight_log_full": FightLogReport(
        log="/fights",
        digest_before=DIGEST,
        digest=DIGEST[::-1],
        changed=True,
        dry_run=True,
        sources=(ReadSource(path="/exports", format="ufcstats", found="ufcstats: results in results.csv", fights=2),),
        counts={"added_fights": 1, "changes": 1, "overturned": 1},
        added_fights=("a1",),
        changes=(
            LogChange(
                change="overturned",
                table="fights",
                fight_id="b2",
                column="winner",
                before="red",
                after="nc",
                source="ufcstats",
            ),
        ),
        proposals=(ProposedLink(kind="fight", source="ufcstats", source_id="b2", log_id="b2", how="names_and_day"),),
        cases=(OpenCase(case="missing", source="ufcstats", source_id="c3", text="Ana v Bea is no longer there"),),
        faults=(SourceFault(file="results.csv", line=3, column="TIME", value="x", remedy="is not a time"),),
        notes=("a note",),
        warnings=("a warning",),
        results={"added": 1, "unchanged": 2, "corrected": 0},
    ),
    "report_outcome_archive": OutcomeArchiveReport(
        archived=26,
        bytes_written=40_000,
        merged_files=16,
        expired=3,
        outcomes=3100,
        files=5,
        bytes=4_000_000,
        complete=True,
    ),
    "report_price_archive": PriceArchiveReport(
        months=("2098-12", "2099-01"), fights=26, changes=3100, dropped=13, bytes_written=40_000
    ),
    "report_garbage": GarbageReport(models=(DIGEST,), trainings=(), dry_run=True),
    "report_training": TrainingReport(
        model=DIGEST,
        alias=None,
        data_digest=DIGEST,
        data_cutoff=date(2024, 2, 28),
        fights=6000,
        events=500,
        features=70,
        bootstrap_samples=100,
        interval_method="model_based",
        metrics={"log_loss": 0.644, "brier": 0.2265},
        bundle_bytes=12_345_678,
    ),
    "report_judgement": JudgementReport(
        challenger=DIGEST,
        champion=DIGEST[::-1],
        data_digest=DIGEST,
        method="walk_forward",
        same_recipe=False,
        trained=4,
        first_day=date(2023, 7, 8),
        last_day=date(2024, 12, 14),
        fights=768,
        priced_fights=768,
        events=64,
        forecasts=(
            EvaluatedForecast(
                forecast="challenger",
                log_loss=ESTIMATE,
                brier=ESTIMATE,
                slope=ESTIMATE,
                intercept=Estimate(value=0.0, lower=None, upper=None),
                coverage=(
                    EvaluatedCoverage(level=0.8, inside=ESTIMATE, width=ESTIMATE),
                    EvaluatedCoverage(level=0.95, inside=None, width=ESTIMATE),
                ),
            ),
            EvaluatedForecast(forecast="base_rate", log_loss=ESTIMATE, brier=ESTIMATE),
        ),
        paired=(PairedDifference(against="champion", log_loss=ESTIMATE, brier=ESTIMATE),),
        verdict=PromotionVerdict(
            promote=False, reasons=(GateReason(code="worse_than_champion", message="its log loss is worse"),)
        ),
    ),
    "report_judgement_anchored": JudgementReport(
        challenger=DIGEST,
        champion=DIGEST[::-1],
        anchor=DIGEST[::-2] * 2,
        tries=3,
        error=0.025 / 12,
        data_digest=DIGEST,
        method="held_out",
        same_recipe=False,
        trained=0,
        first_day=date(2023, 7, 8),
        last_day=date(2024, 12, 14),
        fights=768,
        priced_fights=768,
        events=64,
        forecasts=(
            EvaluatedForecast(forecast="challenger", log_loss=ESTIMATE, brier=ESTIMATE, slope=ESTIMATE),
            EvaluatedForecast(forecast="anchor", log_loss=ESTIMATE, brier=ESTIMATE, slope=ESTIMATE),
        ),
        paired=(PairedDifference(against="anchor", log_loss=ESTIMATE, brier=ESTIMATE, most=0.004),),
        corner_known=(EvaluatedForecast(forecast="challenger", log_loss=ESTIMATE, brier=ESTIMATE, intercept=ESTIMATE),),
        recalibrated=False,
        verdict=PromotionVerdict(
            promote=True, remarks=(GateReason(code="uncalibrated_slope", message="it is too timid"),)
        ),
    ),
    "report_judgement_served": JudgementReport(
        challenger=DIGEST,
        champion=None,
        data_digest=DIGEST,
        method="held_out",
        same_recipe=False,
        trained=0,
        first_day=date(2023, 7, 8),
        last_day=date(2024, 12, 14),
        fights=768,
        priced_fights=768,
        events=64,
        forecasts=(EvaluatedForecast(forecast="challenger", log_loss=ESTIMATE, brier=ESTIMATE, slope=ESTIMATE),),
        paired=(),
        verdict=PromotionVerdict(promote=True),
        served=ServedComparison(
            state="lagging",
            forecasts=(
                ServedForecast(
                    forecast="challenger", state="lagging", corner="unknown", log_loss=ESTIMATE, minus_market=ESTIMATE
                ),
            ),
        ),
    ),
    "report_health": HealthReport(
        status="unhealthy",
        checks=(HealthCheck(name="model_loaded", passed=False, detail="no model is called 'champion'"),),
        model=None,
        memory_mb=123.5,
    ),
    "report_comparison": ComparisonReport(
        champion=DIGEST,
        challenger=DIGEST[::-1],
        fights=12,
        events=1,
        waiting=3,
        void=1,
        scores=(Score(forecast="market", log_loss=0.5, brier=0.25),),
        differences=(
            ScoreDifference(
                one="challenger",
                other="champion",
                log_loss=Estimate(value=-0.125, lower=-0.25, upper=0.0),
                brier=Estimate(value=0.5, lower=None, upper=None),
            ),
        ),
    ),
    "report_comparison_stated": ComparisonReport(
        champion=DIGEST,
        challenger=DIGEST[::-1],
        fights=12,
        events=1,
        waiting=3,
        void=1,
        scores=(),
        differences=(),
        states=(
            AnswerStates(forecast="champion", fresh=12, lagging=0),
            AnswerStates(forecast="challenger", fresh=2, lagging=9),
        ),
    ),
    "report_bets_empty": BetsReport(
        mode="paper",
        since=None,
        until=None,
        start=1_000_000,
        open=0,
        void=0,
        total=BetFigures(bets=0, events=0, won=0, staked=0, profit=0),
        drawdown=DrawdownFigures(amount=0, share=0.0, longest_losing_run=0),
        rules_tried=0,
    ),
    "report_bets": BetsReport(
        mode="live",
        since=NIGHT,
        until=NIGHT,
        start=1_000_000,
        open=2,
        void=1,
        total=BET_FIGURES,
        drawdown=DrawdownFigures(amount=4200, share=0.0042, longest_losing_run=4),
        rules_tried=3,
        rules=(
            RuleReview(
                digest=DIGEST,
                rules=DecisionRules(kelly_fraction=0.1),
                figures=BET_FIGURES,
                drawdown=DrawdownFigures(amount=4200, share=None, longest_losing_run=4),
                simultaneous=Estimate(value=0.05, lower=-0.2, upper=0.31),
                p_value=0.75,
            ),
        ),
        bookmakers=(BetGroup(name="Bookmaker", figures=BET_FIGURES),),
        bands=(BetGroup(name="50% to 60%", figures=BET_FIGURES),),
        abstentions=(
            AbstentionReview(
                reason="too_uncertain", fights=30, profit=-2.5, per_fight=Estimate(value=-0.083, lower=None, upper=None)
            ),
        ),
        unpriced=4,
        waiting=5,
        days=(ReviewedDay(day=date(2098, 12, 27), bets=3, staked=3000, profit=-100, expected=41.5),),
    ),
    "report_review_stated": ReviewReport(
        model=DIGEST,
        fights=12,
        events=1,
        waiting=0,
        void=0,
        contradicted=0,
        served=(ServedWindow(state="fresh", corner="unknown", fights=12, log_loss=0.625, minus_market=ESTIMATE),),
    ),
    "report_review_plain": ReviewReport(model=DIGEST, fights=0, events=0, waiting=3, void=0, contradicted=0),
    "report_review_full": ReviewReport(
        model=DIGEST,
        fights=120,
        events=12,
        waiting=0,
        void=2,
        contradicted=1,
        windows=(
            ScoreWindow(
                fights=120,
                first_day=date(2098, 1, 1),
                last_day=date(2098, 6, 1),
                log_loss=0.75,
                minus_market=Estimate(value=0.125, lower=0.0, upper=0.25),
            ),
        ),
        calibration=CalibrationLine(slope=0.5, slope_error=0.125, intercept=0.25, intercept_error=0.0625),
        reliability=(
            ReliabilityBin(
                from_probability=0.5,
                to_probability=0.55,
                fights=3,
                forecast=0.53125,
                won=Estimate(value=0.5, lower=0.25, upper=0.75),
            ),
        ),
        bands=(FavouriteBin(level=0.8, lower=0.5, won=Estimate(value=0.625, lower=None, upper=None), upper=0.75),),
        coverage=(IntervalCoverage(level=0.8, inside=Estimate(value=0.75, lower=0.5, upper=1.0), width=0.25),),
        proven_gap=0.0625,
        shifts=(FeatureShift(feature="diff_reach", index=0.25),),
        findings=(
            SequentialTestResult(
                test="calibration", e_value=64.0, highest=128.0, threshold=50.0, alarm=True, events=12
            ),
        ),
        alarm=("calibration",),
        action="rollback",
        said="the champion is 0123456789ab again",
    ),
    "report_shadow": ShadowReport(model=DIGEST, noted=11, failed=1),
    "report_health_coded": HealthReport(
        status="unhealthy",
        checks=(HealthCheck(name="model_loaded", passed=False, detail="gone", code=FailureCode.MODEL_NOT_FOUND),),
        memory_mb=1.0,
    ),
    "report_replay_same": ReplayReport(
        job_id="j",
        job_kind="predict_card",
        verdict="same",
        agrees=True,
        models={"champion": DIGEST},
        made_in=SURROUNDINGS,
        replayed_in=SURROUNDINGS,
    ),
    "report_replay_close": ReplayReport(
        job_id="j",
        job_kind="predict_card",
        verdict="close",
        agrees=True,
        first_difference=FieldDifference(
            field="fights[0].fighters[1].probability", kept="0.1", again="0.10000000000000002"
        ),
        largest_difference=1.3877787807814457e-17,
        models={"champion": DIGEST},
        made_in=SURROUNDINGS,
        replayed_in=RuntimeEnvironment(processor="arm64", libraries={"python": "3.11.2"}),
    ),
    "report_replay_none": ReplayReport(
        job_id="j", job_kind="train_ensemble", verdict="not_replayable", agrees=False, obstacle="worker_lost"
    ),
}
FAILURES: dict[str, Failure] = {
    "failure_full": FAILURE,
    "failure_plain": Failure(code=FailureCode.INTERNAL, message="it broke"),
}
