"""Claims and contexts for calling handlers without a pool."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ledger.ledger import Claim
from workers.jobs.context import JobContext
from workers.settings import WorkerSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claim_of(kind: str = "predict_card", payload: bytes = b"", **fields: Any) -> Claim:
    """Return the first claim of a job; `fields` override the default fields."""
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
    """Return the context of a claim; most handlers need no ledger, and some no models."""
    return JobContext(claim, WorkerSettings(), ledger, models, started_seconds)
