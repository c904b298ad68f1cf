"""The bets of a season, counted: each decision to bet placed once, and each bet ended once, as its bout ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ledger.contracts.bets import BetEntry, BetPlaced, BetResult, BetSettled, BetVoided, PlacedBet
from ledger.contracts.job_state import Outcome
from ledger.contracts.reports import CardReport, FightReport
from producer.season.count import Count


class BetDecisions(NamedTuple):
    """Decisions to bet.

    Attributes
    ----------
    fighters
        The fighter of each decision, by job and fight.
    stood
        Fights with a decision that stood for long enough that a follower must have placed it, and its job.
    """

    fighters: Mapping[tuple[str, str], str | None]
    stood: Mapping[str, str]


def bet_decisions(outcomes: Sequence[Outcome], bells: Mapping[str, float], patience_seconds: float) -> BetDecisions:
    """Return the decisions to bet before the bells.

    Parameters
    ----------
    outcomes
        All outcomes. A decision stands until a job that supersedes its answer is submitted, or until the bell.
    bells
        The start of each fight, in seconds since 1970.
    patience_seconds
        How long a decision stands that must be placed.
    """
    submitted = {outcome.job_id: outcome.submitted_at.timestamp() for outcome in outcomes}
    fighters: dict[tuple[str, str], str | None] = {}
    stood: dict[str, str] = {}
    for outcome in outcomes:
        if not isinstance(outcome.report, CardReport):
            continue
        for fight in outcome.report.fights:
            if isinstance(fight, FightReport) and fight.decision.action == "bet":
                fighters[outcome.job_id, fight.id] = fight.decision.fighter
                bell = bells.get(fight.id, 0.0)
                end = min(bell, submitted.get(outcome.superseded_by or "", bell))
                if end - outcome.settled_at.timestamp() > patience_seconds:
                    stood.setdefault(fight.id, outcome.job_id)
    return BetDecisions(fighters, stood)


def count_bets(
    bouts: Sequence[Mapping[str, Any]],
    entries: Sequence[BetEntry],
    decisions: BetDecisions,
    unnoticed: Collection[str] = (),
) -> Count:
    """Count the bets of one mode.

    Parameters
    ----------
    bouts
        The bouts of `season.json`.
    entries
        All entries of the register, in order.
    decisions
        The decisions to bet.
    unnoticed
        Fights that vanished so shortly before their bell that a feed cannot distinguish it from a fault: bets on
        them stay open until a person voids them.
    """
    placed = [entry.bet for entry in entries if isinstance(entry, BetPlaced)]
    ends: dict[str, list[BetSettled | BetVoided]] = {}
    for entry in entries:
        if isinstance(entry, BetSettled | BetVoided):
            ends.setdefault(entry.bet_id, []).append(entry)
    bout_of = {listing["id"]: number for number, bout in enumerate(bouts) for listing in bout["listings"]}
    lost, doubled, wrong = [], [], []
    covered = {bout_of.get(bet.fight_id) for bet in placed}
    for fight_id, job_id in decisions.stood.items():
        if bout_of.get(fight_id) not in covered:
            lost.append(f"{fight_id}: job {job_id} says to bet, and no bet was placed")
    doubled += [f"bet {bet_id} was placed {n} times" for bet_id, n in _repeated(bet.id for bet in placed)]
    kept = [bet for bet in placed if not any(isinstance(end, BetVoided) for end in ends.get(bet.id, ()))]
    for number, times in _repeated(bout_of.get(bet.fight_id) for bet in kept):
        names = " v ".join(bouts[number]["fighters"]) if number is not None else "no bout of the season"
        doubled.append(f"{names}: {times} bets that were not voided")
    for bet in placed:
        if decisions.fighters.get((bet.job_id, bet.fight_id)) != bet.fighter:
            wrong.append(f"bet {bet.id} is on {bet.fighter}, and its answer does not say so")
        first = [end for end in ends.get(bet.id, ()) if isinstance(end, BetVoided) or end.reverses is None]
        if not first and bet.fight_id not in unnoticed:
            lost.append(f"bet {bet.id} on {bet.fighter} has no end")
        elif len(first) > 1:
            doubled.append(f"bet {bet.id} on {bet.fighter} ended {len(first)} times")
        elif first and bet.fight_id in bout_of:
            wrong += _wrong_end(bet, first[0], bouts[bout_of[bet.fight_id]])
    return Count.of(len({bet.id for bet in placed}), lost, doubled, wrong)


def _wrong_end(bet: PlacedBet, end: BetSettled | BetVoided, bout: Mapping[str, Any]) -> list[str]:
    """Return a sentence if a bet did not end as its bout was announced, or corrected before anyone imported that."""
    ended = "void" if isinstance(end, BetVoided) else end.result
    listing = next(listing for listing in bout["listings"] if listing["id"] == bet.fight_id)
    results = [result for other in bout["listings"] for _, result in other["results"]]
    allowed: set[str] = {_result(result, bet, bout) for result in results} or {"void"}
    if not listing["results"] or len(listing["listed"]) > 1:
        allowed.add("void")  # it was not listed any more, for good or for a while
    if ended in allowed:
        return []
    return [f"bet {bet.id} on {bet.fighter} ended as {ended}, not as {' or '.join(sorted(allowed))}"]


def _result(reported: str, bet: PlacedBet, bout: Mapping[str, Any]) -> BetResult:
    if reported not in ("first", "second"):
        return "void"
    return "won" if bet.fighter == bout["fighters"][reported == "second"] else "lost"


def _repeated(items: Iterable[Any]) -> list[tuple[Any, int]]:
    return [(item, times) for item, times in Counter(items).items() if times > 1]
