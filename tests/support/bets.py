"""A review of bets as tests of the pages show it."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.bets_report import (
    AbstentionReview,
    BetFigures,
    BetGroup,
    BetsReport,
    ClosingFigures,
    DrawdownFigures,
    ReviewedDay,
    RuleReview,
    rules_digest,
)
from ledger.contracts.jobs import DecisionRules, ReviewBets
from ledger.ledger import Ledger

FIGURES = BetFigures(
    bets=40,
    events=12,
    won=21,
    staked=40_000,
    profit=2000,
    return_on_stake=Estimate(value=0.05, lower=-0.1, upper=0.21),
    closing=ClosingFigures(
        bets=38,
        edge=Estimate(value=0.02, lower=0.01, upper=0.03),
        log_ratio=Estimate(value=0.019, lower=0.009, upper=0.029),
        beaten=Estimate(value=0.7, lower=0.55, upper=0.85),
    ),
)
BETS_REPORT = BetsReport(
    mode="paper",
    since=None,
    until=None,
    start=1_000_000,
    open=2,
    void=1,
    total=FIGURES,
    drawdown=DrawdownFigures(amount=4200, share=0.0042, longest_losing_run=4),
    rules_tried=3,
    rules=(
        RuleReview(
            digest=rules_digest(DecisionRules()),
            rules=DecisionRules(),
            figures=FIGURES,
            drawdown=DrawdownFigures(amount=4200, share=None, longest_losing_run=4),
            simultaneous=Estimate(value=0.05, lower=-0.2, upper=0.31),
            p_value=0.75,
        ),
    ),
    bookmakers=(BetGroup(name="North", figures=FIGURES),),
    bands=(BetGroup(name="50% to 60%", figures=FIGURES),),
    abstentions=(
        AbstentionReview(
            reason="too_uncertain", fights=30, profit=-2.5, per_fight=Estimate(value=-0.083, lower=None, upper=None)
        ),
    ),
    days=tuple(
        ReviewedDay(day=date(2026, 1, 3) + timedelta(days=7 * week), bets=4, staked=4000, profit=profit, expected=80.0)
        for week, profit in enumerate((900, -400, 1500))
    ),
)


def settled_review(ledger: Ledger, report: BetsReport) -> str:
    """Submit a review and settle it with a report, and return its job; no pool for it may run."""
    job_id = ledger.submit(ReviewBets(mode=report.mode, nonce=uuid.uuid4().hex)).job_id
    (claim,) = ledger.claim("monitor", "tests#1/1")
    assert ledger.settle(claim, report)
    return job_id
