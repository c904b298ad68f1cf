"""The reports about models in production: scores of their live answers, and results of the sequential tests.

Scores are of the last answer to each fight before it began. Intervals around figures are 95% and event-clustered, their
ends absent below ten events; they are for a single reading: repeated readings raise their error. The findings of the
sequential tests may be read at any time.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ledger.contracts.job_reports.backtest_report import CalibrationLine, Estimate, IntervalCoverage, ReliabilityBin
from ledger.contracts.jobs import StateKind, current_schema_version

MonitoringTest = Literal["calibration", "market", "coverage", "features"]
ActionTaken = Literal["none", "abstain", "rollback"]


class Score(Struct, frozen=True, kw_only=True):
    """Score of one forecast on some fights: log loss (nats) and Brier score; lower is better."""

    forecast: Literal["champion", "challenger", "market"]
    log_loss: float
    brier: float


class ScoreDifference(Struct, frozen=True, kw_only=True):
    """One forecast's score minus another's; below 0 the first is better."""

    one: str
    other: str
    log_loss: Estimate
    brier: Estimate


class AnswerStates(Struct, frozen=True, kw_only=True):
    """How many answers of a model came from fresh and from lagging states of the fighters.

    A state lags if a result was known when the answer was given that is later than the state. Answers from no state, or
    from one that was not recorded, count as neither.
    """

    forecast: Literal["champion", "challenger"]
    fresh: int
    lagging: int


class ServedWindow(Struct, frozen=True, kw_only=True):
    """Scores of a model's answers by the state that they came from, as in `AnswerStates`, and by the corner."""

    state: StateKind
    corner: Literal["known", "unknown"]
    fights: int
    log_loss: float
    minus_market: Estimate | None


class ComparisonReport(Struct, frozen=True, kw_only=True, tag_field="kind", tag="comparison_report"):
    """The report of a `CompareModels`, on fights that both models predicted, with a market and a result.

    `waiting` is the number of fights that both predicted and whose results are unknown. `states` is absent if no answer
    has a recorded state.
    """

    schema_version: int = field(default_factory=current_schema_version)
    champion: str
    challenger: str
    fights: int
    events: int
    waiting: int
    void: int
    scores: tuple[Score, ...]
    differences: tuple[ScoreDifference, ...]
    states: tuple[AnswerStates, ...] | UnsetType = UNSET


class ScoreWindow(Struct, frozen=True, kw_only=True):
    """Log loss over the last fights of a model, and its difference from the market's if there were prices."""

    fights: int
    first_day: date
    last_day: date
    log_loss: float
    minus_market: Estimate | None


class SequentialTestResult(Struct, frozen=True, kw_only=True):
    """Result of an anytime-valid test: current and highest e-value, and the alarm threshold."""

    test: MonitoringTest
    e_value: float
    highest: float
    threshold: float
    alarm: bool
    events: int


class FavouriteBin(Struct, frozen=True, kw_only=True):
    """Likelier fighters by level of their interval: mean lower end, share that won, mean upper end.

    Results can test an interval in this way only: over many fights the share must lie between the two ends.
    """

    level: float
    lower: float
    won: Estimate
    upper: float


class FeatureShift(Struct, frozen=True, kw_only=True):
    """Population stability index of a feature: its last predicted fights against the training data."""

    feature: str
    index: float


class ReviewReport(Struct, frozen=True, kw_only=True, tag_field="kind", tag="review_report"):
    """The report of a `ReviewModel`: live answers of a model, as far as results are known.

    `waiting` fights have no result yet, `void` ones ended without a winner, `contradicted` ones have results that
    differ. `proven_gap` is by how much likelier fighters are proven to win more, or less, often than
    predicted. `coverage` counts the market's probabilities inside the intervals. `shifts` are the features that are
    furthest from the training's, over the last fights; a finding of the test `features` warns and raises no alarm.
    `alarm` names the tests whose alarm stands, `action` is what was done about it and `said` describes it. `served` has
    the scores by the states that the answers came from; absent if none is recorded.
    """

    schema_version: int = field(default_factory=current_schema_version)
    model: str
    fights: int
    events: int
    waiting: int
    void: int
    contradicted: int
    windows: Annotated[tuple[ScoreWindow, ...], Meta(max_length=8)] = ()
    calibration: CalibrationLine | None = None
    reliability: Annotated[tuple[ReliabilityBin, ...], Meta(max_length=20)] = ()
    bands: Annotated[tuple[FavouriteBin, ...], Meta(max_length=8)] = ()
    coverage: Annotated[tuple[IntervalCoverage, ...], Meta(max_length=8)] = ()
    proven_gap: float = 0.0
    shifts: Annotated[tuple[FeatureShift, ...], Meta(max_length=20)] = ()
    findings: Annotated[tuple[SequentialTestResult, ...], Meta(max_length=8)] = ()
    alarm: tuple[MonitoringTest, ...] = ()
    action: ActionTaken = "none"
    said: str = ""
    served: Annotated[tuple[ServedWindow, ...], Meta(max_length=4)] | UnsetType = UNSET
