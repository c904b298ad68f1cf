"""Follow the outcomes and place paper bets as their decisions say.

Any number of followers may run. Each continues from a place that the ledger keeps, and what one has placed already is
not placed again: the id of a bet is a digest of job, fight and mode. A bet is placed

- in paper mode only: live bets are recorded by those who take them;
- by the newest answer to its card, if no newer job has superseded it, and before the event starts;
- if its feed still lists the fight under this id;
- once for each fight: while a bet on it is open, a later answer places no second one;
- with what fits, if the caps leave less than the decision's stake.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from ledger.contracts.bets import BetConflictError, BetRefusedError, BetRequest, PlacedBet
from ledger.contracts.failures import JobArchivedError, LedgerUnavailableError, UnknownJobError
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import PredictCard
from ledger.contracts.reports import CardReport, FightReport
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.jobs.outcome_records import UnreadableOutcomeError
from ledger.ledger import Ledger
from producer.betting.bet_requests import bet_on_answer

FOLLOWER = "paper"
"""Name of the place that followers share."""
USER = "bets follow"
_TRIES = 5
_ONCE_SECONDS = 0.05


class FollowedDecision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a decision to bet: placed, or skipped for a reason."""

    job_id: str
    fight_id: str
    action: Literal["placed", "skipped"]
    reason: str | None = None
    bet: PlacedBet | None = None


class BetFollower:
    """A follower of outcomes.

    Attributes
    ----------
    missed
        Number of times that outcomes were dropped from the stream before they were read.
    unreadable
        Number of outcomes that a newer version wrote.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._place: str | None = None
        self.missed = 0
        self.unreadable = 0

    def run(self, stop: threading.Event, *, once: bool = False) -> Iterator[FollowedDecision]:
        """Yield what becomes of each decision, until `stop` is set; with `once` until no outcome is left.

        Waits while the server is unavailable; with `once` raises LedgerUnavailableError.
        """
        while not stop.is_set():
            try:
                place = self._place = self._place or self._ledger.bets.followed_place(FOLLOWER)
                yield from self._follow_from(place, stop, idle_seconds=_ONCE_SECONDS if once else 1.0)
            except LedgerUnavailableError:
                if once:
                    raise
                stop.wait(1.0)
            except OutcomesMissedError as missed:
                self._note_missed(missed)
                self._place = missed.place
            except UnreadableOutcomeError as unreadable:
                self.unreadable += 1
                self._place = unreadable.place or self._place
            else:
                if once:
                    return

    def _follow_from(self, place: str, stop: threading.Event, idle_seconds: float) -> Iterator[FollowedDecision]:
        """Follow until no outcome comes for a while."""
        stored = place
        for at, outcome in self._ledger.follow(place, idle_seconds=idle_seconds, on_missed=self._note_missed):
            yield from self._follow(outcome)
            self._place = at
            if stop.is_set():
                break
        if self._place != stored:
            self._ledger.bets.remember_place(FOLLOWER, self._place or stored)

    def _note_missed(self, _missed: OutcomesMissedError) -> None:
        self.missed += 1

    def _follow(self, outcome: Outcome) -> Iterator[FollowedDecision]:
        report = outcome.report
        if not isinstance(report, CardReport):
            return
        bets = [fight for fight in report.fights if isinstance(fight, FightReport) and fight.decision.action == "bet"]
        if not bets:
            return
        reason = self._objection(outcome, report)
        card = None if reason else self._card(outcome.job_id)
        unlisted = self._ledger.feeds.changes.unlisted(fight.id for fight in bets)
        for fight in bets:
            if fight.id in unlisted:
                yield FollowedDecision(
                    job_id=outcome.job_id, fight_id=fight.id, action="skipped", reason=unlisted[fight.id].kind
                )
            elif card is None:
                yield FollowedDecision(
                    job_id=outcome.job_id, fight_id=fight.id, action="skipped", reason=reason or "forgotten"
                )
            else:
                yield self._placed(card, report, outcome.job_id, fight)

    def _objection(self, outcome: Outcome, report: CardReport) -> str | None:
        mode = self._ledger.controls.current().choice("betting") or "paper"
        if mode != "paper":
            return f"betting is {mode}"
        if outcome.superseded_by is not None:
            return "superseded"
        newest = [answer for answer in self._ledger.card_answers.newest([report.card_id])[0] if answer.has_report]
        return "a newer answer" if newest and newest[0].job_id != outcome.job_id else None

    def _card(self, job_id: str) -> PredictCard | None:
        try:
            card = self._ledger.job_records.job(job_id)
        except (UnknownJobError, JobArchivedError):
            return None
        return card if isinstance(card, PredictCard) else None

    def _placed(self, card: PredictCard, report: CardReport, job_id: str, fight: FightReport) -> FollowedDecision:
        def skipped(reason: str) -> FollowedDecision:
            return FollowedDecision(job_id=job_id, fight_id=fight.id, action="skipped", reason=reason)

        stake = int((fight.decision.stake_fraction or 0.0) * max(self._ledger.bets.account("paper").bankroll, 0))
        for _ in range(_TRIES):
            if stake < 1:
                return skipped("no stake")
            request = BetRequest(job_id=job_id, fight_id=fight.id, stake=stake)
            bet = bet_on_answer(card, report, request, user=USER, mode="paper")
            try:
                receipt = self._ledger.bets.place(bet, once=True)
            except BetConflictError:  # placed with the bankroll of that time
                return skipped("placed before")
            except BetRefusedError as refusal:
                if not refusal.room or refusal.room >= stake:
                    return skipped(refusal.cap)
                stake = refusal.room
            else:
                if not receipt.created:
                    return skipped("placed before")
                return FollowedDecision(job_id=job_id, fight_id=fight.id, action="placed", bet=receipt.bet)
        return skipped("exposure_full")
