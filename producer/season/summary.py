"""The summary of a played season, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from ledger.contracts.bets import BetAccount
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_state import Outcome
from ledger.contracts.reports import CardReport
from ledger.ledger import Ledger
from producer.season.calibration import Calibration
from producer.season.count import Count
from producer.season.season_run import SeasonOutcome


class SeasonSummary(Struct, frozen=True, kw_only=True):
    """What happened in a season, and what is there at its end.

    Attributes
    ----------
    cards, bouts, incidents
        Its size, and how many bouts each incident happened to.
    seconds
        How long it was played.
    requests, failed_requests
        Requests to the provider, and those among them that it refused or broke.
    answers, superseded
        Answered cards, and those among them that a newer answer replaced.
    killed, restarts
        How often each kind of process was killed, and how often runners and followers were started again.
    account
        The account of the bets.
    closing_edge
        Mean of price times closing probability, minus 1, by the last review; None without a bet that has a close.
    judgement
        What the judgement of the challenger says; None if there is none.
    calibration, counts
        See `producer.season.calibration` and `count`.
    missing
        What was waited for at the end and did not come.
    """

    cards: int
    bouts: int
    incidents: dict[str, int]
    seconds: float
    requests: int
    failed_requests: int
    answers: int
    superseded: int
    killed: dict[str, int]
    restarts: int
    account: BetAccount
    closing_edge: float | None
    judgement: str | None
    calibration: Calibration
    counts: dict[str, Count]
    missing: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """True if nothing is lost, doubled, wrong or missing."""
        return not self.missing and all(count.right for count in self.counts.values())


def summarise(outcome: SeasonOutcome, ledger: Ledger) -> SeasonSummary:
    """Return the summary of a season that is over."""
    evidence = outcome.evidence
    season, document = evidence.season, evidence.season.document
    answers = [each for each in evidence.outcomes if isinstance(each.report, CardReport)]
    requests = evidence.requests
    return SeasonSummary(
        cards=document["cards"],
        bouts=len(document["bouts"]),
        incidents=dict(Counter(name for bout in document["bouts"] for name in bout["incidents"])),
        seconds=season.ends - season.begins,
        requests=len(requests),
        failed_requests=sum(not request.sha256 for request in requests),
        answers=len(answers),
        superseded=sum(each.superseded_by is not None for each in answers),
        killed=dict(Counter(kill.value for _, kill in outcome.killed)),
        restarts=outcome.restarts,
        account=ledger.bets.account(),
        closing_edge=_closing_edge(evidence.outcomes),
        judgement=_judgement(evidence.outcomes),
        calibration=evidence.calibration(),
        counts=evidence.counts(),
        missing=tuple(outcome.missing),
    )


def _closing_edge(outcomes: Sequence[Outcome]) -> float | None:
    reviews = [each.report for each in outcomes if isinstance(each.report, BetsReport)]
    closing = reviews[-1].total.closing if reviews else None
    return None if closing is None else closing.edge.value


def _judgement(outcomes: Sequence[Outcome]) -> str | None:
    judged = [each for each in outcomes if each.kind == "judge_models"]
    if not judged:
        return None
    report, failure = judged[-1].report, judged[-1].failure
    if isinstance(report, JudgementReport):
        reasons = ", ".join(reason.code for reason in report.verdict.reasons)
        return f"promote: {'yes' if report.verdict.promote else 'no'}{f' ({reasons})' if reasons else ''}"
    return "no report" if failure is None else f"{failure.code}: {failure.message}"
