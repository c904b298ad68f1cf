"""The ledger: the one door to the book, for callers and workers alike.

A job is one record on the server and changes only by the scripts in `lua/`, each of them atomic:

    submit ──> queued ──claim──> running ──settle──> succeeded | failed
                 ^  │               │  │
                 │  │               │  └─cancel────> cancelled
                 │  ├─cancel────────┼──────────────> cancelled
                 │  └─deadline──────┼──────────────> expired
                 └─release, lose────┘ (the last attempt: failed as worker_lost, a dead letter; queued again, it is
                                       another job)

A claim is a lease on the server's clock, known by its fence. Whoever comes with an old fence is refused, and an outcome
is never replaced. An outcome lives for the retention; a tombstone tells `forgotten` from `unknown` for a while longer.
Not covered: a server that loses data it has confirmed (see `durable`), and several servers (shard by whole ledgers).
"""

from __future__ import annotations

from ledger.jobs.claims import Claim, Claims, Held, Reaped, Settlement
from ledger.jobs.dead_letters import DeadLetter, DeadLetters
from ledger.jobs.job_records import KeptJob, KeptJobs
from ledger.jobs.listed_fights import Feeds
from ledger.jobs.liveness_probes import Canaries
from ledger.jobs.outcome_stats import Latest
from ledger.jobs.queue_stats import Backlogs
from ledger.models.alarms import Alarms
from ledger.models.fight_results import Results
from ledger.models.model_references import References
from ledger.models.prediction_log import Journal
from ledger.models.promotions import Promotions
from ledger.settings import LedgerSettings

__all__ = ["Claim", "DeadLetter", "Held", "KeptJob", "Ledger", "LedgerSettings", "Reaped", "Settlement"]


class Ledger(
    DeadLetters, KeptJobs, Claims, Canaries, Backlogs, Latest, Promotions, Alarms, Journal, Results, References, Feeds
):
    """The book of one namespace on one server. Threads may share it; open it with `Ledger.connect(settings)`."""
