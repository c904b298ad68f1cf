"""The jobs that a caller can ask for.

Each kind is a frozen msgspec type, JSON on the wire, tagged by `kind` and carrying its schema version. Unknown fields
are ignored, so that an older worker can read a newer caller's job; sizes are limited here, at the door.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

SCHEMA_VERSION = 1
MAX_PAYLOAD_BYTES = 1_000_000
MAX_FIGHTS = 64
MAX_NAME_CHARACTERS = 120
MAX_PRICE = 1001.0  # decimal; American +100000
MAX_QUOTE_AGE_SECONDS = 2_678_400.0  # 31 days
MIN_AMERICAN = 100  # American prices are at least so far from 0
MIN_OVERROUND = 0.98  # below it a quote is an arbitrage against its own maker: a misread price
MAX_OVERROUND = 1.20  # above it a quote says nothing about the fight: a suspended or misread market
CHAMPION = "champion"  # the name of the model that answers cards, unless they name another
CHALLENGER = "challenger"  # and of the one that answers them for the journal alone

# What is blank is refused by `wire.check_job`: a pattern here would take longer than all the rest of reading a card.
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
Moment = Annotated[datetime, Meta(tz=True)]
Price = Annotated[float, Meta(gt=1.0, le=MAX_PRICE)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Commission = Annotated[float, Meta(ge=0.0, lt=1.0)]
Level = Annotated[float, Meta(gt=0.0, lt=1.0)]
Corner = Literal["red", "blue", "unknown"]


def current_schema_version() -> int:
    """The version that is written now. As a factory, not a default: defaults do not travel, and the version must."""
    return SCHEMA_VERSION


class Fighter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One side of a fight.

    `corner` is the official corner, if the source says so; a feed's home and away are *not* corners. A fighter whom
    the fight log does not know is an `unknown_fighter` failure unless `debut` says that no record is expected; the
    biography then stands in for the log's.
    """

    name: Name
    corner: Corner = "unknown"
    debut: bool = False
    date_of_birth: date | None = None
    height_cm: Annotated[float, Meta(gt=100, lt=250)] | None = None
    reach_cm: Annotated[float, Meta(gt=100, lt=270)] | None = None
    stance: Literal["orthodox", "southpaw", "switch"] | None = None


class Quote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bookmaker's decimal prices, by fighter name, and when they were read.

    `commission`: the share of the net winnings that an exchange keeps. Prices are written without it.
    """

    bookmaker: Name
    prices: dict[Name, Price]
    as_of: Moment | None = None
    commission: Commission = 0.0


class Fight(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bout. Fighters may stand in any order; the answers name them.

    `features` (a value for every column of the model; null where it may be missing) replaces the fight log; its
    `red_` columns then mean the first fighter. Without it the worker builds the features from the model's own log.
    `invalid_quotes` are the sentences with which the caller's side turned quotes away; the report repeats them.
    `sport`: the sport or the rules, as the source names them, if it does. A model that was not trained for it answers
    with a typed failure. `same_bout_as`: the id of another fight that is the same bout, on this card or elsewhere, and
    alone may be bet on. `conflicts_with`: ids of fights that exclude this one, because a fighter stands in both.
    """

    id: Identifier
    fighters: tuple[Fighter, Fighter]
    weight_class: Annotated[str, Meta(max_length=60)] | None = None
    scheduled_rounds: Literal[3, 5] | None = None
    title_bout: bool | None = None
    features: Annotated[dict[Name, float | None], Meta(max_length=1000)] | None = None
    quotes: Annotated[tuple[Quote, ...], Meta(max_length=100)] = ()
    invalid_quotes: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    sport: Name | None = None
    same_bout_as: Identifier | None = None
    conflicts_with: Annotated[tuple[Identifier, ...], Meta(max_length=MAX_FIGHTS)] = ()


class IntervalOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which intervals to report. `bootstrap_samples`: null means all replicas of the model, 0 means none."""

    levels: Annotated[tuple[Level, ...], Meta(min_length=1, max_length=8)] = (0.8, 0.95)
    bootstrap_samples: Annotated[int, Meta(ge=0, le=10_000)] | None = None


class DecisionRules(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When to bet.

    A bet needs the interval's lower bound at `level` times the best price to exceed 1, the chosen side's probability
    to reach `min_prediction_confidence`, and that interval to be no wider than `max_uncertainty_threshold`.
    Stakes are Kelly's share of the bankroll at the lower bound times `kelly_fraction`, at most `max_stake_fraction`
    each and `max_card_stake_fraction` together. A fight whose stake would be 0 is no bet.
    """

    level: Level = 0.8
    min_prediction_confidence: Share = 0.5
    max_uncertainty_threshold: Share = 0.4
    kelly_fraction: Share = 0.25
    max_stake_fraction: Share = 0.05
    max_card_stake_fraction: Share = 0.25


