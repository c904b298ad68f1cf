"""Handler of `ReviewBets`: return, closing-line value and drawdown of settled bets, and what abstaining has cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from engine.market.closing_line import closing_line_value
from engine.market.odds import net_price
from engine.statistics.bet_returns import ReturnOnStake, drawdown, holm, return_on_stake
from engine.statistics.scores import clustered_mean, clustered_share
from ledger.contracts.bets import BetMode, BetPlaced, BetSettled, BetVoided, PlacedBet
from ledger.contracts.codec import job_refused
from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.bets_report import (
    MAX_REVIEWED_DAYS,
    MAX_REVIEWED_GROUPS,
    MAX_REVIEWED_RULES,
    BetFigures,
    BetGroup,
    BetsReport,
    ClosingFigures,
    DrawdownFigures,
    ReviewedDay,
    RuleReview,
    rules_digest,
)
from ledger.contracts.jobs import ReviewBets
from workers.handlers.monitoring.abstentions import review_abstentions
from workers.handlers.monitoring.closing_prices import closing_probabilities
from workers.jobs.context import JobContext

BANDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
"""Edges of the bands of the backed fighter's probability."""
_ENTRIES_AT_ONCE = 5_000


@dataclass(frozen=True, eq=False)
class SettledBet:
    """A bet that won or lost, with its profit and the closing probability of its fighter, None without a close."""

    bet: PlacedBet
    profit: int
    close: float | None

    @property
    def event(self) -> date:
        """Day on which the card begins, in UTC."""
        return self.bet.event_start.astimezone(UTC).date()

    @property
    def price(self) -> float:
        """Decimal price, net of commission."""
        return net_price(self.bet.price, self.bet.commission)


@dataclass
class ReviewedBets:
    """Bets of a mode and a range, settled ones in the order of settling.

    `fights` have a bet of the mode; `earlier` is the profit of the bets before the range.
    """

    settled: list[tuple[PlacedBet, int]]
    fights: set[str]
    open: int
    void: int
    earlier: int


def review_bets(job: ReviewBets, context: JobContext) -> BetsReport:
    """Review the bets of a mode."""
    ledger = context.ledger
    account = ledger.bets.account(job.mode)
    found = _read_bets(job, account.mode, context)
    closes = closing_probabilities([bet for bet, _ in found.settled], context)
    settled = [SettledBet(bet, profit, closes.get(bet.id)) for bet, profit in found.settled]
    by_rule: dict[str, list[SettledBet]] = defaultdict(list)
    for one in settled:
        by_rule[rules_digest(one.bet.rules)].append(one)
    tried = max(len(by_rule), job.rules_tried)
    if job.rule is not None:
        settled = [one for digest, bets in by_rule.items() if digest.startswith(job.rule) for one in bets]
        by_rule = {digest: bets for digest, bets in by_rule.items() if digest.startswith(job.rule)}
        if not by_rule:
            raise job_refused(f"no settled bet was decided by rules whose digest begins with {job.rule}", rule=job.rule)
    start = account.start + found.earlier
    abstained = review_abstentions(job, found.fights, context)
    return BetsReport(
        mode=account.mode,
        since=job.since,
        until=job.until,
        start=start,
        open=found.open,
        void=found.void,
        total=_figures(settled)[0],
        drawdown=_drawdown(settled, start),
        rules_tried=tried,
        rules=_rules(by_rule, tried, start),
        bookmakers=_groups(_by_bookmaker(settled)),
        bands=_groups(_by_band(settled)),
        abstentions=abstained.by_reason,
        unpriced=abstained.unpriced,
        waiting=abstained.waiting,
        days=_days(settled),
        rule=UNSET if job.rule is None else job.rule,
    )


def in_range(moment: datetime, job: ReviewBets) -> bool:
    """Return True if a card that begins at this time is reviewed."""
    return (job.since is None or moment >= job.since) and (job.until is None or moment < job.until)


def _read_bets(job: ReviewBets, mode: BetMode, context: JobContext) -> ReviewedBets:
    """Read the register: of a bet that was settled again, the last settlement counts, in the place of the first."""
    placed: dict[str, PlacedBet] = {}
    profits: dict[str, int] = {}  # by bet, in the order of the first settlement
    void: set[str] = set()
    earlier = 0
    place = "0"
    while entries := context.ledger.bets.entries(place, _ENTRIES_AT_ONCE):
        for entry in entries:
            if isinstance(entry, BetPlaced):
                if entry.bet.mode == mode:
                    placed[entry.bet.id] = entry.bet
                continue
            bet = placed.get(entry.bet_id)
            if bet is None:
                continue
            if isinstance(entry, BetSettled) and job.since is not None and bet.event_start < job.since:
                earlier += entry.profit - entry.profit_before
            if isinstance(entry, BetVoided) or entry.result == "void":
                void.add(entry.bet_id)
                profits.pop(entry.bet_id, None)
            else:
                void.discard(entry.bet_id)
                profits[entry.bet_id] = entry.profit
        place = entries[-1].place
    chosen = {bet_id: bet for bet_id, bet in placed.items() if in_range(bet.event_start, job)}
    return ReviewedBets(
        settled=[(chosen[bet_id], profit) for bet_id, profit in profits.items() if bet_id in chosen],
        fights={bet.fight_id for bet in placed.values()},
        open=len(chosen.keys() - profits.keys() - void),
        void=len(chosen.keys() & void),
        earlier=earlier,
    )


