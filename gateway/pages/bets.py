"""The pages of bets: what is open and at stake, what has ended, the account, and the latest review."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Response
from markupsafe import Markup
from msgspec import Struct
from rich.table import Table

from gateway.pages.filters import percent, time_element
from gateway.pages.forms import FormData, form_route
from gateway.pages.rendering import Live, redirect, render
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.bets.bet_register import StoredBet
from ledger.contracts.bets import BetMode, Exposure
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ReviewBets
from ledger.jobs.job_index import JobQuery, JobSummary
from ledger.jobs.outcome_records import UnreadableOutcomeError
from ledger.ledger import Ledger
from producer.output.bet_review.charts import line_chart
from producer.output.bet_review.review_tables import range_text, review_tables_by_subject

PAGE: dict[str, Any] = {"opt": {"role": Role.READER}, "sync_to_thread": True, "include_in_schema": False}
SHOWN_BETS = 100
"""How many bets that have ended are shown, and how many rows of exposure."""
REFRESH_SECONDS = 30
_REVIEWS_READ = 20


class ExposureLine(Struct, frozen=True, kw_only=True):
    """Open stakes under one cap; `share` of the cap is None without one."""

    what: str
    name: str
    amount: int
    cap: int | None
    share: float | None

    @property
    def words(self) -> str:
        """The bar in words."""
        return "no cap" if self.share is None else f"{percent(self.share, 0)} of the cap of {self.cap:,}"


class LatestReview(Struct, frozen=True, kw_only=True):
    """The newest review of a mode that has a report, and its job."""

    job: JobSummary
    report: BetsReport


@get("/bets", **PAGE)
def get_bets(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], mode: FromQuery[BetMode | None] = None
) -> Response[bytes]:
    """Return the page of the bets of a mode, by default of the present one."""
    place = ledger.latest_place()
    account = ledger.bets.account(mode)
    open_bets = ledger.bets.open_bets(account.mode)
    ended = [bet for bet in ledger.bets.newest(SHOWN_BETS + len(open_bets), mode=account.mode) if bet.state != "open"]
    exposure = ledger.bets.exposure(account.mode)
    return render(
        request,
        "bets.html",
        section="bets",
        live=Live(place=place, kinds=("review_bets", "settle_bets"), seconds=REFRESH_SECONDS),
        account=account,
        modes=("paper", "live"),
        open_rows=[_open_row(StoredBet(bet=bet, state="open")) for bet in open_bets],
        ended_rows=[_ended_row(bet) for bet in ended[:SHOWN_BETS]],
        exposure=exposure,
        exposure_lines=exposure_lines(exposure)[:SHOWN_BETS],
        review=latest_review(ledger, account.mode),
    )


@get("/bets/review", **PAGE)
def get_review(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], mode: FromQuery[BetMode | None] = None
) -> Response[bytes]:
    """Return the page of the latest review of a mode."""
    chosen = ledger.bets.account(mode).mode
    place = ledger.latest_place()
    review = latest_review(ledger, chosen)
    tables = () if review is None else review_tables_by_subject(review.report)
    return render(
        request,
        "bet_review.html",
        section="bets",
        live=Live(place=place, kinds=("review_bets",)),
        mode=chosen,
        review=review,
        range_text=None if review is None else range_text(review.report),
        tables=[page_table(table) for found in tables for table in ([found] if isinstance(found, Table) else found)],
        charts=[] if review is None else [*_charts(review.report)],
    )


@post("/bets/review", sync_to_thread=True, **form_route(Role.PRODUCER))
def post_review(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], data: FormData) -> Response[Any]:
    """Submit a review of a mode, and lead to its page."""
    modes: Mapping[str, BetMode] = {"paper": "paper", "live": "live"}
    mode = modes.get(data.get("mode", ""))
    if mode is None:
        raise ProblemError(422, "choose paper or live: load the page again")
    ledger.submit(ReviewBets(mode=mode, nonce=uuid.uuid4().hex), caller=request.user.name)
    return redirect(f"/bets/review?mode={mode}")


def latest_review(ledger: Ledger, mode: BetMode) -> LatestReview | None:
    """Return the newest review of a mode among the last ones that are held; None if there is none."""
    query = JobQuery(kinds=("review_bets",), states=(JobState.SUCCEEDED,))
    for job in ledger.job_index.page(query, limit=_REVIEWS_READ).jobs:
        try:
            outcome = ledger.outcome(job.job_id)
        except UnreadableOutcomeError:
            continue
        if outcome is not None and isinstance(outcome.report, BetsReport) and outcome.report.mode == mode:
            return LatestReview(job=job, report=outcome.report)
    return None


def exposure_lines(exposure: Exposure) -> list[ExposureLine]:
    """Return the open stakes under each cap, all together first, then those that fill the most of theirs."""
    groups = (
        ("fight", "fight", exposure.fights),
        ("card", "card", exposure.cards),
        ("bookmaker", "bookmaker", exposure.bookmakers),
        ("week", "week", exposure.weeks),
    )
    lines = [
        _line(what, name, amount, exposure.caps.get(cap))  # type: ignore[call-overload]
        for what, cap, stakes in groups
        for name, amount in stakes.items()
    ]
    lines.sort(key=lambda line: (-(line.share or 0.0), -line.amount, line.what, line.name))
    return [_line("all bets", "", exposure.total, exposure.caps.get("bankroll")), *lines]


def page_table(table: Table) -> tuple[str, Sequence[tuple[str, str]], Sequence[Sequence[str]]]:
    """Return the caption, the columns and the rows of a table of the terminal, for the macro `table`."""
    columns = [(str(column.header), "" if column.justify == "left" else "number") for column in table.columns]
    rows = [[str(cell) for cell in row] for row in zip(*(column.cells for column in table.columns), strict=True)]
    caption = f"{table.title}; {table.caption}" if table.caption else str(table.title)
    return caption, columns, rows


def _line(what: str, name: str, amount: int, cap: int | None) -> ExposureLine:
    return ExposureLine(what=what, name=name, amount=amount, cap=cap, share=amount / cap if cap else None)


def _charts(report: BetsReport) -> Iterator[tuple[str, Markup]]:
    """Yield the curves with their descriptions; none with fewer than two days."""
    if len(report.days) < 2:
        return
    days = [day.day for day in report.days]
    bankroll = [*accumulate((day.profit for day in report.days), initial=report.start)][1:]
    expected = [*accumulate(day.expected for day in report.days)]
    for title, values, start in (
        ("Bankroll after each event", bankroll, report.start),
        ("Closing-line value, in money: the profit to expect if the close is right", expected, 0),
    ):
        words = f"{title}: from {start:,} before {days[0]} to {values[-1]:,.0f} on {days[-1]}"
        drawing = line_chart([*zip(days, values, strict=True)], words, start)
        yield words, Markup(drawing)  # noqa: S704 - numbers and days, and a label that it has escaped


def _open_row(stored: StoredBet) -> Sequence[str | Markup]:
    bet = stored.bet
    return (
        bet.fighter,
        " v ".join(bet.fighters),
        time_element(bet.event_start, "%Y-%m-%d %H:%M UTC"),
        bet.bookmaker,
        f"{bet.price:g}",
        f"{bet.stake:,}",
        percent(bet.probability),
        bet.who,
    )


def _ended_row(stored: StoredBet) -> Sequence[str | Markup]:
    bet = stored.bet
    kind = {"won": "good", "lost": "bad"}.get(stored.state, "")
    profit = (stored.returned or 0) - bet.stake
    return (
        bet.fighter,
        " v ".join(bet.fighters),
        time_element(bet.event_start, "%Y-%m-%d"),
        bet.bookmaker,
        f"{bet.price:g}",
        f"{bet.stake:,}",
        Markup('<span class="badge {}">{}</span>').format(kind, stored.state),
        f"{profit:+,}",
    )


ROUTES = (get_bets, get_review, post_review)
