"""The page of what was predicted and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.response import Response
from markupsafe import Markup

from gateway.pages.filters import percent
from gateway.pages.rendering import render
from gateway.pages.track_record import (
    MIN_FIGHTS,
    IntervalRow,
    PredictedFight,
    ReliabilityRow,
    Scores,
    TrackRecord,
    track_record,
)
from gateway.security.caller import Caller, Role
from ledger.ledger import Ledger

PAGE_FIGHTS = 100


@get("/record", opt={"role": Role.READER}, sync_to_thread=True, include_in_schema=False)
def get_record(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    offset: Annotated[int, Parameter(ge=0, le=10_000_000)] = 0,
) -> Response[bytes]:
    """Return the page of the track record; `offset` is how many of the newest fights are passed over."""
    record = track_record(ledger.prediction_log.entries(), ledger.fight_results.all())
    shown = record.fights[offset : offset + PAGE_FIGHTS]
    return render(
        request,
        "record.html",
        section="record",
        record=record,
        min_fights=MIN_FIGHTS,
        alarms=ledger.drift_alarms.active(),
        reliability_rows=[_reliability(row) for row in record.reliability],
        interval_rows=[_interval(row) for row in record.intervals],
        score_rows=_score_rows(record),
        fight_rows=[_fight(fight) for fight in shown],
        first="/record" if offset else None,
        next=f"/record?offset={offset + PAGE_FIGHTS}" if len(record.fights) > offset + PAGE_FIGHTS else None,
    )


def _reliability(row: ReliabilityRow) -> Sequence[str]:
    won = f"{percent(row.won, 0)} ({percent(row.lower, 0)} to {percent(row.upper, 0)})"
    span = f"{percent(row.from_probability, 0)} to {percent(row.to_probability, 0)}"
    return span, f"{row.fights:,}", percent(row.forecast), won


def _interval(row: IntervalRow) -> Sequence[str]:
    return percent(row.level, 0), f"{row.fights:,}", percent(row.lower), percent(row.won), percent(row.upper)


def _score_rows(record: TrackRecord) -> list[Sequence[str]]:
    rows = [("ours, all fights", record.ours), ("ours, fights with a market", record.priced), ("market", record.market)]
    return [_score(name, scores) for name, scores in rows if scores is not None]


def _score(name: str, scores: Scores) -> Sequence[str]:
    return name, f"{scores.fights:,}", f"{scores.log_loss:.4f}", f"{scores.brier:.4f}"


def _fight(fight: PredictedFight) -> Sequence[str | Markup]:
    record = fight.record
    market = record.market if record.market is None or fight.favourite == 0 else 1 - record.market
    bet = "no bet" if record.bet_on is None else f"bet on {record.fighters[record.bet_on]}"
    return (
        " v ".join(record.fighters),
        Markup('<time datetime="{0}">{0}</time>').format(record.day),
        record.fighters[fight.favourite],
        percent(fight.favourite_probability),
        percent(market),
        bet,
        _result(fight),
    )


def _result(fight: PredictedFight) -> Markup:
    if fight.won is not None:
        right = fight.won == fight.favourite
        return Markup('{} won <span class="badge {}">{}</span>').format(
            fight.record.fighters[fight.won], "good" if right else "warn", "likelier" if right else "unlikelier"
        )
    words = {"draw": "draw", "no_contest": "no contest", "contradicted": "results contradict each other"}
    return Markup('<span class="soft">{}</span>').format(words.get(fight.ending, "no result yet"))


ROUTES = (get_record,)
