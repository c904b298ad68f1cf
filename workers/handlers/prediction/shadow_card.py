"""Handler of `ShadowCard`: log what a challenger would have answered for a card that the live model has answered."""

from __future__ import annotations

import msgspec

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import UnknownJobError
from ledger.contracts.jobs import PredictCard, ShadowCard
from ledger.contracts.reports import CardReport, FightReport, ShadowReport
from workers.handlers.prediction.predict_card import answer_card
from workers.handlers.prediction.prediction_log import build_page
from workers.jobs.context import JobContext
from workers.jobs.registry import HandlerResult


def predict_shadow_card(job: ShadowCard, context: JobContext) -> HandlerResult:
    """Answer a card again with another model, for the prediction log alone.

    Raises JobRefusedError if the card or its report is gone, and as `predict_card` does.
    """
    card, live = _card(job, context)
    digest = context.models.resolve(job.model)
    if digest == live.model:
        return HandlerResult(ShadowReport(model=digest, noted=0, failed=0), None)
    # The prediction log has no contributions, so none are computed.
    answer = answer_card(msgspec.structs.replace(card, model=digest, contributions=False), context)
    page = build_page(card, answer, job.card, "shadow")
    failed = sum(not isinstance(fight, FightReport) for fight in answer.report.fights)
    return HandlerResult(
        ShadowReport(model=digest, noted=0 if page is None else len(page.entries), failed=failed), page
    )


def _card(job: ShadowCard, context: JobContext) -> tuple[PredictCard, CardReport]:
    try:
        card, outcome = context.ledger.job_records.job(job.card), context.ledger.outcome(job.card)
    except UnknownJobError as error:
        raise job_refused(f"there is no card to shadow: {error}") from error
    if not isinstance(card, PredictCard) or outcome is None or not isinstance(outcome.report, CardReport):
        raise job_refused(f"job {job.card} is not a card with an answer: only an answered card can be shadowed")
    return card, outcome.report
