"""Import of another system's estimators as an ensemble that is served like any other.

The ensemble predicts as the originals do: the weighted mean of the members for the red corner first, uncalibrated. If
the corner is unknown, both orders are averaged. It has no replicas and so no sampling interval; it has intervals only
if past fights, later than its training, show its distance from their closing odds (`engine.intervals.half_widths`).
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix, check_features, format_names
from engine.data.fighter_snapshot import FighterSnapshot
from engine.errors import ValidationError
from engine.importing.external_estimators import ExternalEstimator, check_parity, convert_members, probe_rows
from engine.intervals.half_widths import HalfWidths, fit_half_widths, years_before_end
from engine.members.member_stack import MemberStacks
from engine.members.weights import check_weights
from engine.model.trained_ensemble import Ensemble, point_margins
from engine.statistics.calibration import Calibration, brier_score, log_loss
from engine.statistics.complements import logit_to_probability, margin_to_logit
from engine.training.soft_labels import market_logit
from engine.training.train import library_versions

IDENTITY_CALIBRATION = Calibration(slope=1.0, corner_slope=1.0, corner_term=0.0)
MAX_LOG_LOSS_GAIN = 0.02  # in log loss; no forecast from past fights has beaten closing odds by more
_N_REFERENCE_ROWS = 4


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """The ensemble, and the largest difference between a member and its original on the probe rows."""

    ensemble: Ensemble
    max_difference: float


def import_ensemble(
    estimators: Mapping[str, ExternalEstimator],
    columns: Sequence[str],
    weights: Mapping[str, float],
    *,
    trained_until: datetime.date,
    sources: Mapping[str, Any],
    unseen: TrainingMatrix | None = None,
    snapshot: FighterSnapshot | None = None,
) -> ImportedModel:
    """Make an ensemble from estimators.

    Parameters
    ----------
    estimators
        Estimators by member name.
    columns
        Columns of their rows, in order.
    weights
        Weight of each member.
    trained_until
        The last day of the fights that they were fitted on.
    sources
        Description of their files, for the manifest; each has a `sha256`.
    unseen
        Later fights, from which intervals are measured; without them the model has none.
    snapshot
        The fighters' state, if the columns are this system's own.

    Raises
    ------
    ValidationError
        If an estimator cannot be converted exactly, or the columns, weights or fights do not fit.
    TrainingError
        If the market separates the results of `unseen` perfectly.
    """
    check_weights(weights, dict.fromkeys(estimators))
    plan = MirrorPlan.from_columns(columns)
    if np.array_equal(plan.source, np.arange(len(columns))) and (plan.sign > 0).all():
        raise ValidationError(
            f"no column of {format_names(columns)} is named red_, blue_ or diff_, so a swap of the fighters is "
            "undefined: name them so with --columns FILE, one a line, their_name=red_name"
        )
    members = convert_members(estimators)
    difference = check_parity(estimators, members)
    half_widths = HalfWidths.unmeasured()
    metrics: dict[str, float] = {}
    if unseen is not None:
        half_widths, metrics = _measure(unseen, members, plan, columns, weights, trained_until)
    rows = _reference_rows(estimators, members)
    return ImportedModel(
        Ensemble(
            columns=tuple(columns),
            weights=dict(weights),
            point=members,
            replicas=None,
            calibration=IDENTITY_CALIBRATION,
            half_widths=half_widths,
            market_model=None,
            snapshot=snapshot,
            reference_predictions=(rows, logit_to_probability(_logit(members, weights, plan, rows, 0))),
            manifest={
                "kind": "ensemble",
                "imported": dict(sources),
                "data": {"digest": _digest(sources), "cutoff": str(trained_until)},
                "interval_method": half_widths.method if half_widths.is_measured else None,
                "metrics": metrics,
                "versions": library_versions(),
            },
            corner_aware=True,
        ),
        difference,
    )


def _measure(
    unseen: TrainingMatrix,
    members: MemberStacks,
    plan: MirrorPlan,
    columns: Sequence[str],
    weights: Mapping[str, float],
    trained_until: datetime.date,
) -> tuple[HalfWidths, dict[str, float]]:
    """Return half-widths and scores on fights after the training, whose red side has the red corner."""
    if (first := unseen.date.min()) <= np.datetime64(trained_until):
        raise ValidationError(
            f"the fights for measuring intervals begin on {first}, but the model was trained on fights up to "
            f"{trained_until}: give later ones only; on training fights every interval is too narrow"
        )
    missing = all(preprocessing.accepts_missing for preprocessing in members.preprocessing.values())
    values = check_features(unseen.X, columns, allow_missing=missing)
    unknown, known = (_logit(members, weights, plan, values, side) for side in (0, 1))
    market = market_logit(unseen)
    p = logit_to_probability(known)
    metrics = {"log_loss": log_loss(p, unseen.won), "brier": brier_score(p, unseen.won)}
    priced = np.isfinite(market)
    metrics["priced_fights"] = float(priced.sum())
    if priced.any():
        metrics["log_loss_priced"] = log_loss(p[priced], unseen.won[priced])
        metrics["market_log_loss"] = log_loss(logit_to_probability(market[priced]), unseen.won[priced])
        if metrics["log_loss_priced"] < metrics["market_log_loss"] - MAX_LOG_LOSS_GAIN:
            raise ValidationError(
                f"on these fights the model has a log loss of {metrics['log_loss_priced']:.3f}, the closing odds "
                f"{metrics['market_log_loss']:.3f}: it was trained on them, or on data that became known later"
            )
    corners = np.ones(len(unseen), dtype=np.bool_)
    age = years_before_end(unseen.date)
    return fit_half_widths(unknown, known, market, unseen.won, corners, unseen.experience, None, age), metrics


def _logit(members: MemberStacks, weights: Mapping[str, float], plan: MirrorPlan, values: Floats, side: int) -> Floats:
    sides = np.full(len(values), side, dtype=np.int8)
    return margin_to_logit(point_margins(members.by_name(), weights, plan, values, sides)[0])


def _reference_rows(estimators: Mapping[str, ExternalEstimator], members: MemberStacks) -> Floats:
    rows = probe_rows(members, estimators["random_forest"], with_missing=False, seed=1)
    return np.ascontiguousarray(rows[:_N_REFERENCE_ROWS])


def _digest(sources: Mapping[str, Any]) -> str:
    """Return the digest of the estimators' files, which replaces that of the unavailable training data."""
    return hashlib.sha256("".join(sorted(str(source["sha256"]) for source in sources.values())).encode()).hexdigest()
