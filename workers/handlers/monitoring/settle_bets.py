"""Handler of `SettleBets`: settle the open bets whose results are known.

A result belongs to the fight of a bet if it has the id of that fight and names the same fighters; else as in the review
of models, by the day and the names (`result_matching`). A bet is settled by the first known version of its result. With
the control `resettle_bets` the present version counts, and settles bets of the last RESETTLED_DAYS again.

Each bet is settled in one atomic step and a settled bet is left as it is, so a job that is killed and run again settles
the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engine.data.fighter_names import fight_key
from ledger.contracts.bets import BetConflictError, BetPlaced, BetResult, PlacedBet
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.jobs import SettleBets
from ledger.ledger import Ledger
from ledger.models.fight_results import FightResult
from workers.handlers.monitoring.result_matching import (
    LoggedFight,
    fighter_position,
    first_known,
    match_fights,
    winner_position,
)
from workers.jobs.context import JobContext

RESETTLED_DAYS = 365
MAX_DAYS_EARLY = 14
"""How long before its stated start an event may end, if it was moved: an older result is another fight's."""
USER = "settle_bets"
"""Who settles, in the register of bets."""
_DAY = timedelta(days=1)
_PAGE = 1_000


@dataclass(frozen=True)
class BetResults:
    """The results of bets by their ids, and the bets whose result a person has to judge."""

    found: Mapping[str, BetResult]
    unclear: Sequence[str]


def settle_bets(job: SettleBets, context: JobContext) -> BetSettlementReport:
    """Settle bets. Raises LedgerUnavailableError."""
    ledger = context.ledger
    resettles = context.claim.controls.flag("resettle_bets")
    open_bets = ledger.bets.open_bets()
    now = datetime.fromtimestamp(ledger.server.time(), UTC)
    bets = {bet.bet_id: bet for bet in open_bets}
    if resettles:
        bets |= {bet.bet_id: bet for bet in _bets_placed_since(ledger, now - timedelta(days=RESETTLED_DAYS))}
    results = find_results(list(bets.values()), _results(ledger, bets.values()), present=resettles)
    counts = {"won": 0, "lost": 0, "void": 0}
    profit = resettled = 0
    for bet_id, result in results.found.items():
        before = ledger.bets.get(bet_id)
        if before.state == result:
            continue
        try:
            # A bet that a person has voided meanwhile stays void.
            settled = ledger.bets.settle(
                {bet_id: result}, user=USER, replace=resettles and before.state in ("won", "lost")
            )
        except BetConflictError:
            continue
        if settled:
            bet = bets[bet_id]
            counts[result] += 1
            resettled += before.state != "open"
            returned = {"won": bet.payout, "lost": 0, "void": bet.stake}[result]
            profit += returned - (bet.stake if before.returned is None else before.returned)
    left = ledger.bets.open_bets()
    unclear = [bet.bet_id for bet in left if bet.bet_id in results.unclear]
    waiting = [bet.bet_id for bet in left if bet.event_start + _DAY < now and bet.bet_id not in results.unclear]
    return BetSettlementReport(
        won=counts["won"],
        lost=counts["lost"],
        void=counts["void"],
        resettled=resettled,
        profit=profit,
        open=len(left),
        waiting=tuple(waiting),
        unclear=tuple(unclear),
    )


def find_results(bets: Sequence[PlacedBet], results: Sequence[FightResult], *, present: bool = False) -> BetResults:
    """Return the results of bets: by the first known version of a result, or by the present one."""
    found: dict[str, BetResult] = {}
    unclear: list[str] = []
    by_id: dict[str, list[FightResult]] = {}
    for result in results:
        for fight_id in result.fight_ids:
            by_id.setdefault(fight_id, []).append(result)
    unknown = []
    for bet in bets:
        # A result of other fighters, or of an earlier fight of both, has this id by chance: callers may number fights.
        first_day = bet.event_start.astimezone(UTC).date() - timedelta(days=MAX_DAYS_EARLY)
        same = [
            one
            for one in by_id.get(bet.fight_id, [])
            if one.date >= first_day and fighter_position(one, bet.fighters) is not None
        ]
        if not same:
            unknown.append(bet)
            continue
        ends = {_end_of(bet, result, present=present) for result in same}
        end = ends.pop()
        if ends or end is None:
            unclear.append(bet.bet_id)
        else:
            found[bet.bet_id] = end
    fights: dict[LoggedFight, list[PlacedBet]] = {}
    for bet in unknown:
        fights.setdefault((bet.event_start.astimezone(UTC).date(), fight_key(bet.fighters)), []).append(bet)
    matched = match_fights({fight: same_fight[0].fighters for fight, same_fight in fights.items()}, results)
    contradicted = matched.contradicted if present else matched.always_contradicted
    for fight, result in matched.present.items():
        for bet in fights[fight]:
            end = _end_of(bet, result, present=present)
            if fight in contradicted or end is None:
                unclear.append(bet.bet_id)
            else:
                found[bet.bet_id] = end
    return BetResults(found, unclear)


def _end_of(bet: PlacedBet, result: FightResult, *, present: bool) -> BetResult | None:
    """Return the result of a bet; None if the result names other fighters."""
    chosen = result if present else first_known(result)
    if fighter_position(chosen, bet.fighters) is None:
        return None
    winner = winner_position(chosen, bet.fighters)
    if winner is None:
        return "void"
    return "won" if bet.fighters[winner] == bet.fighter else "lost"


def _results(ledger: Ledger, bets: Iterable[PlacedBet]) -> list[FightResult]:
    days = [bet.event_start.astimezone(UTC).date() for bet in bets]
    return ledger.fight_results.all(min(days) - timedelta(days=MAX_DAYS_EARLY)) if days else []


def _bets_placed_since(ledger: Ledger, moment: datetime) -> Iterable[PlacedBet]:
    place = f"{int(moment.timestamp() * 1000)}-0"
    while entries := ledger.bets.entries(after=place, limit=_PAGE):
        place = entries[-1].place
        yield from (entry.bet for entry in entries if isinstance(entry, BetPlaced))
