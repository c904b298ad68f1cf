"""Step "report": decide on a bet for each fight and on all stakes, and translate everything into the wire report.

The engine gives a probability and its intervals for the first fighter of a pair; the report gives them for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC

import msgspec

from engine.ensemble import FightPrediction
from engine.errors import EngineError
from engine.market import bet_decision
from engine.market.consensus import MarketConsensus as Consensus
from engine.market.quotes import UNUSED_QUOTE_FAULTS
from engine.market.simultaneous_kelly import KellyBet
from engine.statistics.complements import complement
from ledger.contracts.jobs import Fight, PredictCard
from ledger.contracts.reports import (
    Bet,
    CardReport,
    Contributions,
    Decision,
    FighterAnswer,
    FightFailure,
    FightReport,
    Interval,
    IntervalMethod,
    Market,
    MarketAware,
    ServedState,
    WidthShares,
)
from workers.failures import to_failure
from workers.handlers.prediction.card_stakes import betting_rules, set_stakes
from workers.handlers.prediction.fight_prices import PricedFight
from workers.handlers.prediction.resolved_card import ResolvedCard
from workers.jobs.operator_overrides import MODEL_ALARM


def build_report(card: ResolvedCard, priced: Mapping[str, PricedFight | EngineError]) -> CardReport:
    """Return the report of a card: its fights with their decisions, and the stakes of the whole card."""
    job = card.job
    fights: list[FightReport | FightFailure] = []
    bets: dict[int, KellyBet] = {}
    for fight in job.fights:
        found = priced[fight.id]
        if isinstance(found, EngineError):
            fights.append(_failed(fight, found))
            continue
        report, bet = _fight_report(found, job)
        if bet is not None:
            bets[len(fights)] = bet
        fights.append(report if card.may_bet else _abstaining(report))
    if card.may_bet:
        fights = set_stakes(fights, bets, job, card.room)
    return CardReport(
        card_id=job.card_id,
        model=card.opened.digest,
        data_cutoff=card.manager.ensemble.data_cutoff,
        fights=tuple(fights),
        switches=(*card.replicas.switches, *_stops(card)),
        state=_served_state(card),
    )


def _stops(card: ResolvedCard) -> Iterator[str]:
    if not card.may_bet:
        yield "abstain=on"
    elif card.room is not None and card.room.stopped:
        yield "drawdown_stop=on"


def _served_state(card: ResolvedCard) -> ServedState | None:
    """Return the fighters' state of the model, with its age on the day of the event."""
    state = card.manager.state
    if state is None:
        return None
    day = card.job.event_start.astimezone(UTC).date()
    return ServedState(digest=state.digest, cutoff=state.cutoff, age_days=(day - state.cutoff).days)


def _failed(fight: Fight, error: EngineError) -> FightFailure:
    names = (fight.fighters[0].name, fight.fighters[1].name)
    return FightFailure(id=fight.id, names=names, failure=to_failure(error))


def _abstaining(fight: FightReport) -> FightReport:
    """Return the report with the decision to abstain, for a model that must not bet."""
    return msgspec.structs.replace(fight, decision=Decision(action="abstain", reasons=(MODEL_ALARM,)))


def _fight_report(priced: PricedFight, job: PredictCard) -> tuple[FightReport, KellyBet | None]:
    """Return the report of a fight with the stake that it would have alone, and its bet if it is one."""
    prediction, market, absence = priced.prediction, priced.market, priced.no_market_reason
    names = (prediction.fighter_a, prediction.fighter_b)
    sides = _sides(prediction, market, job.rules.level)
    choice = bet_decision.decide_bet(
        sides,
        betting_rules(job),
        no_market_reason=absence,
        arbitrage=market is not None and market.arbitrage,
        other_reasons=priced.conflicts.reasons,
    )
    bet = None
    if choice.side is not None and choice.best_price is not None and (lower := sides[choice.side].lower) is not None:
        bet = KellyBet(lower, choice.best_price.net)
    report = FightReport(
        id=priced.fight.id,
        fighters=(
            _answer(priced, 0, sides[0], wants_contributions=job.contributions),
            _answer(priced, 1, sides[1], wants_contributions=job.contributions),
        ),
        decision=Decision(
            action=choice.action.value,
            reasons=tuple(reason.value for reason in choice.reasons),
            fighter=None if choice.side is None else names[choice.side],
            bookmaker=None if choice.best_price is None else choice.best_price.bookmaker,
            price=None if choice.best_price is None else choice.best_price.price,
            stake_fraction=choice.stake_fraction,
        ),
        market=None
        if market is None
        else Market(
            method=market.method.value,
            bookmakers=market.bookmakers,
            overround=market.overround,
            arbitrage=market.arbitrage,
        ),
        market_reason=None if absence is None else absence.value,
        market_aware_reason=prediction.market_aware_reason,
        sampling_reason=prediction.sampling_reason,
        interval_reason=None if prediction.interval_method else "not_measured",
        flags=(*priced.answer.flags, *_quote_flags(priced)),
        notes=(
            *priced.fight.invalid_quotes,
            *(str(item) for item in priced.screening.rejected),
            *priced.conflicts.notes,
        ),
        width_shares=None
        if prediction.width_shares is None
        else WidthShares(**dict(zip(WidthShares.__struct_fields__, prediction.width_shares, strict=True))),
    )
    return report, bet