def _figures(bets: Sequence[SettledBet], tried: int = 1) -> tuple[BetFigures, ReturnOnStake | None]:
    """Return the figures of bets, and the return with what allows for several rules."""
    event = np.array([str(one.event) for one in bets], dtype=np.str_)
    profit = np.array([one.profit for one in bets], dtype=np.float64)
    stake = np.array([one.bet.stake for one in bets], dtype=np.float64)
    result = return_on_stake(profit, stake, event, tried) if bets else None
    return BetFigures(
        bets=len(bets),
        events=len(np.unique(event)),
        won=sum(one.profit > 0 for one in bets),
        staked=sum(one.bet.stake for one in bets),
        profit=sum(one.profit for one in bets),
        return_on_stake=None if result is None else _estimate(result.estimate),
        closing=_closing(bets, event),
    ), result


def _closing(bets: Sequence[SettledBet], event: NDArray[np.str_]) -> ClosingFigures | None:
    known = np.array([one.close is not None for one in bets], dtype=np.bool_)
    if not known.any():
        return None
    prices = [one.price for one in bets if one.close is not None]
    value = closing_line_value(prices, [one.close for one in bets if one.close is not None])
    return ClosingFigures(
        bets=len(prices),
        edge=_estimate(clustered_mean(value.edge, event[known])),
        log_ratio=_estimate(clustered_mean(value.log_ratio, event[known])),
        beaten=_estimate(clustered_share(value.edge > 0.0, event[known])),
    )


def _estimate(found: object) -> Estimate:
    return msgspec.convert(found, Estimate, from_attributes=True)


def _drawdown(bets: Sequence[SettledBet], start: int) -> DrawdownFigures:
    fall = drawdown(one.profit for one in bets)
    peak = start + fall.peak
    return DrawdownFigures(
        amount=fall.amount,
        share=fall.amount / peak if peak > 0 else None,
        longest_losing_run=fall.longest_losing_run,
    )


def _rules(by_rule: Mapping[str, Sequence[SettledBet]], tried: int, start: int) -> tuple[RuleReview, ...]:
    """Return the rules with the most bets, with p-values that are adjusted for all of them."""
    ranked = sorted(by_rule.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    found = [(digest, bets, *_figures(bets, tried)) for digest, bets in ranked]
    adjusted = holm([None if result is None else result.p_value for *_, result in found], tried)
    return tuple(
        RuleReview(
            digest=digest,
            rules=bets[0].bet.rules,
            figures=figures,
            drawdown=_drawdown(bets, start),
            simultaneous=None if result is None else _estimate(result.simultaneous),
            p_value=p_value,
        )
        for (digest, bets, figures, result), p_value in zip(found, adjusted, strict=True)
    )[:MAX_REVIEWED_RULES]


def _groups(groups: Mapping[str, Sequence[SettledBet]]) -> tuple[BetGroup, ...]:
    return tuple(BetGroup(name=name, figures=_figures(bets)[0]) for name, bets in groups.items())[:MAX_REVIEWED_GROUPS]


def _by_bookmaker(bets: Sequence[SettledBet]) -> dict[str, list[SettledBet]]:
    """Group bets by bookmaker, the one with the most bets first."""
    groups: dict[str, list[SettledBet]] = defaultdict(list)
    for one in bets:
        groups[one.bet.bookmaker].append(one)
    return dict(sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])))


def _by_band(bets: Sequence[SettledBet]) -> dict[str, list[SettledBet]]:
    """Group bets by the backed fighter's probability; bets without one are in no band."""
    groups: dict[int, list[SettledBet]] = defaultdict(list)
    for one in bets:
        if one.bet.probability is not None:
            groups[int(np.searchsorted(BANDS[1:-1], one.bet.probability, side="right"))].append(one)
    return {f"{BANDS[band]:.0%} to {BANDS[band + 1]:.0%}": groups[band] for band in sorted(groups)}


def _days(bets: Sequence[SettledBet]) -> tuple[ReviewedDay, ...]:
    """Return the bets by event, or by month or year if there are too many."""
    periods = (
        {one: one.event for one in bets},
        {one: one.event.replace(day=1) for one in bets},
        {one: one.event.replace(month=1, day=1) for one in bets},
    )
    chosen = next(period for period in periods if len({*period.values()}) <= MAX_REVIEWED_DAYS)
    groups: dict[date, list[SettledBet]] = defaultdict(list)
    for one, day in chosen.items():
        groups[day].append(one)
    return tuple(_reviewed_days(groups))


def _reviewed_days(groups: Mapping[date, Sequence[SettledBet]]) -> Iterator[ReviewedDay]:
    for day, bets in sorted(groups.items()):
        yield ReviewedDay(
            day=day,
            bets=len(bets),
            staked=sum(one.bet.stake for one in bets),
            profit=sum(one.profit for one in bets),
            expected=float(sum(one.bet.stake * (one.price * one.close - 1.0) for one in bets if one.close is not None)),
        )
