"""The jobs that a caller can submit.

Each kind is a frozen msgspec type, JSON on the wire, tagged by `kind` and with its schema version. Unknown fields are
ignored, so that an older worker can read a newer caller's job; sizes are limited here, on decoding.
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
MAX_DECLARED_BOUTS = 200
MIN_AMERICAN = 100  # smallest absolute value of an American price
MIN_OVERROUND = 0.98  # a lower sum of inverse prices is a misread price: sure profit against its maker
MAX_OVERROUND = 1.20  # a higher one is a suspended or misread market
CHAMPION = "champion"  # alias of the model that answers cards, unless they name another
CHALLENGER = "challenger"  # alias of the model that answers them for the prediction log only

# `codec.check_job` refuses blank names: a pattern here would take longer than all other decoding of a card.
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
Moment = Annotated[datetime, Meta(tz=True)]
Price = Annotated[float, Meta(gt=1.0, le=MAX_PRICE)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Commission = Annotated[float, Meta(ge=0.0, lt=1.0)]
BoutCount = Annotated[int, Meta(ge=0, le=MAX_DECLARED_BOUTS)]
Level = Annotated[float, Meta(gt=0.0, lt=1.0)]
Corner = Literal["red", "blue", "unknown"]
DevigMethod = Literal["power", "proportional", "shin", "odds_ratio", "logarithmic"]
StateKind = Literal["fresh", "lagging"]
SourceFormat = Literal["auto", "ufcstats", "ultimate", "kaggle", "scores", "tables"]


def current_schema_version() -> int:
    """Return the current schema version. A factory and not a default: defaults are omitted on the wire."""
    return SCHEMA_VERSION


class DeclaredRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A debutant's professional record before the fight log, as the caller knows it.

    Wins and losses by method are parts of `wins` and `losses`; null if unknown. `last_bout` is before the fight.
    """

    wins: BoutCount
    losses: BoutCount
    draws: BoutCount = 0
    knock_out_wins: BoutCount | None = None
    submission_wins: BoutCount | None = None
    knock_out_losses: BoutCount | None = None
    submission_losses: BoutCount | None = None
    last_bout: date | None = None


class Fighter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One side of a fight.

    `corner` is the official corner, if the source gives it; a feed's home and away are *not* corners. A fighter missing
    from the fight log is an `unknown_fighter` failure, unless `debut` declares that no record is expected; the
    biography then replaces the log's. `record` is that of a debutant elsewhere, and needs `debut`.
    """

    name: Name
    corner: Corner = "unknown"
    debut: bool = False
    date_of_birth: date | None = None
    height_cm: Annotated[float, Meta(gt=100, lt=250)] | None = None
    reach_cm: Annotated[float, Meta(gt=100, lt=270)] | None = None
    stance: Literal["orthodox", "southpaw", "switch"] | None = None
    record: DeclaredRecord | None = None


class Quote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bookmaker's decimal prices by fighter name, and the time at which they were read.

    `commission`: share of the net winnings that an exchange keeps. Prices are given without it.
    """

    bookmaker: Name
    prices: dict[Name, Price]
    as_of: Moment | None = None
    commission: Commission = 0.0


