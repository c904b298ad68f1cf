"""From a `ShadowCard` to entries of the journal: what the challenger would have answered bet placers."""

from __future__ import annotations

import msgspec

from ledger.contracts.codec import refuse
from ledger.contracts.failures import UnknownJob
from ledger.contracts.jobs import PredictCard, ShadowCard
from ledger.contracts.reports import CardReport, FightReport, ShadowReport
from workers.handlers.prediction.predict_card import answer
from workers.handlers.prediction.prediction_log import page_of
from workers.jobs.context import JobContext
from workers.jobs.registry import Noted


def answer_shadow(job: ShadowCard, context: JobContext) -> Noted:
    """Answer a card as the live model was asked to. Raises JobRefused where it is gone, and as `predict_card`."""
    card, live = _card(job, context)
    digest = context.models.resolve(job.model)
    if digest == live.model:
        return Noted(ShadowReport(model=digest, noted=0, failed=0), None)
    said = answer(msgspec.structs.replace(card, model=digest), context)
    report, page = said.report, page_of(card, said, job.card, "shadow")
    failed = sum(not isinstance(fight, FightReport) for fight in report.fights)
    return Noted(ShadowReport(model=digest, noted=0 if page is None else len(page.entries), failed=failed), page)


def _card(job: ShadowCard, context: JobContext) -> tuple[PredictCard, CardReport]:
    try:
        card, outcome = context.ledger.job(job.card), context.ledger.outcome(job.card)
    except UnknownJob as error:
        raise refuse(f"there is no card to shadow: {error}") from error
    if not isinstance(card, PredictCard) or outcome is None or not isinstance(outcome.report, CardReport):
        raise refuse(f"job {job.card} is no answered card: only what bet placers were answered has a shadow")
    return card, outcome.report
