"""The report of a review of bets: return, closing-line value and drawdown, and what abstaining has cost or saved.

Amounts are integers of the smallest unit of the currency. Intervals are 95% and by event, which is the day (UTC) on
which the bets' cards begin; their ends are absent with fewer than ten events, and for returns also with fewer than five
wins or losses.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.jobs import DecisionRules, current_schema_version

MAX_REVIEWED_DAYS = 1_000
MAX_REVIEWED_RULES = 64
MAX_REVIEWED_GROUPS = 100


class ClosingFigures(Struct, frozen=True, kw_only=True):
    """Prices of bets compared with the closing consensus, for the bets whose fights have one.

    Attributes
    ----------
    bets
        Bets with a close.
    edge
        Mean of price times closing probability, minus 1: the expected return if the close is right.
    log_ratio
        Mean of the logarithm of price times closing probability.
    beaten
        Share of the bets whose price was above the fair closing price.
    """

    bets: int
    edge: Estimate
    log_ratio: Estimate
    beaten: Estimate


class BetFigures(Struct, frozen=True, kw_only=True):
    """Figures of bets that won or lost.

    Attributes
    ----------
    staked, profit
        Sums.
    return_on_stake
        Profit divided by stakes; None without bets.
    closing
        None if no bet has a close.
    """

    bets: int
    events: int
    won: int
    staked: int
    profit: int
    return_on_stake: Estimate | None = None
    closing: ClosingFigures | None = None


class BetGroup(Struct, frozen=True, kw_only=True):
    """Figures of the bets of one bookmaker, or of one band of the backed fighter's probability."""

    name: str
    figures: BetFigures


class DrawdownFigures(Struct, frozen=True, kw_only=True):
    """The largest fall of the bankroll from a peak, in the order of settling, and the longest run of lost bets.

    `share` is the fall as a share of the bankroll at that peak; None if the bankroll was not above 0.
    """

    amount: int
    share: float | None
    longest_losing_run: int


class RuleReview(Struct, frozen=True, kw_only=True):
    """Figures of the bets that were decided by one set of rules.

    Attributes
    ----------
    digest
        SHA-256 of the rules' JSON, which names them.
    simultaneous
        The return with an interval at the level at which the intervals of all rules that were tried hold together.
    p_value
        One-sided p-value of the hypothesis that the expected return is not above 0, adjusted for all rules that were
        tried (Holm); None if there is too little data.
    """

    digest: str
    rules: DecisionRules
    figures: BetFigures
    drawdown: DrawdownFigures
    simultaneous: Estimate | None = None
    p_value: float | None = None


class AbstentionReview(Struct, frozen=True, kw_only=True):
    """What one unit on the best side of each fight would have made, of the fights that were abstained from.

    Attributes
    ----------
    reason
        One of the reasons of the decision; a fight counts under each of its reasons, and under `all`.
    profit
        Sum in units: above 0 it was forgone, below 0 it was saved.
    per_fight
        Mean in units.
    """

    reason: str
    fights: int
    profit: float
    per_fight: Estimate


class ReviewedDay(Struct, frozen=True, kw_only=True):
    """Bets of one event, or of one month if there are many events (`day` is then its first).

    `profit` is what they made, `expected` what they would have made on average if the close is right; bets without a
    close add nothing to it.
    """

    day: date
    bets: int
    staked: int
    profit: int
    expected: float


class BetsReport(Struct, frozen=True, kw_only=True, tag_field="kind", tag="bets_report"):
    """The report of a `ReviewBets`: bets of a mode on cards that begin at or after `since` and before `until`.

    Attributes
    ----------
    start
        The bankroll before the first of these bets.
    open, void
        Bets without a result, and bets that do not count.
    rules_tried
        Number of rules that were tried: those with bets in the range, or what the job states if that is more.
    rule
        Only bets by rules whose digest begins so were reviewed; absent if those by all rules were.
    unpriced, waiting
        Fights that were abstained from without a price, and those without a result; they are in no figure.
    """

    schema_version: int = field(default_factory=current_schema_version)
    mode: Literal["paper", "live"]
    since: datetime | None
    until: datetime | None
    start: int
    open: int
    void: int
    total: BetFigures
    drawdown: DrawdownFigures
    rules_tried: int
    rules: Annotated[tuple[RuleReview, ...], Meta(max_length=MAX_REVIEWED_RULES)] = ()
    bookmakers: Annotated[tuple[BetGroup, ...], Meta(max_length=MAX_REVIEWED_GROUPS)] = ()
    bands: Annotated[tuple[BetGroup, ...], Meta(max_length=MAX_REVIEWED_GROUPS)] = ()
    abstentions: Annotated[tuple[AbstentionReview, ...], Meta(max_length=MAX_REVIEWED_GROUPS)] = ()
    unpriced: int = 0
    waiting: int = 0
    days: Annotated[tuple[ReviewedDay, ...], Meta(max_length=MAX_REVIEWED_DAYS)] = ()
    rule: str | UnsetType = UNSET


def rules_digest(rules: DecisionRules) -> str:
    """Return the SHA-256 of the JSON of rules with all of their values."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.asdict(rules), order="sorted")).hexdigest()
