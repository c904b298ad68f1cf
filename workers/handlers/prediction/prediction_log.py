"""Handler of `PredictCard`: the report of a card, and its page of the prediction log, settled in one step."""

from __future__ import annotations

from datetime import UTC
from typing import Literal

import structlog

from engine.data.fighter_names import fight_key, fighter_name_key
from engine.market.odds import net_price
from ledger.contracts.jobs import Fight, PredictCard
from ledger.contracts.prediction_record import PredictionInterval, PredictionPage, PredictionRecord, PredictionRole
from ledger.contracts.reports import CardReport, FighterAnswer, FightReport
from workers.handlers.prediction.fight_features import first_corner
from workers.handlers.prediction.predict_card import CardAnswer, answer_card
from workers.jobs.context import JobContext
from workers.jobs.registry import HandlerResult
from workers.logs.setup import traceback_locations


def predict_and_log(job: PredictCard, context: JobContext) -> HandlerResult:
    """Answer a card, and build its page of the prediction log. Raises as `predict_card` does."""
    answer = answer_card(job, context)
    return HandlerResult(answer.report, build_page(job, answer, context.claim.job_id, "live"))


def build_page(job: PredictCard, answer: CardAnswer, job_id: str, role: PredictionRole) -> PredictionPage | None:
    """Build the prediction log's page of a card, or log an error and return None: the answer matters more."""
    report = answer.report
    try:
        reported = zip(job.fights, report.fights, strict=True)
        entries = [
            _entry(entry, fight, report, job_id, role, job, answer.feature_bins.get(fight.id, ""))
            for fight, entry in reported
            if isinstance(entry, FightReport)
        ]
        return PredictionPage.from_records(job.event_start, entries)
    except Exception as error:  # noqa: BLE001 - no error of the log may cost the answer
        structlog.get_logger("cornerman").error("a card is not in the prediction log", **traceback_locations(error))
        return None


def _entry(
    fight: FightReport,
    asked: Fight,
    report: CardReport,
    job_id: str,
    role: PredictionRole,
    job: PredictCard,
    bins: str,
) -> tuple[str, PredictionRecord]:
    listed = (fight.fighters[0].name, fight.fighters[1].name)
    swap = fighter_name_key(listed[1]) < fighter_name_key(listed[0])
    first, second = fight.fighters[::-1] if swap else fight.fighters
    fighters = (first.name, second.name)
    entry = PredictionRecord(
        day=job.event_start.astimezone(UTC).date(),
        fighters=fighters,
        model=report.model,
        role=role,
        job_id=job_id,
        probability=first.probability,
        intervals=tuple(PredictionInterval(one.level, one.lower, one.upper) for one in first.intervals),
        market=first.market_probability,
        market_aware=None if first.market_aware is None else first.market_aware.probability,
        red=_red(first_corner(asked), swap),
        action=fight.decision.action,
        reasons=fight.decision.reasons,
        bins=bins,
        state_cutoff=None if report.state is None or asked.features is not None else report.state.cutoff,
        fight_id=fight.id,
        offered=(_offered(first), _offered(second)),
        bet_on=_position(fight.decision.fighter, fighters) if fight.decision.action == "bet" else None,
    )
    return fight_key(listed), entry


def _offered(fighter: FighterAnswer) -> float | None:
    return None if fighter.best is None else net_price(fighter.best.price, fighter.best.commission)


def _red(corner: str, swap: bool) -> Literal[0, 1] | None:
    if corner == "unknown":
        return None
    return 1 if (corner == "red") == swap else 0


def _position(name: str | None, fighters: tuple[str, str]) -> Literal[0, 1] | None:
    return None if name is None else 0 if name == fighters[0] else 1
