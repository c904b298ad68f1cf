"""What a handler is given in a pool, made by hand: for calling one where there is no pool."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ledger.ledger import Claim
from workers.jobs.context import JobContext
from workers.settings import WorkerSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claim_of(kind: str = "predict_card", payload: bytes = b"", **fields: Any) -> Claim:
    """Return the first claim of a job; `fields` are those that are to be another's."""
    usual: dict[str, Any] = {
        "job_id": "job",
        "attempt": 1,
        "fence": 1,
        "queue": "predict",
        "time_limit_seconds": 60.0,
        "submitted_at": NOW,
        "claimed_at": NOW,
        "deadline": None,
        "correlation_id": None,
    }
    return Claim(kind=kind, payload=payload, **{**usual, **fields})


def context_of(claim: Claim, models: Any = None, ledger: Any = None, started_seconds: float = 0.0) -> JobContext:
    """Return a claim's context. Most handlers ask no ledger themselves, and not all open a model."""
    return JobContext(claim, WorkerSettings(), ledger, models, started_seconds)
