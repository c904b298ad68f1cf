"""From a `PredictCard` to a `CardReport`: features, ensemble, market, decision.

A fight that cannot be predicted becomes a typed failure in its place; the others are answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import msgspec

from engine.ensemble import (
    FightPrediction,
    ProductionEnsembleConfig,
    ProductionEnsembleManager,
    create_production_ensemble_config,
)
from engine.errors import EngineError
from engine.market import bet_decision, consensus
from engine.statistics.complements import complement
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import DecisionRules, Fight, PredictCard
from ledger.contracts.reports import (
    Bet,
    CardReport,
    Decision,
    FighterAnswer,
    FightFailure,
    FightReport,
    Interval,
    IntervalMethod,
    Market,
    MarketAware,
)
from ledger.jobs.quote_age import QuoteWindow, quote_window
from workers.failures import failure_of
from workers.handlers.prediction.duplicate_bouts import NO_TWINS, Twins, twins
from workers.handlers.prediction.model_answers import Said, say
from workers.jobs.context import JobContext
from workers.jobs.operator_overrides import MODEL_ALARM, SWITCHED_OFF, Sampling, batch_size, sampling, threads


@dataclass(frozen=True)
class _Asked:
    """A fight that can be answered: what the model says of it, and its quotes."""

    fight: Fight
    said: Said
    window: QuoteWindow
    twins: Twins = NO_TWINS

    @cached_property
    def screening(self) -> consensus.Screening:
        """The fight's quotes, sorted."""
        first, second = (fighter.name for fighter in self.fight.fighters)
        quotes = [
            consensus.Quote(quote.bookmaker, (quote.prices[first], quote.prices[second]), quote.as_of, quote.commission)
            for quote in self.fight.quotes
        ]
        screened = consensus.screen_quotes(quotes, oldest=self.window.oldest, newest=self.window.newest)
        return consensus.leave_out_contradicting(screened)

    @property
    def absence(self) -> consensus.Absence | None:
        """Why there is no market; quotes that the caller's side turned away were quotes, too."""
        found = self.screening.absence
        turned_away = found is consensus.Absence.NO_QUOTES and self.fight.invalid_quotes
        return consensus.Absence.INVALID_QUOTES if turned_away else found

    @cached_property
    def priced(self) -> consensus.Market | None:
        """The consensus of the usable quotes, None where there are none."""
        return consensus.consensus(self.screening.valid) if self.screening.valid else None


class Answer(NamedTuple):
    """A report, and by fight the bins of its features, which are for the journal alone."""

    report: CardReport
    bins: dict[str, str]


def predict_card(job: PredictCard, context: JobContext) -> CardReport:
    """Answer a card. Raises BundleError where the model cannot be used, and what the engine raises for a whole card."""
    return answer(job, context).report


def answer(job: PredictCard, context: JobContext) -> Answer:
    """Answer a card and say where its features lie. Raises as `predict_card` does."""
    opened = context.models.get(job.model)
    manager = opened.model
    sampled = sampling(context.claim.controls, job.intervals.bootstrap_samples, manager.ensemble.n_replicas)
    said = say(job, opened, _config(job, manager, sampled, context.claim.controls))
    window, related = quote_window(job), twins(job.fights, said)
    entries = [
        _Asked(fight, word, window, related.get(fight.id, NO_TWINS)) if isinstance(word, Said) else _failed(fight, word)
        for fight, word in zip(job.fights, said, strict=True)
    ]
    answers = iter(_price(manager, [entry for entry in entries if isinstance(entry, _Asked)], sampled))
    fights = [_report(entry, next(answers), job.rules) if isinstance(entry, _Asked) else entry for entry in entries]
    alarmed = context.claim.controls.flag(f"abstain.{opened.digest}")
    if alarmed:
        fights = [_abstaining(fight) if isinstance(fight, FightReport) else fight for fight in fights]
    report = CardReport(
        card_id=job.card_id,
        model=opened.digest,
        data_cutoff=manager.ensemble.data_cutoff,
        fights=_scale_stakes(fights, job.rules.max_card_stake_fraction * job.stake_share),
        switches=(*sampled.switches, "abstain=on") if alarmed else sampled.switches,
    )
    return Answer(report, {entry.fight.id: entry.said.bins for entry in entries if isinstance(entry, _Asked)})


def _abstaining(fight: FightReport) -> FightReport:
    """Return the same answer of a model that may not bet."""
    return msgspec.structs.replace(fight, decision=Decision(action="abstain", reasons=(MODEL_ALARM,)))


def _config(
    job: PredictCard, manager: ProductionEnsembleManager, sampled: Sampling, controls: Controls
) -> ProductionEnsembleConfig:
    return create_production_ensemble_config(
        bootstrap_samples=sampled.replicas,
        max_memory_mb=manager.config.max_memory_mb,
        n_jobs=threads(controls, manager.config.n_jobs),
        batch_size=batch_size(controls, manager.config.batch_size),
        confidence_level=max(job.intervals.levels),
        min_prediction_confidence=job.rules.min_prediction_confidence,
        max_uncertainty_threshold=job.rules.max_uncertainty_threshold,
    )