class Fight(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bout. Fighters may be listed in any order; answers name them.

    `features` (a value for every column of the model; null if it may be missing) replaces the fight log; its `red_`
    columns then mean the first fighter. Without it the worker builds the features from the model's own log.
    `invalid_quotes` are the messages with which the caller's side refused quotes; the report repeats them. `sport`: the
    sport or rules as the source names them, if it does; a model that was not trained for it answers with a typed
    failure. `same_bout_as`: id of another fight that is the same bout, on this card or elsewhere, and the only one to
    bet on. `conflicts_with`: ids of fights that exclude this one, because they share a fighter.
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
    """Rules for betting.

    A bet needs the interval's lower bound at `level` times the best price to exceed 1, the chosen side's probability to
    reach `min_prediction_confidence`, and that interval to be no wider than `max_uncertainty_threshold`. Stakes are
    the shares of the bankroll with the greatest mean log growth of all bets of the card together (Kelly's of a single
    bet), at the lower bounds, times `kelly_fraction`, at most `max_stake_fraction` each and `max_card_stake_fraction`
    together, and in the room that open bets leave. A fight whose stake would be 0 is no bet.
    """

    level: Level = 0.8
    min_prediction_confidence: Share = 0.5
    max_uncertainty_threshold: Share = 0.4
    kelly_fraction: Share = 0.25
    max_stake_fraction: Share = 0.05
    max_card_stake_fraction: Share = 0.25


class PredictCard(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="predict_card"):
    """A fight card to be answered before `event_start`, or before `deadline` if given.

    With `max_quote_age_seconds` a card with an older quote is `stale_odds`: refused at submit, or settled so if
    it is claimed too late; each quote then needs its `as_of`. Without it, single quotes that are too old are
    left out: older than `quote_age_limit_seconds`, by default a quarter of the time to the event, at least 15 minutes
    and at most a day. The age is taken at `priced_at`, when the prices were read; without it, at the newest quote's
    `as_of`. `stake_share`: this card's share of `max_card_stake_fraction`, if the fights of one night come as
    several cards. `contributions`: true for answers with `Contributions` of the groups of features.
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
    devig_method: DevigMethod = "power"
    intervals: IntervalOptions = IntervalOptions()
    rules: DecisionRules = DecisionRules()
    contributions: bool = False


class MatrixColumns(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Non-feature columns of a feature matrix, and the marks in the names of its features.

    `pairs` are the marks of the two fighters, red's first, besides `red_` and `blue_`: `["r_", "b_"]` begin names,
    `["_red", "_blue"]` end them. `as_is` are features whose names look like an outcome, or like one fighter's, and are
    neither.
    """

    label: Name
    event: Name
    date: Name
    red_odds: Name | None = None
    blue_odds: Name | None = None
    pairs: tuple[tuple[Name, Name], ...] = ()
    as_is: tuple[Name, ...] = ()


class MemberWeights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weight of each member in the ensemble's probability; they sum to 1."""

    random_forest: Share = 0.40
    xgboost: Share = 0.35
    neural_network: Share = 0.25


class DataPlan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of every job that reads past fights: the data and the limits.

    `data` is a folder with a fight log, or (with `matrix`) a CSV or Parquet file with a feature matrix, readable by the
    training pool. `data_digest` pins its content; a training pool that reads other content refuses the job.
    """

    schema_version: int = field(default_factory=current_schema_version)
    data: Annotated[str, Meta(min_length=1, max_length=4096)]
    data_digest: Digest | None = None
    matrix: MatrixColumns | None = None
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0
    max_memory_mb: Annotated[float, Meta(gt=0)] = 4096.0
    deadline: Moment | None = None


class TrainingPlan(DataPlan, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of every job that trains with settings of its own.

    `part_refits` is how many refits a worker runs as one part, and repeats if it dies; it never changes the result.
    With `past_odds` a model of a fight log learns from the closing odds of past fights, too: from the rating that they
    move, and in its labels. Without it the model learns from statistics and results alone.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    bootstrap_samples: Annotated[int, Meta(ge=0, le=10_000)] = 100
    fits: Annotated[int, Meta(ge=1, le=50)] = 5
    folds: Annotated[int, Meta(ge=3, le=50)] = 10
    forest_trees: Annotated[int, Meta(ge=1, le=5000)] = 200
    replica_forest_trees: Annotated[int, Meta(ge=1, le=5000)] = 50
    part_refits: Annotated[int, Meta(ge=1, le=1000)] = 5
    model_weights: MemberWeights = MemberWeights()
    past_odds: bool = True


class TrainEnsemble(
    TrainingPlan, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="train_ensemble"
):
    """Train an ensemble with its bootstrap replicas and store it as a bundle.

    Fights on or after `cutoff` are not used. `alias` names the model when done; if there is a champion, a model for
    `champion` becomes `challenger` until it is promoted.
    """

    cutoff: date | None = None
    alias: Identifier | None = CHAMPION


class Backtest(TrainingPlan, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="backtest"):
    """Train on past fights, predict the ones that followed, and score the predictions.

    Scored are the fights from `first_day` (by default 1 January of the median fight's year) to `last_day` (inclusive;
    by default the last fight's); later fights are not used. Every `refit_months` a new model is trained on everything
    before; `max_training_time_seconds` is for all of them together. The replicas only give the half-width its floor,
    for which few are enough.
    """

    first_day: date | None = None
    last_day: date | None = None
    refit_months: Annotated[int, Meta(ge=1, le=600)] = 12
    bootstrap_samples: Annotated[int, Meta(ge=0, le=10_000)] = 20
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 14_400.0


class JudgeModels(DataPlan, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="judge_models"):
    """Compare a challenger with a champion, if there is one, and the market, and decide whether it may be promoted.

    Compared are the fights after the last day that any of the models has seen, predicted by these very models. With
    `first_day` their recipes are compared instead: models of the same settings are trained on everything before each
    period of `refit_months` from that day on, and predict it; `max_training_time_seconds` is for all of them together.
    `state` names the answers that are compared: from `fresh` states of the fighters, updated after each event, or from
    `lagging` ones, those of each model's own snapshot. Choose the one that production serves.
    `anchor` is one more model that the challenger may not be worse than, and `tries` is how many challengers have been
    compared for the champion's place, this one included: see `ledger.models.promotions`.

    Each model is a digest or an alias, which is resolved when the job is claimed; the report has the digests. With an
    alias as `champion` the worker does what `cornerman models promote` does before: it compares with the alias's
    anchor, too, unless one is named, and counts the comparison as a try for the alias.
    """

    challenger: Identifier
    champion: Identifier | None = None
    anchor: Identifier | None = None
    tries: Annotated[int, Meta(ge=1, le=10_000)] = 1
    first_day: date | None = None
    refit_months: Annotated[int, Meta(ge=1, le=600)] = 12
    state: StateKind = "fresh"
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 14_400.0


class UpdateModel(DataPlan, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="update_model"):
    """Make a model of the same members with the fighters' state after the last fight of a newer fight log.

    `base` is the model that is renewed, an alias or a digest; the log continues the one that its state comes from.
    Fights on or after `cutoff` are not used. With `reanchor` half-widths and slope are moved by the closing odds of the
    fights after the members' training, too. No alias is moved.
    """

    base: Identifier = CHAMPION
    cutoff: date | None = None
    reanchor: bool = False
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 600.0


class JobPart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a job that was divided. Workers submit parts for each other; callers need not.

    `of` is the id of the whole job, `prepared` the digest of its prepared data in the pools' store; `name` identifies
    the part. The counts are the sizes on which its memory depends.
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


class TrainPart(JobPart, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="train_part"):
    """Some refits of a `TrainEnsemble`, such as `replica-10-15`."""


class BacktestPart(JobPart, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="backtest_part"):
    """The forecasts of one period of a `Backtest`, such as `period-3`, by a model trained on everything before it."""


class CollectGarbage(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="collect_garbage"):
    """Remove unreferenced models, and parts of trainings, older than the given number of days.

    `adopt`: also remove bundles that no ledger has claimed; use it only if no other ledger uses the store.
    """

    schema_version: int = field(default_factory=current_schema_version)
    keep_days: Annotated[float, Meta(ge=0)] = 7.0
    keep_training_days: Annotated[float, Meta(ge=0)] = 2.0
    dry_run: bool = False
    adopt: bool = False
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class CheckHealth(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="check_health"):
    """Ask a worker to load the model, predict a dummy fight and report its memory.

    `anew`: read and verify the model's files again, even if the model is loaded.
    """

    schema_version: int = field(default_factory=current_schema_version)
    model: Identifier = CHAMPION
    anew: bool = False
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class Replay(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="replay"):
    """Recompute the outcome of a card or a health check, and compare it with the stored one."""

    schema_version: int = field(default_factory=current_schema_version)
    job_id: Identifier
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class ReproduceTraining(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="retrain"):
    """Recompute a training or a backtest, which takes as long as it did. Keeps no model and moves no alias."""

    schema_version: int = field(default_factory=current_schema_version)
    job_id: Identifier
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class ShadowCard(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="shadow_card"):
    """Let another model predict a card that was answered for bet placers, for the prediction log only.

    `card` is the job of that card. Workers submit it; its outcome is not in the stream of outcomes.
    """

    schema_version: int = field(default_factory=current_schema_version)
    card: Identifier
    model: Identifier = CHALLENGER
    deadline: Moment | None = None


class ReviewModel(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="review_model"):
    """Compare a model's live answers with the known results, and act on a drift alarm as `on_alarm` says."""

    schema_version: int = field(default_factory=current_schema_version)
    model: Identifier = CHAMPION
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class CompareModels(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="compare_models"):
    """Compare two models and the market on the fights that both predicted and whose results are known."""

    schema_version: int = field(default_factory=current_schema_version)
    champion: Identifier = CHAMPION
    challenger: Identifier = CHALLENGER
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class ArchivePrices(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="archive_prices"):
    """Write the price histories of all fights into the store, and remove old ones from the server.

    Removed are those of fights that neither start nor have been read within the last `keep_days`, once the archive has
    them.
    """

    schema_version: int = field(default_factory=current_schema_version)
    keep_days: Annotated[float, Meta(ge=0)] = 30.0
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class ArchiveOutcomes(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="archive_outcomes"):
    """Move outcomes to the archive that were settled more than `keep_days` ago, or whose retention ends soon.

    They are removed from the server once the archive has them. Outcomes in the archive are removed `keep_archived_days`
    after they were settled; by default never.
    """

    schema_version: int = field(default_factory=current_schema_version)
    keep_days: Annotated[float, Meta(ge=0)] = 3.0
    keep_archived_days: Annotated[float, Meta(gt=0)] | None = None
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class SettleBets(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="settle_bets"):
    """Settle the open bets whose results are known, by the result as it was announced."""

    schema_version: int = field(default_factory=current_schema_version)
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class ReviewBets(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="review_bets"):
    """Review the settled bets of a mode, and what abstaining has cost or saved.

    Without `mode` the bets of the present mode are reviewed. `since` and `until` are about the start of the card.
    `rule`: only bets by the rules whose digest begins so. `rules_tried`: how many rules were tried in all, if that is
    more than those that have bets.
    """

    schema_version: int = field(default_factory=current_schema_version)
    mode: Literal["paper", "live"] | None = None
    since: Moment | None = None
    until: Moment | None = None
    rule: Annotated[str, Meta(pattern="^[0-9a-f]{4,64}$")] | None = None
    rules_tried: Annotated[int, Meta(ge=0, le=1_000)] = 0
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


class LinkChoice(Struct, frozen=True, kw_only=True):
    """An operator's link of a source's fight or fighter to one of the log; `new` as `log_id` means none of them."""

    kind: Literal["fight", "fighter"]
    source: Name
    source_id: Identifier
    log_id: Identifier


class UpdateFightLog(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="update_fight_log"):
    """Import sources into the fight log in the folder `log`, and add their results to the ledger.

    `sources` are files and folders that the monitoring pool can read: exports of UFC Stats, the public tables, scores,
    or tables of a fight log; `format` says which, if that is not to be found out. Any fault refuses all of them, unless
    `skip_faulty` imports the rest. With `dry_run` nothing is written. `closes`: fill in closing prices that the ledger
    has kept. `links` are choices where a fight or fighter is ambiguous.
    """

    schema_version: int = field(default_factory=current_schema_version)
    log: Annotated[str, Meta(min_length=1, max_length=4096)]
    sources: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=4096)], ...], Meta(max_length=100)] = ()
    format: SourceFormat = "auto"
    skip_faulty: bool = False
    dry_run: bool = False
    closes: bool = True
    links: Annotated[tuple[LinkChoice, ...], Meta(max_length=1000)] = ()
    nonce: Annotated[str, Meta(max_length=64)] = ""
    deadline: Moment | None = None


