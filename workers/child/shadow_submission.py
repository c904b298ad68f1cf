"""Submission of shadow cards: after a live answer, the challenger answers the same card.

A shadow is a job of its own in a queue of its own, so that it can neither delay nor change a live answer. It is
submitted after the live answer is settled; if the submission fails, the error is logged and there is no shadow.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from ledger.contracts.jobs import CHALLENGER, ShadowCard
from ledger.ledger import Claim, Ledger, Settlement

MIN_LEAD_SECONDS = 1.0
"""Minimum time until the start of a card for a shadow: later ones would miss the prediction log."""


def submit_shadows(ledger: Ledger, answered: Sequence[tuple[Claim, Settlement]]) -> None:
    """Submit the challenger's shadows of cards that were just answered. Raises nothing."""
    shadows = [
        (
            ShadowCard(
                card=claim.job_id, deadline=datetime.fromtimestamp(settlement.prediction_page.start_ms / 1000, UTC)
            ),
            claim,
        )
        for claim, settlement in answered
        if claim.kind == "predict_card"
        and claim.alias_digests.get(CHALLENGER) is not None
        and claim.controls.flag("shadow")
        and settlement.prediction_page is not None
    ]
    try:
        if shadows:
            ledger.submission.submit_shadows(
                [shadow for shadow, _ in shadows],
                min_seconds=MIN_LEAD_SECONDS,
                callers=[claim.caller for _, claim in shadows],
                traces=[claim.span or claim.trace for _, claim in shadows],
            )
    except Exception as error:  # noqa: BLE001 - the live answers stand, whatever happens to their shadows
        jobs = [shadow.card for shadow, _ in shadows]
        structlog.get_logger("cornerman").warning("shadow submission failed", jobs=jobs, error=str(error))
