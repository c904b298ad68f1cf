"""Answering a card and noting what was said: the journal's page is settled in one step with the report."""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache
from typing import Literal

import structlog

from engine.data.fighter_names import split_name
from ledger.contracts.jobs import PredictCard
from ledger.contracts.prediction_record import Band, JournalEntry, Page, Role
from ledger.contracts.reports import FightReport
from workers.handlers.prediction.model_answers import first_corner
from workers.handlers.prediction.predict_card import Answer, answer
from workers.jobs.context import JobContext
from workers.jobs.registry import Noted
from workers.logs.setup import where_raised


def answer_card(job: PredictCard, context: JobContext) -> Noted:
    """Answer a card. Raises what `predict_card` raises."""
    said = answer(job, context)
    return Noted(said.report, page_of(job, said, context.claim.job_id, "live"))


def page_of(job: PredictCard, said: Answer, job_id: str, role: Role) -> Page | None:
    """Return the page of a card; None, with a line in the log, where it cannot be made.

    Whatever is wrong with the journal, the answer is worth more.
    """
    report = said.report
    try:
        answered = zip(job.fights, report.fights, strict=True)
        corners = {fight.id: first_corner(fight) for fight, said in answered if isinstance(said, FightReport)}
        entries = [
            _entry(fight, corners[fight.id], report.model, job_id, role, job, said.bins.get(fight.id, ""))
            for fight in report.fights
            if isinstance(fight, FightReport)
        ]
        return Page.of(job.event_start, entries)
    except Exception as error:  # noqa: BLE001 - see above
        structlog.get_logger("cornerman").error("a card is not in the journal", **where_raised(error))
        return None


def fight_name(fighters: tuple[str, str]) -> str:
    """Return the name of a fight, the same for either order and every spelling that differs by letters' dress alone."""
    return " v ".join(sorted(map(person, fighters)))


@lru_cache(maxsize=8192)
def person(name: str) -> str:
    """Return a fighter's name without case, accents, punctuation and spaces; with the suffix that tells a son."""
    words, suffix = split_name(name)
    return "".join(words) + (f" {suffix}" if suffix else "")


def _entry(
    fight: FightReport, corner: str, model: str, job_id: str, role: Role, job: PredictCard, bins: str
) -> tuple[str, JournalEntry]:
    listed = (fight.fighters[0].name, fight.fighters[1].name)
    swap = person(listed[1]) < person(listed[0])
    first = fight.fighters[1 if swap else 0]
    fighters = (listed[1], listed[0]) if swap else listed
    entry = JournalEntry(
        day=job.event_start.astimezone(UTC).date(),
        fighters=fighters,
        model=model,
        role=role,
        job_id=job_id,
        probability=first.probability,
        intervals=tuple(Band(one.level, one.lower, one.upper) for one in first.intervals),
        market=first.market_probability,
        market_aware=None if first.market_aware is None else first.market_aware.probability,
        red=_red(corner, swap),
        action=fight.decision.action,
        reasons=fight.decision.reasons,
        bins=bins,
        bet_on=_position(fight.decision.fighter, fighters) if fight.decision.action == "bet" else None,
    )
    return fight_name(listed), entry


def _red(corner: str, swap: bool) -> Literal[0, 1] | None:
    if corner == "unknown":
        return None
    return 1 if (corner == "red") == swap else 0


def _position(name: str | None, fighters: tuple[str, str]) -> Literal[0, 1] | None:
    return None if name is None else 0 if name == fighters[0] else 1
