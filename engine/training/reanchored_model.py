"""Re-anchoring of a trained model: its half-widths and slope, moved by the closing odds of fights after its training.

The fights' features are those before their day, and the members have not seen them, so the forecasts are honest. A
model that was re-anchored before is re-anchored from its training again, with all fights since: the manifest's entry
`anchoring` keeps what the training measured. So the same log gives the same model, in one step or in ten.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import build_matrix
from engine.data.fight_log import FightLog
from engine.errors import ValidationError
from engine.intervals.half_widths import TRACKED_LEVELS, HalfWidths
from engine.intervals.reanchor import NewerFights, reanchor
from engine.model.inference import point_logits
from engine.model.trained_ensemble import Ensemble
from engine.statistics.calibration import Calibration
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit


@dataclass(frozen=True, slots=True)
class MovedLevel:
    """What the re-anchoring did to the intervals of one level.

    Attributes
    ----------
    level : float
        The confidence level.
    inside : float
        Share of the newer closes inside the intervals of before their event, the corner as it was known.
    width_before, width_after : float
        Mean width as a probability over these fights, corner unknown: as trained, and re-anchored.
    """

    level: float
    inside: float
    width_before: float
    width_after: float


@dataclass(frozen=True, slots=True, eq=False)
class ReanchoredModel:
    """A re-anchored model, and how it got there.

    Attributes
    ----------
    ensemble : Ensemble
        The model with moved half-widths and calibration, and reference predictions to match.
    fights : int
        Fights after the training that had closing odds.
    slope_factor : float
        Factor of the logits of the model as trained.
    levels : tuple of MovedLevel
        The effect on each tracked level.
    """

    ensemble: Ensemble
    fights: int
    slope_factor: float
    levels: tuple[MovedLevel, ...]


def reanchor_model(ensemble: Ensemble, log: FightLog) -> ReanchoredModel:
    """Return the model with half-widths and slope moved by all fights of the log after its training.

    Raises
    ------
    ValidationError
        If no later fight has closing odds, or the model's half-widths were not measured on closing odds.
    """
    trained = _as_trained(ensemble)
    fights = _newer_fights(ensemble, log)
    values = fights.X[list(ensemble.columns)].to_numpy(np.float64)
    corner = fights.corner_known.astype(np.int8)
    unknown, known = (point_logits(trained, values, sides)[0] for sides in (np.zeros_like(corner), corner))
    market = market_logit(fights)
    found = reanchor(
        trained.half_widths,
        trained.calibration,
        NewerFights(
            unknown_logit=unknown,
            known_logit=known,
            market_logit=market,
            corner_known=fights.corner_known,
            experience=fights.experience,
            event=fights.event,
        ),
    )
    entry = {
        "until": str(fights.date.max()),
        "slope_factor": found.slope_factor,
        "trained": {
            "calibration": asdict(trained.calibration),
            "moved_levels": [list(levels) for levels in trained.half_widths.moved_levels],
        },
    }
    moved = replace(
        trained,
        half_widths=found.half_widths,
        calibration=found.calibration,
        manifest=ensemble.manifest | {"anchoring": entry},
    )
    rows = ensemble.reference_predictions[0]
    expected = logit_to_probability(point_logits(moved, rows, np.zeros(len(rows), dtype=np.int8))[0])
    priced = np.isfinite(market)
    widths = [
        _mean_widths(model.half_widths, logit[priced], fights.experience[priced])
        for model, logit in ((trained, unknown), (moved, found.slope_factor * unknown))
    ]
    return ReanchoredModel(
        ensemble=replace(moved, reference_predictions=(rows, expected)),
        fights=found.fights,
        slope_factor=found.slope_factor,
        levels=tuple(
            MovedLevel(level, inside, before, after)
            for level, inside, before, after in zip(TRACKED_LEVELS, found.inside, *widths, strict=True)
        ),
    )


def _as_trained(ensemble: Ensemble) -> Ensemble:
    """Return the model with the half-widths and the calibration of its training."""
    entry: dict[str, Any] | None = ensemble.manifest.get("anchoring")
    if entry is None:
        return ensemble
    unknown, known = entry["trained"]["moved_levels"]
    return replace(
        ensemble,
        calibration=Calibration(**entry["trained"]["calibration"]),
        half_widths=replace(ensemble.half_widths, moved_levels=(tuple(unknown), tuple(known))),
    )


def _newer_fights(ensemble: Ensemble, log: FightLog) -> TrainingMatrix:
    """Return the fights after the model's training, in order of day and event."""
    keep_gaps = ensemble.snapshot is not None and ensemble.snapshot.keep_gaps
    matrix = build_matrix(log, keep_gaps=keep_gaps)
    newer = matrix.take(matrix.date > np.datetime64(ensemble.data_cutoff))
    if not ensemble.accepts_missing:
        newer = newer.take(~np.isnan(newer.X[list(ensemble.columns)].to_numpy(np.float64)).any(axis=1))
    if not len(newer):
        raise ValidationError(
            f"the fight log has no decided fight after {ensemble.data_cutoff}, the last day of the model's training "
            "data: append the newer fights with their closing odds before re-anchoring"
        )
    return newer.take(np.lexsort((newer.event, newer.date)))


def _mean_widths(half_widths: HalfWidths, logit: Floats, experience: NDArray[np.int64]) -> list[float]:
    corner_known = np.zeros(len(logit), dtype=np.bool_)
    ends = [half_widths.bounds(logit, level, corner_known, experience) for level in TRACKED_LEVELS]
    return [float(np.mean(logit_to_probability(upper) - logit_to_probability(lower))) for lower, upper in ends]
