"""The public types of the wire, and the checks of them that no schema can express."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import Struct

from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.monitoring_reports import ComparisonReport, ReviewReport
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.job_state import JobStatus, Outcome
from ledger.contracts.jobs import (
    ArchiveOutcomes,
    ArchivePrices,
    Backtest,
    BacktestPart,
    CheckHealth,
    CollectGarbage,
    CompareModels,
    DeclaredRecord,
    Fight,
    Fighter,
    Job,
    JudgeModels,
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
    kind_of,
)
from ledger.contracts.replay_report import ReplayReport
from ledger.contracts.reports import (
    CardReport,
    GarbageReport,
    HealthReport,
    PartReport,
    Report,
    ShadowReport,
    TrainingReport,
)

JOBS: tuple[type[Struct], ...] = tuple(get_args(Job))
REPORTS: tuple[type[Struct], ...] = tuple(get_args(Report))
REPORT_OF: dict[type[Struct], type[Struct]] = {
    PredictCard: CardReport,
    TrainEnsemble: TrainingReport,
    Backtest: BacktestReport,
    JudgeModels: JudgementReport,
    UpdateModel: UpdateReport,
    UpdateFightLog: FightLogReport,
    CheckHealth: HealthReport,
    Replay: ReplayReport,
    ReproduceTraining: ReplayReport,
    ReviewModel: ReviewReport,
    CompareModels: ComparisonReport,
    ReviewBets: BetsReport,
    CollectGarbage: GarbageReport,
    ArchiveOutcomes: OutcomeArchiveReport,
    ArchivePrices: PriceArchiveReport,
    SettleBets: BetSettlementReport,
    ShadowCard: ShadowReport,
    TrainPart: PartReport,
    BacktestPart: PartReport,
}
"""The report that answers each kind of job."""

INTERNAL: tuple[type[Struct], ...] = (ShadowCard, TrainPart, BacktestPart)
"""Jobs that workers submit for each other."""
PUBLIC_JOBS = tuple(kind for kind in JOBS if kind not in INTERNAL)
TAGS = {job: kind_of(job) for job in (*JOBS, *REPORTS)}  # type: ignore[arg-type]

_VERSION = "`schema_version` is 1: another one is `unsupported_schema`."
CHECKS: dict[type[Struct], str] = {
    PredictCard: (
        "Checked besides: fights have different ids; `event_start`, or `deadline` if given, is in the future (else "
        "`expired`); with `max_quote_age_seconds` every quote has `as_of` and none is older (otherwise `stale_odds`); "
        "the JSON of the whole job has at most 1,000,000 bytes."
    ),
    Fight: (
        "Checked besides: names are not blank and differ in more than case and spaces; at most one fighter has the red "
        "corner, and at most one the blue; each quote prices exactly these two fighters, in the same spelling."
    ),
    Fighter: "Checked besides: `record` is allowed with `debut` only.",
    DeclaredRecord: (
        "Checked besides: wins, losses and draws together are at most 200; wins and losses by method are at most all "
        "wins and losses; `last_bout` is before the event and not in the future."
    ),
    Quote: "Checked besides: the name of the bookmaker is not blank.",
    MemberWeights: "Checked besides: the weights sum to 1.",
    TrainEnsemble: "Checked besides: `alias` has not the shape of a digest (64 hexadecimal digits).",
    Outcome: "There is a `report` if `state` is `succeeded`, and otherwise a `failure`.",
    JobStatus: "`unknown` and `forgotten` come without the other fields.",
}
"""What the code checks, or keeps, beyond the schema of a type."""


def description_of(kind: type[Any], text: str) -> str:
    """Return a type's description with the checks that its schema cannot express."""
    parts = [text, CHECKS.get(kind, "")]
    if kind in JOBS:
        parts.append(_VERSION)
    return "\n\n".join(part for part in parts if part)