def _price(manager: ProductionEnsembleManager, entries: Sequence[_Asked], sampled: Sampling) -> list[FightPrediction]:
    answers = manager.price_fights(
        [entry.said.summary for entry in entries],
        [(entry.fight.fighters[0].name, entry.fight.fighters[1].name) for entry in entries],
        [entry.priced.probabilities[0] if entry.priced else None for entry in entries],
    )
    if sampled.replicas == 0 and sampled.switches:
        return [replace(answer, sampling_reason=SWITCHED_OFF) for answer in answers]
    return answers


def _failed(fight: Fight, error: EngineError) -> FightFailure:
    names = (fight.fighters[0].name, fight.fighters[1].name)
    return FightFailure(id=fight.id, names=names, failure=failure_of(error))


def _report(entry: _Asked, prediction: FightPrediction, rules: DecisionRules) -> FightReport:
    names = (prediction.fighter_a, prediction.fighter_b)
    screening, priced, absence = entry.screening, entry.priced, entry.absence
    sides = _sides(prediction, priced, rules.level)
    choice = bet_decision.decide(
        sides,
        bet_decision.Rules(
            min_prediction_confidence=rules.min_prediction_confidence,
            max_uncertainty_threshold=rules.max_uncertainty_threshold,
            kelly_fraction=rules.kelly_fraction,
            max_stake_fraction=rules.max_stake_fraction,
        ),
        absence=absence,
        arbitrage=priced is not None and priced.arbitrage,
        barred=entry.twins.reasons,
    )
    return FightReport(
        id=entry.fight.id,
        fighters=(
            _answer(prediction, 0, entry.said.fighter_ids[0], sides[0], priced),
            _answer(prediction, 1, entry.said.fighter_ids[1], sides[1], priced),
        ),
        decision=Decision(
            action=choice.action.value,
            reasons=tuple(reason.value for reason in choice.reasons),
            fighter=None if choice.side is None else names[choice.side],
            bookmaker=None if choice.best is None else choice.best.bookmaker,
            price=None if choice.best is None else choice.best.price,
            stake_fraction=choice.stake_fraction,
        ),
        market=None
        if priced is None
        else Market(
            method=priced.method.value,
            bookmakers=priced.bookmakers,
            overround=priced.overround,
            arbitrage=priced.arbitrage,
        ),
        market_reason=None if absence is None else absence.value,
        market_aware_reason=prediction.market_aware_reason,
        sampling_reason=prediction.sampling_reason,
        interval_reason=None if prediction.interval_method else "not_measured",
        flags=(*entry.said.flags, *_quote_flags(entry)),
        notes=(*entry.fight.invalid_quotes, *(str(item) for item in screening.rejected), *entry.twins.notes),
    )


def _quote_flags(entry: _Asked) -> Iterator[str]:
    left_out = [item.fault in consensus.NOT_USED for item in entry.screening.rejected]
    if entry.fight.invalid_quotes or not all(left_out):
        yield "invalid_quotes"
    if any(left_out):
        yield "quotes_left_out"


def _sides(
    prediction: FightPrediction, priced: consensus.Market | None, level: float
) -> tuple[bet_decision.Side, bet_decision.Side]:
    lower, upper = prediction.intervals.get(level, (None, None))
    best = (None, None) if priced is None else priced.best
    return (
        bet_decision.Side(prediction.probability, lower, best[0]),
        bet_decision.Side(complement(prediction.probability), None if upper is None else complement(upper), best[1]),
    )


def _answer(
    prediction: FightPrediction,
    side: int,
    fighter_id: str | None,
    own: bet_decision.Side,
    priced: consensus.Market | None,
) -> FighterAnswer:
    sampling = prediction.sampling_interval
    return FighterAnswer(
        name=(prediction.fighter_a, prediction.fighter_b)[side],
        fighter_id=fighter_id,
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
        market_probability=None if priced is None else priced.probabilities[side],
        market_aware=_market_aware(prediction, side),
        best=_bet(own),
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


def _bet(own: bet_decision.Side) -> Bet | None:
    if own.best is None or own.lower is None:
        return None
    price = own.best.net
    return Bet(
        bookmaker=own.best.bookmaker,
        price=own.best.price,
        commission=own.best.commission,
        expected_value=bet_decision.expected_value(own.probability, price),
        expected_value_lower=bet_decision.expected_value(own.lower, price),
        kelly_fraction=bet_decision.kelly(own.probability, price),
        kelly_fraction_lower=bet_decision.kelly(own.lower, price),
    )


def _scale_stakes(fights: Sequence[FightReport | FightFailure], cap: float) -> tuple[FightReport | FightFailure, ...]:
    """Keep the stakes of the whole card under its cap; a bet of which nothing is left is none."""
    stakes = [(fight.decision.stake_fraction or 0.0) if isinstance(fight, FightReport) else 0.0 for fight in fights]
    scaled = bet_decision.scale_stakes(stakes, cap)
    return tuple(
        msgspec.structs.replace(fight, decision=_staked(fight.decision, stake))
        if isinstance(fight, FightReport) and fight.decision.stake_fraction is not None
        else fight
        for fight, stake in zip(fights, scaled, strict=True)
    )


def _staked(chosen: Decision, stake: float) -> Decision:
    if stake == 0.0:
        return Decision(action="abstain", reasons=(bet_decision.Reason.NO_STAKE.value,))
    return msgspec.structs.replace(chosen, stake_fraction=stake)
