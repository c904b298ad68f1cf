"""The public face of cornerman: the client, jobs, reports, settings and errors, and the engine's migration classes.

    from cornerman import Client, read_feed

Nothing here is defined; every name is re-exported from the room that owns it. What a caller needs comes with the plain
package. The names of asyncio's client and of the engine are loaded when they are first used; the engine's need
`pip install 'cornerman[engine]'`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ledger.contracts.bets import PlacedBet
from ledger.contracts.chains import ChainState, ChainStatus
from ledger.contracts.failures import (
    Failure,
    FailureCode,
    JobArchivedError,
    JobFailedError,
    JobRefusedError,
    LedgerError,
    LedgerUnavailableError,
    PermissionDeniedError,
    UnknownJobError,
    WaitTimeoutError,
)
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.monitoring_reports import ComparisonReport, ReviewReport
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.job_reports.update_report import FighterState, UpdateReport
from ledger.contracts.job_state import JobState, JobStatus, Outcome, Progress, Receipt
from ledger.contracts.jobs import (
    ArchiveOutcomes,
    ArchivePrices,
    Backtest,
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
    MatrixColumns,
    MemberWeights,
    PredictCard,
    Quote,
    Replay,
    ReproduceTraining,
    ReviewBets,
    ReviewModel,
    SettleBets,
    TrainEnsemble,
    UpdateFightLog,
    UpdateModel,
)
from ledger.contracts.prices import PriceChange
from ledger.contracts.replay_report import ReplayReport
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
    MarketAware,
    Report,
    ServedState,
    TrainingReport,
)
from ledger.durability.confirmations import NotDurableError
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.ledger import Ledger
from ledger.server.error_replies import ServerFullError
from ledger.settings import LedgerSettings
from producer.client import Client, require_report
from producer.feed.odds_api import FeedError, FeedReading, read_cards, read_feed
from producer.feed.parsing import PriceFormat
from producer.polling import CardSubmission, enqueue_feed

if TYPE_CHECKING:
    from engine.bootstrap import BootstrapConfig, ThreadSafeBootstrapSampler, create_bootstrap_config
    from engine.ensemble import (
        FightPrediction,
        ProductionEnsembleConfig,
        ProductionEnsembleManager,
        create_production_ensemble_config,
    )
    from engine.errors import (
        AmbiguousFighterError,
        BootstrapError,
        BundleCorruptError,
        BundleError,
        BundleNotFoundError,
        EngineError,
        MemoryLimitError,
        TrainingError,
        TrainingTimeoutError,
        UnknownFighterError,
        ValidationError,
    )
    from engine.members.xgboost_config import ProductionXGBoostConfig
    from engine.xgboost_trainer import (
        ProductionXGBoostTrainer,
        XGBoostTrainingResult,
        create_production_xgboost_config,
    )
    from ledger.async_ledger import AsyncLedger
    from producer.async_client import AsyncClient

__all__ = [
    "AmbiguousFighterError",
    "ArchiveOutcomes",
    "ArchivePrices",
    "AsyncClient",
    "AsyncLedger",
    "Backtest",
    "BacktestReport",
    "Bet",
    "BetSettlementReport",
    "BetsReport",
    "BootstrapConfig",
    "BootstrapError",
    "BundleCorruptError",
    "BundleError",
    "BundleNotFoundError",
    "CardReport",
    "CardSubmission",
    "ChainState",
    "ChainStatus",
    "CheckHealth",
    "Client",
    "CollectGarbage",
    "CompareModels",
    "ComparisonReport",
    "Contributions",
    "Decision",
    "DecisionRules",
    "DeclaredRecord",
    "EngineError",
    "Failure",
    "FailureCode",
    "FeedError",
    "FeedReading",
    "Fight",
    "FightFailure",
    "FightLogReport",
    "FightPrediction",
    "FightReport",
    "Fighter",
    "FighterAnswer",
    "FighterState",
    "GarbageReport",
    "HealthCheck",
    "HealthReport",
    "Interval",
    "IntervalOptions",
    "Job",
    "JobArchivedError",
    "JobFailedError",
    "JobRefusedError",
    "JobState",
    "JobStatus",
    "JudgeModels",
    "JudgementReport",
    "Ledger",
    "LedgerError",
    "LedgerSettings",
    "LedgerUnavailableError",
    "Market",
    "MarketAware",
    "MatrixColumns",
    "MemberWeights",
    "MemoryLimitError",
    "NotDurableError",
    "Outcome",
    "OutcomeArchiveReport",
    "OutcomesMissedError",
    "PermissionDeniedError",
    "PlacedBet",
    "PredictCard",
    "PriceArchiveReport",
    "PriceChange",
    "PriceFormat",
    "ProductionEnsembleConfig",
    "ProductionEnsembleManager",
    "ProductionXGBoostConfig",
    "ProductionXGBoostTrainer",
    "Progress",
    "Quote",
    "Receipt",
    "Replay",
    "ReplayReport",
    "Report",
    "ReproduceTraining",
    "ReviewBets",
    "ReviewModel",
    "ReviewReport",
    "ServedState",
    "ServerFullError",
    "SettleBets",
    "ThreadSafeBootstrapSampler",
    "TrainEnsemble",
    "TrainingError",
    "TrainingReport",
    "TrainingTimeoutError",
    "UnknownFighterError",
    "UnknownJobError",
    "UpdateFightLog",
    "UpdateModel",
    "UpdateReport",
    "ValidationError",
    "WaitTimeoutError",
    "XGBoostTrainingResult",
    "create_bootstrap_config",
    "create_production_ensemble_config",
    "create_production_xgboost_config",
    "enqueue_feed",
    "read_cards",
    "read_feed",
    "require_report",
]

_ENGINE = {
    "engine.bootstrap": ("BootstrapConfig", "ThreadSafeBootstrapSampler", "create_bootstrap_config"),
    "engine.ensemble": (
        "FightPrediction",
        "ProductionEnsembleConfig",
        "ProductionEnsembleManager",
        "create_production_ensemble_config",
    ),
    "engine.errors": (
        "AmbiguousFighterError",
        "BootstrapError",
        "BundleCorruptError",
        "BundleError",
        "BundleNotFoundError",
        "EngineError",
        "MemoryLimitError",
        "TrainingError",
        "TrainingTimeoutError",
        "UnknownFighterError",
        "ValidationError",
    ),
    "engine.xgboost_trainer": (
        "ProductionXGBoostConfig",
        "ProductionXGBoostTrainer",
        "XGBoostTrainingResult",
        "create_production_xgboost_config",
    ),
}
_ASYNCIO = {"ledger.async_ledger": ("AsyncLedger",), "producer.async_client": ("AsyncClient",)}
_MODULE_OF = {name: module for module, names in (*_ENGINE.items(), *_ASYNCIO.items()) for name in names}


def __getattr__(name: str) -> Any:
    """Load one of the engine's or asyncio's names, or the version, when it is first used."""
    if name == "__version__":
        return version("cornerman")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'cornerman' has no attribute {name!r}")
    try:
        value = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"cornerman.{name} needs the engine: pip install 'cornerman[engine]' ({error.name} is not installed)"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, those of the engine included."""
    return sorted([*__all__, "__version__"])