class PredictCard(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="predict_card"):
    """A fight card to be answered before `event_start`, or before `deadline` where that is given.

    With `max_quote_age_seconds` a card with an older quote is `stale_odds`, refused at submit or settled when its turn
    comes too late; each quote then needs its `as_of`. Without it, single quotes that are too old are left out: older
    than `quote_age_limit_seconds`, by default a quarter of the time to the event, at least 15 minutes and at most a
    day. The age is that at `priced_at`, when the prices were read; without it, at the newest quote's `as_of`.
    `stake_share`: this card's share of `max_card_stake_fraction`, if the fights of one night come as several cards.
    """

    schema_version: int = field(default_factory=current_schema_version)
    card_id: Identifier
    event_start: Moment
    fights: Annotated[tuple[Fight, ...], Meta(min_length=1, max_length=MAX_FIGHTS)]
    model: Identifier = CHAMPION
    deadline: Moment | None = None
    max_quote_age_seconds: Annotated[float, Meta(gt=0, le=MAX_QUOTE_AGE_SECONDS)] | None = None
    quote_age_limit_seconds: Annotated[float, Meta(gt=0, le=MAX_QUOTE_AGE_SECONDS)] | None = None
    priced_at: Moment | None = None
    stake_share: Share = 1.0
    intervals: IntervalOptions = IntervalOptions()
    rules: DecisionRules = DecisionRules()


