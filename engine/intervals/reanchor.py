"""Re-anchoring: half-widths and calibration moved by closing odds that are newer than the training.

A model is trained once, and its half-widths are those of its training fights. Markets change: on the fights of some
years the 80% interval of a model that stays as it is holds 90% of closes, on those of others 77%. After each newer
event two things are moved, and the members stay what they are:

- **Levels**, by adaptive conformal inference (Gibbs and Candes 2021): for each level L of TRACKED_LEVELS the quantile
  of the training distances is taken at a level a, and a <- a + g (misses - (1 - L) fights), where a miss is a close
  outside the interval of before the event. As long as a is not clipped, the share of misses over n fights differs from
  1 - L by at most |change of a| / (g n), whatever the market does.
- **Slope**: the calibrated logit is multiplied by the factor k that maximises the log likelihood of the recalibrated
  closing probabilities of all newer fights, with a normal prior of mean 1.

Sizes of the steps and prior: `benchmarks.intervals.recipes`, see docs/decisions.md. Nothing here is random: the same
model and the same fights give the same bits.

References
----------
Gibbs and Candes (2021), "Adaptive conformal inference under distribution shift".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.intervals.half_widths import (
    TRACKED_LEVELS,
    HalfWidths,
    WeightedDistances,
    experience_class,
    interval_distance,
)
from engine.statistics.calibration import Calibration
from engine.statistics.complements import logit_to_probability

LEVEL_STEPS = (0.02, 0.01)
"""Step of each of TRACKED_LEVELS for one fight."""
SLOPE_PRIOR_SD = 0.1
LOWEST_MOVED_LEVEL, HIGHEST_MOVED_LEVEL = 0.3, 0.999
_NEWTON_STEPS = 8


@dataclass(frozen=True, slots=True, eq=False)
class NewerFights:
    """Fights later than a model's training, in order of date; all arrays have length n.

    Attributes
    ----------
    unknown_logit, known_logit
        The model's calibrated logits of the first fighter, without and with the corner term, float64.
    market_logit
        De-vigged closing logit of the first fighter, float64, NaN without odds; such fights move nothing.
    corner_known
        True if the first fighter had the official red corner, False if the corner is unknown.
    experience
        Earlier fights of the less experienced fighter, int64, -1 if unknown.
    event
        Name of the event, str; its fights are consecutive.
    """

    unknown_logit: Floats
    known_logit: Floats
    market_logit: Floats
    corner_known: NDArray[np.bool_]
    experience: NDArray[np.int64]
    event: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Raise ValidationError if the lengths differ, or if a logit is not finite."""
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValidationError(f"arrays of newer fights differ in length: {lengths}")
        for name in ("unknown_logit", "known_logit"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValidationError(f"{name} of a newer fight is not finite: predict it before re-anchoring")


@dataclass(frozen=True, slots=True, eq=False)
class Reanchored:
    """A model's interval and calibration after newer closes, and how they got there.

    Attributes
    ----------
    half_widths, calibration
        The moved ones.
    slope_factor
        Factor of the calibrated logit.
    fights
        Newer fights with closing odds.
    inside
        Share of their closes inside the intervals of before their event, the corner as it was known, by TRACKED_LEVELS.
    """

    half_widths: HalfWidths
    calibration: Calibration
    slope_factor: float
    fights: int
    inside: tuple[float, ...]


def reanchor(half_widths: HalfWidths, calibration: Calibration, newer: NewerFights) -> Reanchored:
    """Move half-widths and calibration by the closing odds of newer fights, one event after the other.

    Start from the model as trained and all fights since, rather than from one that was already moved: the prior of the
    slope is centred on the given calibration.

    Parameters
    ----------
    half_widths, calibration
        Those of the model that predicted the newer fights.
    newer
        The fights.

    Raises
    ------
    ValidationError
        If the model's half-widths were not measured on closing odds, if a fight's event is not consecutive, or if no
        fight has closing odds.
    """
    priced = np.isfinite(newer.market_logit)
    if not priced.any():
        raise ValidationError("no newer fight has closing odds: append them to the fight log before re-anchoring")
    anchor = _MovingAnchor(half_widths, newer)
    missed = np.concatenate([anchor.observe(rows) for rows in _event_rows(newer.event)])
    return Reanchored(
        half_widths=anchor.half_widths,
        calibration=calibration.scaled(anchor.factor),
        slope_factor=anchor.factor,
        fights=int(priced.sum()),
        inside=tuple(float(share) for share in 1.0 - missed[priced].mean(axis=0)),
    )


def reanchored_before_each_event(
    half_widths: HalfWidths, newer: NewerFights
) -> Iterator[tuple[slice, HalfWidths, float]]:
    """Yield the rows of each event, and the half-widths and the slope's factor that earlier events give.

    So a walk-forward evaluation scores a model that is re-anchored after each event.

    Parameters
    ----------
    half_widths, newer
        As for `reanchor`; it does not matter whether any fight has closing odds.
    """
    anchor = _MovingAnchor(half_widths, newer)
    for rows in _event_rows(newer.event):
        yield rows, anchor.half_widths, anchor.factor
        anchor.observe(rows)


class _MovingAnchor:
    """Half-widths and the factor of the slope after the events observed so far."""

    def __init__(self, half_widths: HalfWidths, newer: NewerFights) -> None:
        if half_widths.method != "anchored" or half_widths.market_slope is None:
            raise ValidationError(
                "the model's half-widths were not measured on closing odds, or by an earlier version: train a model on "
                "fights with odds before re-anchoring it"
            )
        self.factor = 1.0
        self._start = half_widths
        self._newer = newer
        self._market = half_widths.market_slope * newer.market_logit
        self._own = np.where(newer.corner_known, newer.known_logit, newer.unknown_logit)
        self._trackers = [_LevelTracker(half_widths, state) for state in (0, 1)]

    @property
    def half_widths(self) -> HalfWidths:
        moved = tuple(tuple(tracker.levels) for tracker in self._trackers)
        return replace(self._start, moved_levels=(moved[0], moved[1]))

    def observe(self, rows: slice) -> NDArray[np.bool_]:
        """Move by the closes of an event, and return which were outside before, (m, levels); False without odds."""
        newer, market = self._newer, self._market
        missed = np.zeros((rows.stop - rows.start, len(TRACKED_LEVELS)), dtype=np.bool_)
        for state, logit in enumerate((newer.unknown_logit, newer.known_logit)):
            usable = np.isfinite(market[rows])
            if state:
                usable &= newer.corner_known[rows]
            seen = np.arange(rows.start, rows.stop)[usable]
            distance = interval_distance(self.factor * logit[seen], market[seen], self._start.outward)
            outside = self._trackers[state].observe(distance, newer.experience[seen])
            shown = newer.corner_known[seen] == bool(state)
            missed[seen[shown] - rows.start] = outside[shown]
        past = np.flatnonzero(np.isfinite(market[: rows.stop]))
        self.factor = _slope_factor(self._own[past], market[past], self.factor)
        return missed


class _LevelTracker:
    """The moved levels of one corner state."""

    def __init__(self, half_widths: HalfWidths, state: int) -> None:
        self.levels = list(half_widths.moved_levels[state])
        self._groups: list[WeightedDistances] = half_widths.class_distances(state)

    def observe(self, distance: Floats, experience: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Move the levels by the distances of one event, (m,), and return which were outside before, (m, levels)."""
        classes = experience_class(experience)
        outside = np.empty((len(distance), len(TRACKED_LEVELS)), dtype=np.bool_)
        for index, level in enumerate(TRACKED_LEVELS):
            half_width = np.array([group.quantile(self.levels[index]) for group in self._groups])
            outside[:, index] = distance > half_width[classes]
            step = LEVEL_STEPS[index] * (float(outside[:, index].sum()) - (1.0 - level) * len(distance))
            self.levels[index] = min(max(self.levels[index] + step, LOWEST_MOVED_LEVEL), HIGHEST_MOVED_LEVEL)
        self.levels[1] = max(self.levels)  # a higher level is never narrower
        return outside


def _event_rows(event: NDArray[np.str_]) -> list[slice]:
    """Return the rows of each event. Raises ValidationError if one is torn apart."""
    starts = np.flatnonzero(np.append(True, event[1:] != event[:-1]))
    if len(starts) > len(np.unique(event)):
        raise ValidationError("the newer fights of an event are not consecutive: sort them by date and event")
    return [slice(*ends) for ends in zip(starts.tolist(), [*starts[1:].tolist(), len(event)], strict=True)]


def _slope_factor(logit: Floats, market: Floats, factor: float) -> float:
    """Return the factor of the logits that fits the market's probabilities best, given the prior."""
    if not len(logit):
        return factor
    target, precision = logit_to_probability(market), SLOPE_PRIOR_SD**-2
    for _ in range(_NEWTON_STEPS):
        p = logit_to_probability(factor * logit)
        gradient = float(np.sum(logit * (target - p))) - precision * (factor - 1.0)
        factor += gradient / (float(np.sum(logit**2 * p * (1.0 - p))) + precision)
    return factor