Job = (
    PredictCard
    | TrainEnsemble
    | Backtest
    | JudgeModels
    | CheckHealth
    | Replay
    | ReproduceTraining
    | ShadowCard
    | TrainPart
    | BacktestPart
    | CollectGarbage
    | ReviewModel
    | CompareModels
    | UpdateModel
    | ArchivePrices
    | ArchiveOutcomes
    | SettleBets
    | ReviewBets
    | UpdateFightLog
)
"""Every job that can be submitted."""


class Route(Struct, frozen=True):
    """The queue of a kind of job, and the time limit of one attempt."""

    queue: str
    time_limit_seconds: float


ROUTES: dict[str, Route] = {
    "predict_card": Route("predict", 60.0),
    "check_health": Route("predict", 60.0),
    "shadow_card": Route("monitor", 60.0),
    "review_model": Route("monitor", 300.0),
    "compare_models": Route("monitor", 300.0),
    "archive_prices": Route("monitor", 600.0),
    "archive_outcomes": Route("monitor", 3600.0),
    "settle_bets": Route("monitor", 300.0),
    "review_bets": Route("monitor", 300.0),
    "train_ensemble": Route("train", 3600.0),
    "backtest": Route("train", 14_400.0),
    "judge_models": Route("train", 14_400.0),
    "update_model": Route("train", 600.0),
    "update_fight_log": Route("monitor", 600.0),
    "replay": Route("predict", 60.0),
    "retrain": Route("train", 14_400.0),
    "train_part": Route("train", 3600.0),
    "collect_garbage": Route("train", 3600.0),
    "backtest_part": Route("train", 14_400.0),
}
QUEUES = tuple(sorted({route.queue for route in ROUTES.values()}))


def kind_of(job: Job) -> str:
    """Return the wire tag of a job, for example `predict_card`."""
    return str(job.__struct_config__.tag)
