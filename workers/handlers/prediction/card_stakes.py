"""The stakes of a card: chosen together, under the caps of its rules, and in the room that open bets leave.

1. Simultaneous Kelly stakes of all bets of the card, `kelly_fraction` of them, each at most `max_stake_fraction`.
2. One common factor, so that their sum is at most `max_card_stake_fraction`.
3. With caps on open bets: each stake shrinks to the room of its fight; then, by a common factor each, those of each
   bookmaker, of the card, of the week and of all. A stake that falls below the smallest amount is no bet. What that
   frees is not given to the others.

No step depends on the order of the fights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engine.market.bet_decision import BetReason, BettingRules, scale_stakes
from engine.market.simultaneous_kelly import KellyBet, fractional_stakes, simultaneous_kelly
from ledger.contracts.bets import BettingRoom
from ledger.contracts.jobs import PredictCard
from ledger.contracts.reports import Decision, FightFailure, FightReport

simultaneous_kelly([KellyBet(0.5, 2.1), KellyBet(0.5, 2.2)])  # compiles its loop before the first card comes


def betting_rules(job: PredictCard) -> BettingRules:
    """Return the engine's rules of a card."""
    rules = job.rules
    return BettingRules(
        min_prediction_confidence=rules.min_prediction_confidence,
        max_uncertainty_threshold=rules.max_uncertainty_threshold,
        kelly_fraction=rules.kelly_fraction,
        max_stake_fraction=rules.max_stake_fraction,
    )


def set_stakes(
    fights: Sequence[FightReport | FightFailure],
    bets: Mapping[int, KellyBet],
    job: PredictCard,
    room: BettingRoom | None,
) -> list[FightReport | FightFailure]:
    """Return the fights with the stakes of the whole card; a bet without a stake becomes an abstention.

    Parameters
    ----------
    fights
        The fights of the card.
    bets
        Those of them that are bets, by position.
    job
        The card, for its rules.
    room
        What the caps on open bets leave; None if there are none.
    """
    answered = list(fights)
    if room is not None and room.stopped:
        for position in bets:
            answered[position] = _with_decision(fights[position], _abstention(BetReason.DRAWDOWN_STOP))
        return answered
    cap = job.rules.max_card_stake_fraction * job.stake_share
    wanted = scale_stakes(fractional_stakes(list(bets.values()), betting_rules(job)), cap)
    left = wanted if room is None else _in_room(wanted, [fights[position] for position in bets], room)
    for position, stake, least in zip(bets, wanted, left, strict=True):
        answered[position] = _staked(fights[position], stake, least, room)
    return answered


def _staked(
    fight: FightReport | FightFailure, wanted: float, stake: float, room: BettingRoom | None
) -> FightReport | FightFailure:
    smallest = 0.0 if room is None or room.bankroll <= 0 else room.min_stake / room.bankroll
    if wanted == 0.0 or wanted < smallest:
        return _with_decision(fight, _abstention(BetReason.NO_STAKE))
    if stake == 0.0 or stake < smallest:
        fight = _with_note(fight, f"open bets leave {stake!r} of the bankroll for a stake of {wanted!r}")
        return _with_decision(fight, _abstention(BetReason.EXPOSURE_FULL))
    if stake < wanted:
        fight = _with_note(fight, f"open bets reduce the stake of {wanted!r} of the bankroll to {stake!r}")
    if not isinstance(fight, FightReport):
        return fight
    return _with_decision(fight, msgspec.structs.replace(fight.decision, stake_fraction=stake))


def _in_room(
    stakes: Sequence[float], fights: Sequence[FightReport | FightFailure], room: BettingRoom
) -> tuple[float, ...]:
    """Return stakes that fit into every cap."""
    found = list(stakes)
    for positions, limit in _limits(fights, room):
        share = min(1.0, limit / room.bankroll) if room.bankroll > 0 else 0.0
        scaled = scale_stakes([found[position] for position in positions], share)
        for position, stake in zip(positions, scaled, strict=True):
            found[position] = stake
    return tuple(found)


def _limits(fights: Sequence[FightReport | FightFailure], room: BettingRoom) -> Iterator[tuple[list[int], int]]:
    """Yield the positions of the bets under each cap, and the room that it leaves."""
    everything = list(range(len(fights)))
    for position, fight in enumerate(fights):
        if fight.id in room.fights:
            yield [position], room.fights[fight.id]
    bookmakers = [fight.decision.bookmaker if isinstance(fight, FightReport) else None for fight in fights]
    for bookmaker, limit in room.bookmakers.items():
        yield [position for position in everything if bookmakers[position] == bookmaker], limit
    for whole in (room.card, room.week, room.total):
        if whole is not None:
            yield everything, whole


def _abstention(reason: BetReason) -> Decision:
    return Decision(action="abstain", reasons=(reason.value,))


def _with_decision(fight: FightReport | FightFailure, decision: Decision) -> FightReport | FightFailure:
    return msgspec.structs.replace(fight, decision=decision) if isinstance(fight, FightReport) else fight


def _with_note(fight: FightReport | FightFailure, note: str) -> FightReport | FightFailure:
    return msgspec.structs.replace(fight, notes=(*fight.notes, note)) if isinstance(fight, FightReport) else fight
