"""Pages of bettors: the list of cards, a card with its fights, and one fight with its history and a replay check."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.response import Response
from msgspec import Struct

from gateway.pages.fight_view import FailedFight, FightView, Side, terms_of, view_fight
from gateway.pages.filters import percent, segment
from gateway.pages.forms import FormData, form_route
from gateway.pages.movement import HEIGHT, AnsweredFight, market_points, movement_of
from gateway.pages.rendering import Live, may, redirect, render
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import PredictCard
from ledger.contracts.replay_report import ReplayReport
from ledger.contracts.reports import CardReport, FightFailure, FightReport
from ledger.jobs.card_answers import CardAnswer, ListedCard
from ledger.ledger import Ledger
from producer.output.failure_text import REMEDIES
from producer.output.replay_tables import replay_text
from producer.replays import replay_job

PAGE: dict[str, Any] = {"opt": {"role": Role.READER}, "sync_to_thread": True, "include_in_schema": False}
PAGE_CARDS = 50
CARD_KINDS = ("predict_card",)
ANSWERS = 50
"""How many answers the page of a fight reads: of a card of 15 fights some 20 ms."""
MAX_ANSWERS = 500
_STARTED = timedelta(hours=12)
"""How long after its start a card is listed among those to come: an evening of fights."""

CardId = Annotated[str, Parameter(min_length=1, max_length=200)]
FightId = Annotated[str, Parameter(min_length=1, max_length=200)]
JobIdQuery = Annotated[str | None, Parameter(max_length=200)]


class CardLine(Struct, frozen=True, kw_only=True):
    """A card in the list: counts of its newest report, and its newest job if that has none."""

    card: ListedCard
    report: CardReport | None
    answered_at: datetime | None
    newest: CardAnswer | None
    predicted: int = 0
    failed: int = 0
    bets: int = 0


@get("/", **PAGE)
def get_cards(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    later: Annotated[int, Parameter(ge=0, le=100_000)] = 0,
    earlier: Annotated[int, Parameter(ge=0, le=100_000)] = 0,
) -> Response[bytes]:
    """Return the page of all cards by date; `later` and `earlier` are how many of each are passed over."""
    place = ledger.latest_place()
    boundary = datetime.fromtimestamp(ledger.server.time(), UTC) - _STARTED
    upcoming = ledger.card_answers.upcoming(boundary, limit=PAGE_CARDS + 1, offset=later)
    past = ledger.card_answers.past(boundary, limit=PAGE_CARDS + 1, offset=earlier)
    return render(
        request,
        "cards.html",
        section="cards",
        live=Live(place=place, kinds=CARD_KINDS),
        upcoming=_by_day(_lines(ledger, upcoming[:PAGE_CARDS])),
        past=_by_day(_lines(ledger, past[:PAGE_CARDS])),
        more_upcoming=_listing(later + PAGE_CARDS, earlier) if len(upcoming) > PAGE_CARDS else None,
        more_past=_listing(later, earlier + PAGE_CARDS) if len(past) > PAGE_CARDS else None,
        first="/" if later or earlier else None,
    )


@get("/cards/{card_id:str}", **PAGE)
def get_card(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], card_id: CardId, answer: JobIdQuery = None
) -> Response[bytes]:
    """Return the page of a card: its newest answer, or the one of the job `answer`."""
    place = ledger.latest_place()
    answers = _answers(ledger, card_id, ANSWERS)
    shown = _shown(answers, answer)
    report = _report(shown)
    job = None if shown is None else _job(ledger, shown.job_id)
    fights = [] if report is None else [view_fight(fight, job) for fight in report.fights]
    return render(
        request,
        "card.html",
        section="cards",
        live=Live(place=place, kinds=CARD_KINDS, card=card_id),
        card_id=card_id,
        event_start=ledger.card_answers.event_start(card_id),
        jobs=ledger.card_answers.count(card_id),
        newest=answers[0],
        shown=shown,
        older=answer is not None and shown is not _shown(answers, None),
        report=report,
        fights=fights,
        moves=_moves(answers, fights),
        changes=ledger.feeds.changes.unlisted(fight.id for fight in fights),
        job=job,
        key=next((fight for fight in fights if isinstance(fight, FightView)), None),
        remedies=REMEDIES,
    )


@get(
    "/cards/{card_id:str}/fights/{fight_id:str}",
    opt={"role": Role.READER},
    sync_to_thread=True,
    include_in_schema=False,
)
def get_fight(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    card_id: CardId,
    fight_id: FightId,
    answer: JobIdQuery = None,
    replay: JobIdQuery = None,
    answers: Annotated[int, Parameter(ge=1, le=MAX_ANSWERS)] = ANSWERS,
) -> Response[bytes]:
    """Return the page of a fight; `replay` is the job of a replay to show."""
    place = ledger.latest_place()
    read = _answers(ledger, card_id, answers)
    total = ledger.card_answers.count(card_id)
    shown = _shown(read, answer)
    fight = _fight(_report(shown), fight_id)
    if shown is None or fight is None:
        raise ProblemError(404, f"the newest answers to card {card_id!r} have no fight {fight_id!r}")
    history = [(each, _history_view(each, fight_id)) for each in read]
    moments = [
        AnsweredFight(at=each.outcome.settled_at, job_id=each.job_id, view=view)
        for each, view in reversed(history)
        if each.outcome is not None and isinstance(view, FightView)
    ]
    job = _job(ledger, shown.job_id)
    address = f"/cards/{segment(card_id)}/fights/{segment(fight_id)}"
    return render(
        request,
        "fight.html",
        section="cards",
        live=Live(place=place, kinds=(*CARD_KINDS, "replay"), card=card_id),
        card_id=card_id,
        address=address,
        event_start=ledger.card_answers.event_start(card_id),
        shown=shown,
        older=answer is not None and shown is not _shown(read, None),
        view=view_fight(fight, job),
        report=_report(shown),
        terms=_terms(fight),
        history=history,
        total=total,
        more=f"{address}?{urlencode({'answers': min(10 * answers, MAX_ANSWERS)})}"
        if total > len(read) and answers < MAX_ANSWERS
        else None,
        movement=movement_of(moments, market_points(ledger.prices.history(fight_id))),
        change=ledger.feeds.changes.unlisted([fight_id]).get(fight_id),
        height=HEIGHT,
        may_replay=may(request.scope.get("user"), Role.PRODUCER),
        replay=None if replay is None else _replay(ledger, replay),
        rules=None if job is None else job.rules,
    )


@post("/cards/{card_id:str}/fights/{fight_id:str}/replay", sync_to_thread=True, **form_route(Role.PRODUCER))
def post_replay(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    card_id: CardId,
    fight_id: FightId,
    data: FormData,
) -> Response[Any]:
    """Submit a job that computes the shown answer again, and lead back to the fight."""
    job_id = data.get("job_id", "")
    if job_id not in {each.job_id for each in _answers(ledger, card_id, MAX_ANSWERS)}:
        raise ProblemError(422, "choose an answer to this card: load the page again")
    job = replay_job(ledger.status(job_id), retrain=False, nonce=uuid.uuid4().hex)
    receipt = ledger.submit(job, caller=request.user.name)
    query = urlencode({"answer": job_id, "replay": receipt.job_id})
    return redirect(f"/cards/{segment(card_id)}/fights/{segment(fight_id)}?{query}#replay")


def _listing(later: int, earlier: int) -> str:
    return f"/?{urlencode({'later': later, 'earlier': earlier})}"


def _lines(ledger: Ledger, cards: Sequence[ListedCard]) -> list[CardLine]:
    return [
        _line(card, answers)
        for card, answers in zip(cards, ledger.card_answers.newest([card.card_id for card in cards]), strict=True)
        if answers
    ]


def _line(card: ListedCard, answers: Sequence[CardAnswer]) -> CardLine:
    answered = next((each for each in answers if each.has_report), None)
    report = _report(answered)
    fights = () if report is None else report.fights
    predicted = [fight for fight in fights if isinstance(fight, FightReport)]
    return CardLine(
        card=card,
        report=report,
        answered_at=None if answered is None or answered.outcome is None else answered.outcome.settled_at,
        newest=answers[0],
        predicted=len(predicted),
        failed=len(fights) - len(predicted),
        bets=sum(fight.decision.action == "bet" for fight in predicted),
    )


def _by_day(lines: Sequence[CardLine]) -> list[tuple[date, list[CardLine]]]:
    return [(day, list(each)) for day, each in groupby(lines, key=lambda line: line.card.event_start.date())]


def _answers(ledger: Ledger, card_id: str, limit: int) -> list[CardAnswer]:
    answers = ledger.card_answers.of_card(card_id, limit=limit)
    if not answers:
        raise ProblemError(
            404, f"there is no job of a card {card_id!r}: none was submitted, or their retention is over"
        )
    return answers


def _shown(answers: Sequence[CardAnswer], job_id: str | None) -> CardAnswer | None:
    """Return the answer of a job, by default the newest with a report; None if there is none.

    Raises ProblemError (404) for a job that is not among the answers.
    """
    if job_id is None:
        return next((each for each in answers if each.has_report), None)
    chosen = next((each for each in answers if each.job_id == job_id), None)
    if chosen is None:
        raise ProblemError(404, f"job {job_id!r} is not among the newest answers to this card")
    return chosen


def _report(answer: CardAnswer | None) -> CardReport | None:
    outcome = None if answer is None else answer.outcome
    return outcome.report if outcome is not None and isinstance(outcome.report, CardReport) else None


def _job(ledger: Ledger, job_id: str) -> PredictCard | None:
    """Return a card as submitted; None if this version cannot read it, so that the answer is shown nevertheless."""
    try:
        job = ledger.job_records.job(job_id)
    except JobRefusedError:
        return None
    return job if isinstance(job, PredictCard) else None


def _fight(report: CardReport | None, fight_id: str) -> FightReport | FightFailure | None:
    return None if report is None else next((fight for fight in report.fights if fight.id == fight_id), None)


def _history_view(answer: CardAnswer, fight_id: str) -> FightView | FailedFight | None:
    fight = _fight(_report(answer), fight_id)
    return None if fight is None else view_fight(fight, None)


def _terms(fight: FightReport | FightFailure) -> list[Any]:
    if isinstance(fight, FightFailure):
        return []
    likelier = max(fight.fighters, key=lambda side: side.probability)
    return [] if likelier.contributions is None else [(likelier, terms_of(likelier.contributions))]


def _moves(answers: Sequence[CardAnswer], fights: Sequence[FightView | FailedFight]) -> dict[str, str]:
    """Return for each fight how its numbers moved since the oldest answer that was read, in words."""
    reports = [(each, report) for each in answers if (report := _report(each)) is not None]
    if len(reports) < 2 or reports[-1][0].outcome is None:
        return {}
    oldest, report = reports[-1]
    before = {fight.id: view_fight(fight, None) for fight in report.fights}
    found = {}
    for fight in fights:
        earlier = before.get(fight.id)
        if isinstance(fight, FightView) and isinstance(earlier, FightView):
            side = fight.sides[0]
            was = next((each for each in earlier.sides if each.name == side.name), None)
            if was is not None and oldest.outcome is not None:
                found[fight.id] = _moved(was, side, oldest.outcome.settled_at, len(reports))
    return found


def _moved(was: Side, now: Side, since: datetime, answers: int) -> str:
    parts = [f"{now.name} {_change(percent(was.probability), percent(now.probability))}"]
    if was.market is not None and now.market is not None:
        parts.append(f"market {_change(percent(was.market), percent(now.market))}")
    if was.best is not None and now.best is not None:
        parts.append(f"best price {_change(f'{was.best.price:.2f}', f'{now.best.price:.2f}')}")
    return f"Since {since:%d %b %H:%M}, {answers} answers: {', '.join(parts)}"


def _change(before: str, after: str) -> str:
    return f"{before} → {after}" if before != after else f"{after} as before"


class ReplayView(Struct, frozen=True, kw_only=True):
    """A replay as the page shows it: its verdict in words, or its state."""

    job_id: str
    state: JobState
    words: str
    agrees: bool | None = None


def _replay(ledger: Ledger, job_id: str) -> ReplayView:
    status = ledger.status(job_id)
    if status.state in (JobState.UNKNOWN, JobState.FORGOTTEN, JobState.ARCHIVED) or status.kind != "replay":
        raise ProblemError(404, f"there is no replay {job_id!r}")
    outcome = ledger.outcome(job_id)
    if outcome is None:
        return ReplayView(job_id=job_id, state=status.state, words="The pool is computing it again.")
    return _verdict(outcome)


def _verdict(outcome: Outcome) -> ReplayView:
    report = outcome.report
    if isinstance(report, ReplayReport):
        return ReplayView(job_id=outcome.job_id, state=outcome.state, words=replay_text(report), agrees=report.agrees)
    failure = outcome.failure
    words = "no report" if failure is None else f"{failure.code}: {failure.message}"
    return ReplayView(job_id=outcome.job_id, state=outcome.state, words=words)


ROUTES = (get_cards, get_card, get_fight, post_replay)