class MatrixColumns(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which columns of a ready feature matrix are not features, and what the names of features mean.

    `pairs` are the marks of the two fighters, red's first, beside `red_` and `blue_`: `["r_", "b_"]` begin names,
    `["_red", "_blue"]` end them. `as_is` are features that look like an outcome, or like one fighter's, and are not.
    """

    label: Name
    event: Name
    date: Name
    red_odds: Name | None = None
    blue_odds: Name | None = None
    pairs: tuple[tuple[Name, Name], ...] = ()
    as_is: tuple[Name, ...] = ()


class MemberWeights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each member's share in the ensemble's probability; together 1."""

    random_forest: Share = 0.40
    xgboost: Share = 0.35
    neural_network: Share = 0.25


class DataPlan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every job that reads past fights says: which, and within which limits.

    `data` is a folder with a fight log, or (with `matrix`) a CSV or Parquet file of ready features, readable by the
    training pool. `data_digest` pins its content; a training pool that reads something else refuses the job.
    """

    schema_version: int = field(default_factory=current_schema_version)
    data: Annotated[str, Meta(min_length=1, max_length=4096)]
    data_digest: Digest | None = None
    matrix: MatrixColumns | None = None
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0
    max_memory_mb: Annotated[float, Meta(gt=0)] = 4096.0
    deadline: Moment | None = None


class TrainingPlan(DataPlan, frozen=True, kw_only=True, omit_defaults=True):
    """What every job that trains with settings of its own says besides: how.

    `part_refits` is how many refits a worker takes on at a time, and loses when it dies; it never changes the result.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    bootstrap_samples: Annotated[int, Meta(ge=0, le=10_000)] = 100
    fits: Annotated[int, Meta(ge=1, le=50)] = 5
    folds: Annotated[int, Meta(ge=3, le=50)] = 10
    forest_trees: Annotated[int, Meta(ge=1, le=5000)] = 200
    replica_forest_trees: Annotated[int, Meta(ge=1, le=5000)] = 50
    part_refits: Annotated[int, Meta(ge=1, le=1000)] = 5
    model_weights: MemberWeights = MemberWeights()


class TrainEnsemble(
    TrainingPlan, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="train_ensemble"
):
    """Train an ensemble with its bootstrap replicas and keep it as a bundle.

    Fights on or after `cutoff` are not seen. `alias` names the model when done; where there is a champion, one that is
    to be `champion` becomes `challenger`, until it is promoted.
    """

    cutoff: date | None = None
    alias: Identifier | None = CHAMPION


class Backtest(TrainingPlan, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="backtest"):
    """Train on past fights, answer the ones that followed, and say what the answers were worth.

    Scored are the fights from `first_day` (by default 1 January of the median fight's year) to `last_day` (inclusive;
    by default the last fight's); fights after it are not seen. Every `refit_months` a new model is trained on
    everything before; `max_training_time_seconds` is for all of them together. The replicas only give the half-width
    its floor, for which few are enough.
    """

    first_day: date | None = None
    last_day: date | None = None
    refit_months: Annotated[int, Meta(ge=1, le=600)] = 12
    bootstrap_samples: Annotated[int, Meta(ge=0, le=10_000)] = 20
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 14_400.0


class JudgeModels(DataPlan, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="judge_models"):
    """Compare a challenger with a champion, if there is one, and the market, and say whether it may be promoted.

    Judged are the fights after the last day that any of the models has seen, answered by these very models. With
    `first_day` their recipes are judged instead: models of the same settings are trained on everything before each
    period of `refit_months` from that day on, and answer it; `max_training_time_seconds` is for all of them together.
    `anchor` is one more model that the challenger may not be worse than, and `tries` says how many challengers have
    been judged for the champion's place, this one included: see `ledger.models.promotions`.
    """

    challenger: Digest
    champion: Digest | None = None
    anchor: Digest | None = None
    tries: Annotated[int, Meta(ge=1, le=10_000)] = 1
    first_day: date | None = None
    refit_months: Annotated[int, Meta(ge=1, le=600)] = 12
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 14_400.0


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a job that was cut up, `of` its id. Workers submit parts for each other; callers have no use for them.

    `prepared` is what the whole job was prepared to, in the store of the pools; `name` says which piece of it this is.
    The counts are the sizes that its memory depends on.
    """

    schema_version: int = field(default_factory=current_schema_version)
    of: Identifier
    prepared: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    name: Annotated[str, Meta(pattern="^[a-z]+(-[0-9]+){1,2}$", max_length=40)]
    fights: Annotated[int, Meta(ge=0)]
    columns: Annotated[int, Meta(ge=0)]
    replicas: Annotated[int, Meta(ge=0)] = 0
    fits: Annotated[int, Meta(ge=0)] = 0
    trees: Annotated[int, Meta(ge=1)] = 1
    replica_trees: Annotated[int, Meta(ge=1)] = 1
    max_training_time_seconds: Annotated[float, Meta(gt=0)]
    max_memory_mb: Annotated[float, Meta(gt=0)]
    deadline: Moment | None = None


class TrainPart(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="train_part"):
    """Some refits of a `TrainEnsemble`, such as `replica-10-15`."""


class BacktestPart(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="backtest_part"):
    """The forecasts of one period of a `Backtest`, such as `period-3`, by a model trained on everything before it."""


class CollectGarbage(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="collect_garbage"):
    """Remove models that nothing refers to, and parts of trainings, that are older than so many days.

    `adopt`: also what no ledger has claimed, which is right only if no other ledger uses the store.
    """

    schema_version: int = field(default_factory=current_schema_version)
    keep_days: Annotated[float, Meta(ge=0)] = 7.0
    keep_training_days: Annotated[float, Meta(ge=0)] = 2.0
    dry_run: bool = False
    adopt: bool = False
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class CheckHealth(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="check_health"):
    """Ask a worker to load the model, answer a dummy fight and report its memory.

    `anew`: read and verify the model's files again, though it be open.
    """

    schema_version: int = field(default_factory=current_schema_version)
    model: Identifier = CHAMPION
    anew: bool = False
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class Replay(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="replay"):
    """Make the outcome of a card or a health check again, and compare it with the one that is kept."""

    schema_version: int = field(default_factory=current_schema_version)
    job_id: Identifier
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class Retrain(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="retrain"):
    """Do the same for a training or a backtest, which takes as long as it did. Keeps no model and moves no alias."""

    schema_version: int = field(default_factory=current_schema_version)
    job_id: Identifier
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class ShadowCard(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="shadow_card"):
    """Let another model answer, for the journal alone, a card that bet placers were answered.

    `card` is the job of that card. Workers submit it; its end is in no stream of outcomes.
    """

    schema_version: int = field(default_factory=current_schema_version)
    card: Identifier
    model: Identifier = CHALLENGER
    deadline: Moment | None = None


class ReviewModel(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="review_model"):
    """Hold a model's live answers against the results that are in, and act on an alarm as `on_alarm` says."""

    schema_version: int = field(default_factory=current_schema_version)
    model: Identifier = CHAMPION
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class CompareModels(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="compare_models"):
    """Compare two models and the market on the fights that both have answered and whose results are in."""

    schema_version: int = field(default_factory=current_schema_version)
    champion: Identifier = CHAMPION
    challenger: Identifier = CHALLENGER
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


Job = (
    PredictCard
    | TrainEnsemble
    | Backtest
    | JudgeModels
    | CheckHealth
    | Replay
    | Retrain
    | ShadowCard
    | TrainPart
    | BacktestPart
    | CollectGarbage
    | ReviewModel
    | CompareModels
)
"""Every job that can be submitted."""


class Route(Struct, frozen=True):
    """Where a kind of job runs and how long it may."""

    queue: str
    time_limit_seconds: float


ROUTES: dict[str, Route] = {
    "predict_card": Route("predict", 60.0),
    "check_health": Route("predict", 60.0),
    "shadow_card": Route("monitor", 60.0),
    "review_model": Route("monitor", 300.0),
    "compare_models": Route("monitor", 300.0),
    "train_ensemble": Route("train", 3600.0),
    "backtest": Route("train", 14_400.0),
    "judge_models": Route("train", 14_400.0),
    "replay": Route("predict", 60.0),
    "retrain": Route("train", 14_400.0),
    "train_part": Route("train", 3600.0),
    "collect_garbage": Route("train", 3600.0),
    "backtest_part": Route("train", 14_400.0),
}
QUEUES = tuple(sorted({route.queue for route in ROUTES.values()}))


def kind_of(job: Job) -> str:
    """Return the tag under which the job travels, for example `predict_card`."""
    return str(job.__struct_config__.tag)
