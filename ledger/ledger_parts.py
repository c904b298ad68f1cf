"""The parts of a ledger, each imported and made when it is first used: a caller's first question needs one or two."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ledger.server.server import Server

if TYPE_CHECKING:
    from ledger.archive.job_archive import JobArchive
    from ledger.bets.bet_register import BetRegister
    from ledger.durability.outcomes import OutcomeConfirmation
    from ledger.feeds.feed_store import Feeds
    from ledger.jobs.card_answers import CardAnswers
    from ledger.jobs.chains import Chains
    from ledger.jobs.claims import Claims
    from ledger.jobs.dead_letters import DeadLetters
    from ledger.jobs.job_audit import JobAudit
    from ledger.jobs.job_history import JobHistories
    from ledger.jobs.job_index import JobIndex
    from ledger.jobs.job_log import JobLogs
    from ledger.jobs.job_records import JobRecords
    from ledger.jobs.liveness_probes import LivenessProbes
    from ledger.jobs.outcome_reader import OutcomeReader
    from ledger.jobs.outcome_stats import OutcomeStats
    from ledger.jobs.queue_stats import QueueStats
    from ledger.jobs.submission import Submission
    from ledger.models.aliases import Aliases
    from ledger.models.drift_alarms import DriftAlarms
    from ledger.models.drift_figures import DriftStore
    from ledger.models.fight_results import FightResults
    from ledger.models.fighter_directories import FighterDirectories
    from ledger.models.model_references import ModelReferences
    from ledger.models.model_registry import ModelRegistry
    from ledger.models.prediction_log import PredictionLog
    from ledger.models.promotions import Promotions
    from ledger.models.state_lag import StateLags
    from ledger.models.verification import Verification
    from ledger.operations.control_store import ControlStore
    from ledger.operations.pool_registry import PoolRegistry
    from ledger.operations.quarantine import Quarantine
    from ledger.operations.stored_format import StoredFormat
    from ledger.operations.tokens import TokenStore
    from ledger.prices.prices import Prices
    from ledger.schedules.schedule_store import Schedules
    from ledger.webhooks.delivery_queue import DeliveryQueue
    from ledger.webhooks.webhook_store import Webhooks

# Name of a part: its module, its class, and the parts that the class takes behind the server.
PARTS: dict[str, tuple[str, ...]] = {
    "_claims": ("ledger.jobs.claims", "Claims"),
    "_outcomes": ("ledger.jobs.outcome_reader", "OutcomeReader"),
    "aliases": ("ledger.models.aliases", "Aliases", "models", "controls"),
    "bets": ("ledger.bets.bet_register", "BetRegister", "controls"),
    "card_answers": ("ledger.jobs.card_answers", "CardAnswers", "_outcomes"),
    "chains": ("ledger.jobs.chains", "Chains", "submission", "_outcomes"),
    "controls": ("ledger.operations.control_store", "ControlStore"),
    "dead_letters": ("ledger.jobs.dead_letters", "DeadLetters", "submission", "_outcomes", "job_records"),
    "drift_alarms": ("ledger.models.drift_alarms", "DriftAlarms", "controls"),
    "drift_figures": ("ledger.models.drift_figures", "DriftStore"),
    "feeds": ("ledger.feeds.feed_store", "Feeds"),
    "fight_results": ("ledger.models.fight_results", "FightResults"),
    "fighters": ("ledger.models.fighter_directories", "FighterDirectories"),
    "job_archive": ("ledger.archive.job_archive", "JobArchive"),
    "job_audit": ("ledger.jobs.job_audit", "JobAudit", "job_index", "job_archive"),
    "job_histories": ("ledger.jobs.job_history", "JobHistories", "_outcomes"),
    "job_index": ("ledger.jobs.job_index", "JobIndex"),
    "job_logs": ("ledger.jobs.job_log", "JobLogs"),
    "job_records": ("ledger.jobs.job_records", "JobRecords", "_outcomes"),
    "liveness_probes": ("ledger.jobs.liveness_probes", "LivenessProbes"),
    "models": ("ledger.models.model_registry", "ModelRegistry"),
    "outcome_confirmation": ("ledger.durability.outcomes", "OutcomeConfirmation"),
    "outcome_stats": ("ledger.jobs.outcome_stats", "OutcomeStats"),
    "pools": ("ledger.operations.pool_registry", "PoolRegistry"),
    "prediction_log": ("ledger.models.prediction_log", "PredictionLog"),
    "prices": ("ledger.prices.prices", "Prices"),
    "promotions": ("ledger.models.promotions", "Promotions", "models", "aliases", "drift_alarms"),
    "quarantine": ("ledger.operations.quarantine", "Quarantine"),
    "queue_stats": ("ledger.jobs.queue_stats", "QueueStats"),
    "references": ("ledger.models.model_references", "ModelReferences"),
    "schedules": ("ledger.schedules.schedule_store", "Schedules", "_outcomes"),
    "state_lags": ("ledger.models.state_lag", "StateLags", "models", "prediction_log", "fight_results"),
    "stored_format": ("ledger.operations.stored_format", "StoredFormat", "pools", "job_index"),
    "submission": ("ledger.jobs.submission", "Submission"),
    "tokens": ("ledger.operations.tokens", "TokenStore"),
    "verification": ("ledger.models.verification", "Verification", "submission", "_outcomes", "controls"),
    "webhook_queue": ("ledger.webhooks.delivery_queue", "DeliveryQueue"),
    "webhooks": ("ledger.webhooks.webhook_store", "Webhooks"),
}


def import_parts() -> None:
    """Import the modules of all parts.

    For a process that forks, before it has threads: a child that is forked while a thread imports a module would wait
    for ever for that import to end.
    """
    for module, *_ in PARTS.values():
        import_module(module)


class LedgerParts:
    """The parts of a ledger, which share a server; `ledger.ledger.Ledger` describes them."""

    _claims: Claims
    _outcomes: OutcomeReader
    aliases: Aliases
    bets: BetRegister
    card_answers: CardAnswers
    chains: Chains
    controls: ControlStore
    dead_letters: DeadLetters
    drift_alarms: DriftAlarms
    drift_figures: DriftStore
    feeds: Feeds
    fight_results: FightResults
    fighters: FighterDirectories
    job_archive: JobArchive
    job_audit: JobAudit
    job_histories: JobHistories
    job_index: JobIndex
    job_logs: JobLogs
    job_records: JobRecords
    liveness_probes: LivenessProbes
    models: ModelRegistry
    outcome_confirmation: OutcomeConfirmation
    outcome_stats: OutcomeStats
    pools: PoolRegistry
    prediction_log: PredictionLog
    prices: Prices
    promotions: Promotions
    quarantine: Quarantine
    queue_stats: QueueStats
    references: ModelReferences
    schedules: Schedules
    state_lags: StateLags
    stored_format: StoredFormat
    submission: Submission
    tokens: TokenStore
    verification: Verification
    webhook_queue: DeliveryQueue
    webhooks: Webhooks

    def __init__(self, server: Server) -> None:
        self.server = server

    if not TYPE_CHECKING:  # a type checker knows the parts by their types, and refuses other names

        def __getattr__(self, name: str) -> Any:
            """Make a part; of two threads that do so at once, both get the part of the first."""
            if name not in PARTS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            module, kind, *others = PARTS[name]
            part = getattr(import_module(module), kind)(self.server, *(getattr(self, other) for other in others))
            return self.__dict__.setdefault(name, part)
