"""The reports about models in production: what their answers were worth, and what the tests have found.

Scores are of the last answer to each fight before it began. Intervals around figures are 95% and event-clustered, their
ends absent where there are fewer than ten events; they are for a look, and looking often makes them err more often. The
findings may be looked at as often as one likes.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ledger.contracts.backtest_report import CalibrationLine, Coverage, Estimate, ReliabilityBin
from ledger.contracts.jobs import current_schema_version

Test = Literal["calibration", "market", "coverage", "features"]
ActionTaken = Literal["none", "abstain", "rollback"]


class Score(Struct, frozen=True, kw_only=True):
    """What one forecast was worth on some fights, in the log loss (nats) and the Brier score; lower is better."""

    forecast: Literal["champion", "challenger", "market"]
    log_loss: float
    brier: float


class ScoreDifference(Struct, frozen=True, kw_only=True):
    """One forecast's score minus another's; below 0 the first is better."""

    one: str
    other: str
    log_loss: Estimate
    brier: Estimate


class ComparisonReport(Struct, frozen=True, kw_only=True, tag_field="kind", tag="comparison_report"):
    """The answer to a `CompareModels`, on fights that both models answered, with a market and a result.

    `waiting` fights were answered by both and have no result yet.
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


class Window(Struct, frozen=True, kw_only=True):
    """The log loss over the last fights of a model, and its difference from the market's where there were prices."""

    fights: int
    first_day: date
    last_day: date
    log_loss: float
    minus_market: Estimate | None


class Finding(Struct, frozen=True, kw_only=True):
    """What an anytime-valid test has found: the evidence now and at its highest, and where the alarm lies."""

    test: Test
    e_value: float
    highest: float
    threshold: float
    alarm: bool
    events: int


class FavouriteBand(Struct, frozen=True, kw_only=True):
    """Likelier fighters by level of their interval: mean lower end, share that won, mean upper end.

    All that results can say of an interval: over many fights the share must lie between the two.
    """

    level: float
    lower: float
    won: Estimate
    upper: float


class FeatureShift(Struct, frozen=True, kw_only=True):
    """How far a feature of the last answered fights is from the training's: population stability index."""

    feature: str
    index: float


class ReviewReport(Struct, frozen=True, kw_only=True, tag_field="kind", tag="review_report"):
    """The answer to a `ReviewModel`: its live answers, as far as results are in.

    `waiting` fights have no result yet, `void` ones ended without a winner, `contradicted` ones have results that
    differ. `proven_gap` is by how much likelier fighters are proven to win more, or less, often than said. `coverage`
    counts the market's probabilities inside the intervals. `shifts` are the features that are furthest from the
    training's, over the last fights; a finding of the test `features` warns and raises no alarm. `alarm` names the
    tests whose alarm stands, `action` is what was done about it and `said` says it in words.
    """

    schema_version: int = field(default_factory=current_schema_version)
    model: str
    fights: int
    events: int
    waiting: int
    void: int
    contradicted: int
    windows: Annotated[tuple[Window, ...], Meta(max_length=8)] = ()
    calibration: CalibrationLine | None = None
    reliability: Annotated[tuple[ReliabilityBin, ...], Meta(max_length=20)] = ()
    bands: Annotated[tuple[FavouriteBand, ...], Meta(max_length=8)] = ()
    coverage: Annotated[tuple[Coverage, ...], Meta(max_length=8)] = ()
    proven_gap: float = 0.0
    shifts: Annotated[tuple[FeatureShift, ...], Meta(max_length=20)] = ()
    findings: Annotated[tuple[Finding, ...], Meta(max_length=8)] = ()
    alarm: tuple[Test, ...] = ()
    action: ActionTaken = "none"
    said: str = ""
