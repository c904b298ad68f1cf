"""Offering answered cards to the challenger, after bet placers have their answer.

A shadow is a job of its own, in a queue of its own, so that nothing of it can delay or change a live answer. It is
asked for when the live answer stands; if that fails, there is a line in the log and no shadow.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from ledger.contracts.jobs import CHALLENGER, ShadowCard
from ledger.ledger import Claim, Ledger, Settlement

LEAST_SECONDS = 1.0
"""Of a card that starts sooner there is no shadow: it would come too late for the journal."""


def offer_shadows(ledger: Ledger, answered: Sequence[tuple[Claim, Settlement]]) -> None:
    """Ask for the challenger's answers to cards that were just answered. Raises nothing."""
    shadows = [
        ShadowCard(card=claim.job_id, deadline=datetime.fromtimestamp(settlement.page.start_ms / 1000, UTC))
        for claim, settlement in answered
        if claim.kind == "predict_card"
        and claim.names.get(CHALLENGER) is not None
        and claim.controls.flag("shadow")
        and settlement.page is not None
    ]
    try:
        if shadows:
            ledger.submission.submit_shadows(shadows, min_seconds=LEAST_SECONDS)
    except Exception as error:  # noqa: BLE001 - the live answers stand, and are worth more
        jobs = [shadow.card for shadow in shadows]
        structlog.get_logger("cornerman").warning("no shadow of these cards", jobs=jobs, error=str(error))
