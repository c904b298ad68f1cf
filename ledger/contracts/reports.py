"""Reports: the answer to each kind of job, with computed numbers only.

Reports contain no clock readings and nothing about the worker, so that the same job with the same model gives the same
bytes. A value that does not exist is absent, with the reason next to it.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from msgspec import Struct, field

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.monitoring_reports import ComparisonReport, ReviewReport
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.jobs import current_schema_version
from ledger.contracts.replay_report import ReplayReport

IntervalMethod = Literal["anchored", "model_based", "bootstrap_percentile", "market_assumption"]


class Interval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bounds for the win probability at a confidence level, and their method.

    `anchored`: half-width measured against de-vigged closing odds of past fights. `model_based`: no odds were in the
    training data, so the width comes from the model alone. `bootstrap_percentile`: the change from refitting on a
    resample of the same past; it is *not* the chance that the truth is inside. `market_assumption`: as wide as the
    closing price is assumed to err, which results cannot test. `monte_carlo_error`, of a percentile interval only:
    standard deviation of its ends over other draws of as many replicas.
    """

    level: float
    lower: float
    upper: float
    method: IntervalMethod
    monte_carlo_error: float | None = None


class MarketAware(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The market's probability, adjusted by the fighters' records, in a band of `market_assumption`."""

    probability: float
    band: tuple[Interval, ...]


class Bet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The best price for a fighter and its value: money per unit staked, and shares of the bankroll.

    `_lower` takes the interval's lower bound at the rules' level for the probability; it decides about the bet. `price`
    is what the bookmaker shows; all values are net of `commission`, the share of the winnings that an exchange keeps.
    `market_probability` is the fair probability by which the market judges this bet: with `without_own_quote` the
    consensus of the other bookmakers, if there are three or more, else that of all. `market_edge` is the expected value
    if it is true, and `market_aware_edge` if `market_aware_probability` is, which is computed from it.
    """

    bookmaker: str
    price: float
    expected_value: float
    expected_value_lower: float
    kelly_fraction: float
    kelly_fraction_lower: float
    commission: float = 0.0
    market_probability: float | None = None
    market_edge: float | None = None
    without_own_quote: bool = False
    market_aware_probability: float | None = None
    market_aware_edge: float | None = None


class Contributions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What each group of features adds to the logit of a fighter's `probability`: exact Shapley values.

    `logit` is log(p / (1 - p)), and exactly `corner` (the official corner, 0 if it is unknown) plus all `groups`, added
    in any order. The other fighter's values are exactly the negatives. They describe the model and are no causes.
    """

    logit: float
    corner: float
    groups: dict[str, float]


class FighterAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fighter's side of the answer. The other side is exactly its complement.

    `probability` has not seen the odds of the fight; `market_aware` starts from them, and is absent
    without them. `name` is the caller's spelling, `fighter_id` the log's. `best` is absent without a valid quote,
    `contributions` unless the job asked for them.
    """

    name: str
    fighter_id: str | None
    probability: float
    intervals: tuple[Interval, ...]
    sampling_interval: Interval | None
    members: dict[str, float]
    market_probability: float | None = None
    market_aware: MarketAware | None = None
    best: Bet | None = None
    contributions: Contributions | None = None


class Market(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the market's probability was computed: the median over the bookmakers' quotes, de-vigged by `method`.

    `arbitrage` warns that the best prices of both fighters together would win in any case: one of them is wrong.
    """

    method: str
    bookmakers: tuple[str, ...]
    overround: float
    arbitrage: bool = False


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bet on `fighter` at `bookmaker` with `stake_fraction` of the bankroll, or abstain; `reasons` are codes.

    `same_bout` and `conflicting_bouts`: another fight, named in the notes, is the same bout or excludes this one;
    `no_stake`: the rules leave nothing to bet.
    """

    action: Literal["bet", "abstain"]
    reasons: tuple[str, ...]
    fighter: str | None = None
    bookmaker: str | None = None
    price: float | None = None
    stake_fraction: float | None = None


class WidthShares(Struct, frozen=True, kw_only=True):
    """What the half-width of the 80% interval on the logit scale is made of, as shares of its square; their sum is 1.

    `market_noise` is the noise of the closing odds on which it was measured, `not_learnt` what the market knows and the
    model has not learnt, and `allowance` what is added for errors that model and market share.
    """

    market_noise: float
    not_learnt: float
    allowance: float


class FightReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="status", tag="predicted"):
    """A predicted fight.

    `interval_reason` is why there are no intervals: `not_measured` (a model that was imported without past fights to
    measure its errors on). `sampling_reason` is why there is no sampling interval: `bootstrap_off` (the job asked for
    none, or the model has no replicas), or `switched_off` by an operator. `market_reason` is why there is no market,
    and `market_aware_reason` why there is no market-aware probability: `no_market`, or `model_without_odds`. `flags`
    warn: `debutant`, `few_fights`, `features_imputed`, `declared_record` (a rating starts from one),
    `past_odds_missing` (the rating lacks recent closing odds), `corner_unknown`, `stale_fight_log`, `invalid_quotes`,
    `quotes_left_out` (too old, dated ahead, or contradicting the other bookmakers). `notes` name the quotes and the
    reasons. `width_shares` is absent if the interval was not measured on closing odds.
    """

    id: str
    fighters: tuple[FighterAnswer, FighterAnswer]
    decision: Decision
    market: Market | None = None
    market_reason: str | None = None
    market_aware_reason: str | None = None
    sampling_reason: str | None = None
    interval_reason: str | None = None
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    width_shares: WidthShares | None = None


class FightFailure(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="status", tag="failed"):
    """A fight that could not be predicted, in its place on the card."""

    id: str
    names: tuple[str, str]
    failure: Failure


class ServedState(Struct, frozen=True, kw_only=True):
    """The fighters' state that answered: SHA-256 over its arrays, the day of its last fight, and its age on the day.

    `age_days` counts from `cutoff` to the day of the event in UTC.
    """

    digest: str
    cutoff: date
    age_days: int


class CardReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="card_report"):
    """The report of a `PredictCard`: the model's digest, the last day of its data, and every fight in order.

    `switches` are operator controls that changed the answer, such as `bootstrap=off` or `max_replicas=20` (the sampling
    intervals rest on that many replicas), or a drift alarm's: with `abstain=on` the model may not bet, and all reasons
    are `model_alarm`; with `drawdown_stop=on` no bet may be placed. Absent if there are none. `data_cutoff` is the last
    day of the fights that the members learnt from; `state` is what the features of fighters were built from, absent for
    a model that has no fighters' state.
    """

    schema_version: int = field(default_factory=current_schema_version)
    card_id: str
    model: str
    data_cutoff: date
    fights: tuple[FightReport | FightFailure, ...]
    switches: tuple[str, ...] = ()
    state: ServedState | None = None


class TrainingReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="training_report"):
    """The report of a `TrainEnsemble`. `metrics` are out of fold, on the training fights (log loss, Brier score).

    Among them, if 200 fights have closing odds: `priced_share`, the share with odds since the first odds, and means of
    the fights with odds and of those without (`priced_favourite` and `unpriced_favourite`, the likelier fighter's
    probability; `..._experience`, log(1 + earlier fights); `..._year`), if there are enough without; of the last two
    years, `latest_priced_fights`, the mean distance from the market relative to that of all years (`latest_distance`),
    and the shares inside the half-widths of all years (`latest_inside_80`, `latest_inside_95`). Of all fights with
    odds, corner unknown: the share of closes inside the intervals and their mean width (`inside_80`, `width_80`; at 95
    too), the share inside where the market's favourite is above 50, 60, 70, 80 and 85% (`market_60_inside_80` of
    `market_60_fights`), and what the 80% half-widths of fighters with 0, 1, 3 and 6 earlier fights are made of
    (`width_market_noise_0`, `width_not_learnt_0`, `width_allowance_0`, ...; see `WidthShares`). `alias` is the name
    that the model got. `warnings` are sentences about what the intervals may not be relied on for.
    """

    schema_version: int = field(default_factory=current_schema_version)
    model: str
    alias: str | None
    data_digest: str
    data_cutoff: date
    fights: int
    events: int
    features: int
    bootstrap_samples: int
    interval_method: Literal["anchored", "model_based"]
    metrics: dict[str, float]
    bundle_bytes: int
    warnings: tuple[str, ...] = ()


class PartReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="part_report"):
    """The report of a part of a job: its result is in the store, `digest` is that of its manifest."""

    schema_version: int = field(default_factory=current_schema_version)
    name: str
    digest: str
    bytes_written: int


class GarbageReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="garbage_report"):
    """The report of a `CollectGarbage`: digests of what was removed, or with `dry_run` of what would be.

    `unclaimed` is the number of models that remain although neither this ledger references nor any ledger has claimed
    them.
    """

    schema_version: int = field(default_factory=current_schema_version)
    models: tuple[str, ...]
    trainings: tuple[str, ...]
    dry_run: bool
    unclaimed: int = 0


class HealthCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One check. `code` is the failure code with which a job would have ended, if there is one."""

    name: str
    passed: bool
    detail: str
    code: FailureCode | None = None


class HealthReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="health_report"):
    """The report of a `CheckHealth`. Unlike the others it describes the worker that answered."""

    schema_version: int = field(default_factory=current_schema_version)
    status: Literal["healthy", "unhealthy"]
    checks: tuple[HealthCheck, ...]
    model: str | None = None
    memory_mb: float


class ShadowReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="shadow_report"):
    """The report of a `ShadowCard`: numbers of fights in the prediction log, and of fights that could not be predicted.

    Nothing is stored if the live answer came from the same model.
    """

    schema_version: int = field(default_factory=current_schema_version)
    model: str
    noted: int
    failed: int


Report = (
    CardReport
    | TrainingReport
    | BacktestReport
    | JudgementReport
    | HealthReport
    | ReplayReport
    | ShadowReport
    | PartReport
    | GarbageReport
    | ComparisonReport
    | ReviewReport
    | UpdateReport
    | PriceArchiveReport
    | OutcomeArchiveReport
    | BetSettlementReport
    | BetsReport
    | FightLogReport
)
"""Every report that a job can end with."""
