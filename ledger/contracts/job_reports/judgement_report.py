"""The report of a model comparison before promotion: two models and the market on the same fights, and the verdict.

Intervals are 95% and event-clustered; their ends are absent if there are too few events. Figures that need odds are
absent if the fights have none.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.jobs import StateKind, current_schema_version

ForecastRole = Literal["challenger", "champion", "anchor", "market", "base_rate"]

GateReasonCode = Literal[
    "worse_than_champion",
    "maybe_worse_than_champion",
    "worse_than_anchor",
    "maybe_worse_than_anchor",
    "no_better_than_base_rate",
    "uncalibrated_slope",
    "uncalibrated_intercept",
    "no_intervals",
    "intervals_too_narrow",
    "intervals_too_wide",
]


class EvaluatedCoverage(Struct, frozen=True, kw_only=True):
    """Intervals at one level: share of recalibrated closing logits inside, and mean width as a probability."""

    level: float
    inside: Estimate | None
    width: Estimate


class EvaluatedForecast(Struct, frozen=True, kw_only=True):
    """One forecast of the fights. `slope` and `intercept` are of results on its logit: 1 and 0 are perfect.

    `base_rate` gives every fighter one half. `intercept` is present if the forecast knew the official corner.
    """

    forecast: ForecastRole
    log_loss: Estimate
    brier: Estimate
    slope: Estimate | None = None
    intercept: Estimate | None = None
    coverage: Annotated[tuple[EvaluatedCoverage, ...], Meta(max_length=8)] = ()


class PairedDifference(Struct, frozen=True, kw_only=True):
    """Challenger minus another forecast, fight by fight; lower is better.

    `most`: upper confidence bound of the true difference of the log loss, exceeded with at most the probability `error`
    of the report; absent if there are too few events.
    """

    against: ForecastRole
    log_loss: Estimate
    brier: Estimate
    most: float | None = None


class ServedForecast(Struct, frozen=True, kw_only=True):
    """Log loss of a model's answers by how they are served.

    `state` is `fresh` if fighters' states are updated after each event, and `lagging` if they are those of the model's
    own snapshot (in a walk-forward, of the last refit). `corner` is whether the caller names the official corner.
    """

    forecast: ForecastRole
    state: StateKind
    corner: Literal["known", "unknown"]
    log_loss: Estimate
    minus_market: Estimate | None


class ServedComparison(Struct, frozen=True, kw_only=True):
    """How the compared answers are served: `state` names the fighters' states that they come from.

    Answers of a model without a snapshot, and on a feature matrix, come from the rows of the data. `forecasts` has the
    log losses from both states.
    """

    state: StateKind
    forecasts: Annotated[tuple[ServedForecast, ...], Meta(max_length=16)]


class GateReason(Struct, frozen=True, kw_only=True):
    """Why a challenger is refused: a code to switch on, and a sentence with the figures."""

    code: GateReasonCode
    message: str


class PromotionVerdict(Struct, frozen=True, kw_only=True):
    """Decision on a promotion, and every reason against it.

    `remarks`: what would be a reason if the models that it is compared with were not as far off.
    """

    promote: bool
    reasons: Annotated[tuple[GateReason, ...], Meta(max_length=16)] = ()
    remarks: Annotated[tuple[GateReason, ...], Meta(max_length=16)] = ()


class JudgementReport(Struct, frozen=True, kw_only=True, tag_field="kind", tag="judgement_report"):
    """The report of a `JudgeModels`.

    `held_out`: the very models predicted fights after the last day that either has seen. `walk_forward`: models
    of the same settings were trained on the past of each period (`trained` of them) and predicted it. `same_recipe`:
    both have the same settings, so that a walk-forward cannot distinguish them.

    `anchor` is the other model that the challenger may not be worse than (see `ledger.models.promotions`). `tries`
    challengers were compared for the champion's place, this one included, and `error` is the error probability left to
    this try. `forecasts` are what production answers to the fights of an odds feed, which names no corner;
    `corner_known` those with the official corner, of the fights whose corners the data contain. `recalibrated` is true
    if all closing odds that intervals were compared with were recalibrated on earlier fights.
    Reports of earlier versions lack `served`; their answers came from fresh states.
    """

    schema_version: int = field(default_factory=current_schema_version)
    challenger: str
    champion: str | None
    data_digest: str
    method: Literal["held_out", "walk_forward"]
    same_recipe: bool
    trained: int
    first_day: date
    last_day: date
    fights: int
    priced_fights: int
    events: int
    forecasts: Annotated[tuple[EvaluatedForecast, ...], Meta(max_length=8)]
    paired: Annotated[tuple[PairedDifference, ...], Meta(max_length=8)]
    verdict: PromotionVerdict
    anchor: str | None = None
    tries: int = 1
    error: float | None = None
    corner_known: Annotated[tuple[EvaluatedForecast, ...], Meta(max_length=8)] = ()
    recalibrated: bool = True
    served: ServedComparison | UnsetType = UNSET
