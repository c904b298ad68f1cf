"""Walk-forward forecasts of a model that is re-anchored after each event.

Production can re-anchor a model by the closing odds of each event (`engine.intervals.reanchor`). Its forecast then
comes from half-widths and a slope that the closes of all earlier events since the training have moved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.intervals.half_widths import HalfWidths
from engine.intervals.reanchor import NewerFights, reanchored_before_each_event
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit

ReanchoredForecast = tuple[Floats, dict[float, tuple[Floats, Floats]]]
"""Probabilities, (n,), and the ends of the intervals by level, (n,) each."""


def reanchored_forecasts(
    half_widths: HalfWidths,
    fights: TrainingMatrix,
    known_probability: Floats,
    unknown_probability: Floats,
    levels: Sequence[float],
) -> tuple[ReanchoredForecast, ReanchoredForecast] | None:
    """Return the forecasts with the corner as it is known and with the corner unknown; None without measured closes.

    Parameters
    ----------
    half_widths
        Those of the model as trained.
    fights
        The fights after its training, n.
    known_probability, unknown_probability
        Its probabilities with the official corner where it is known, and without any, float64 (n,).
    levels
        Levels of the intervals.
    """
    if half_widths.method != "anchored" or half_widths.market_slope is None:
        return None
    order = np.lexsort((fights.event, fights.date))
    known, unknown = (_logit(probability)[order] for probability in (known_probability, unknown_probability))
    corner, experience = fights.corner_known[order], fights.experience[order]
    days = fights.date.astype("datetime64[D]").astype(np.str_)  # cards of the same name are events of their own
    newer = NewerFights(
        unknown_logit=unknown,
        known_logit=known,
        market_logit=market_logit(fights)[order],
        corner_known=corner,
        experience=experience,
        event=np.char.add(days, fights.event.astype(np.str_))[order],
    )
    states = ((known, corner), (unknown, np.zeros_like(corner)))
    found = tuple(
        (np.empty(len(order)), {level: (np.empty(len(order)), np.empty(len(order))) for level in levels})
        for _ in states
    )
    for rows, moved, factor in reanchored_before_each_event(half_widths, newer):
        at = order[rows]
        for (logit, known_corner), (probability, intervals) in zip(states, found, strict=True):
            own = factor * logit[rows]
            probability[at] = logit_to_probability(own)
            for level, ends in intervals.items():
                for end, bound in zip(
                    ends, moved.bounds(own, level, known_corner[rows], experience[rows]), strict=True
                ):
                    end[at] = logit_to_probability(bound)
    return found[0], found[1]


def _logit(probability: Floats) -> Floats:
    return np.asarray(np.log(probability) - np.log1p(-probability))