def _quote_flags(priced: PricedFight) -> Iterator[str]:
    left_out = [item.fault in UNUSED_QUOTE_FAULTS for item in priced.screening.rejected]
    if priced.fight.invalid_quotes or not all(left_out):
        yield "invalid_quotes"
    if any(left_out):
        yield "quotes_left_out"


def _sides(
    prediction: FightPrediction, market: Consensus | None, level: float
) -> tuple[bet_decision.BetSide, bet_decision.BetSide]:
    lower, upper = prediction.intervals.get(level, (None, None))
    best = (None, None) if market is None else market.best_prices
    return (
        bet_decision.BetSide(prediction.probability, lower, best[0]),
        bet_decision.BetSide(complement(prediction.probability), None if upper is None else complement(upper), best[1]),
    )


def _answer(priced: PricedFight, side: int, own: bet_decision.BetSide, *, wants_contributions: bool) -> FighterAnswer:
    prediction, market = priced.prediction, priced.market
    sampling = prediction.sampling_interval
    return FighterAnswer(
        name=(prediction.fighter_a, prediction.fighter_b)[side],
        fighter_id=priced.answer.fighter_ids[side],
        probability=own.probability,
        intervals=tuple(
            _interval(level, bounds, prediction.interval_method, side)
            for level, bounds in sorted(prediction.intervals.items())
            if prediction.interval_method is not None
        ),
        sampling_interval=None
        if sampling is None
        else msgspec.structs.replace(
            _interval(prediction.sampling_level, sampling, "bootstrap_percentile", side),
            monte_carlo_error=prediction.sampling_error,
        ),
        members={name: p if side == 0 else complement(p) for name, p in prediction.members.items()},
        market_probability=None if market is None else market.probabilities[side],
        market_aware=_market_aware(prediction, side),
        best=_bet(priced, side, own),
        contributions=contributions_of(prediction, side) if wants_contributions else None,
    )


def contributions_of(prediction: FightPrediction, side: int) -> Contributions | None:
    """Return the contributions to one side's logit; None if the prediction has none."""
    found = prediction.contributions
    if found is None:
        return None
    sign = 1.0 if side == 0 else -1.0
    return Contributions(
        logit=sign * found.logit + 0.0,  # + 0.0: no negative zeros
        corner=sign * found.corner + 0.0,
        groups={group: sign * value + 0.0 for group, value in found.groups.items()},
    )


def _market_aware(prediction: FightPrediction, side: int) -> MarketAware | None:
    aware = prediction.market_aware
    if aware is None:
        return None
    return MarketAware(
        probability=aware.probability if side == 0 else complement(aware.probability),
        band=tuple(_interval(level, bounds, aware.method, side) for level, bounds in sorted(aware.band.items())),
    )


def _interval(level: float, bounds: tuple[float, float], method: IntervalMethod, side: int) -> Interval:
    lower, upper = bounds if side == 0 else (complement(bounds[1]), complement(bounds[0]))
    return Interval(level=level, lower=lower, upper=upper, method=method)


def _bet(priced: PricedFight, side: int, own: bet_decision.BetSide) -> Bet | None:
    if priced.market is None or own.best_price is None or own.lower is None:
        return None
    price, aware = own.best_price.net, priced.aware_for_bets[side]
    judged_by = priced.market.for_bets[side]
    fair = judged_by.probabilities[side]
    return Bet(
        bookmaker=own.best_price.bookmaker,
        price=own.best_price.price,
        commission=own.best_price.commission,
        expected_value=bet_decision.expected_value(own.probability, price),
        expected_value_lower=bet_decision.expected_value(own.lower, price),
        kelly_fraction=bet_decision.kelly_stake(own.probability, price),
        kelly_fraction_lower=bet_decision.kelly_stake(own.lower, price),
        market_probability=fair,
        market_edge=bet_decision.expected_value(fair, price),
        without_own_quote=judged_by.without_own_quote,
        market_aware_probability=aware,
        market_aware_edge=None if aware is None else bet_decision.expected_value(aware, price),
    )
