"""Inference: predictions without odds from rows of features, and complete predictions from these and market prices.

The first step computes the point prediction, its intervals, the sampling interval and the market correction: all that
takes time and does not depend on the odds. So a fight whose odds have changed need not be predicted again.

Pure functions: the same ensemble, configuration and row give the same bits, whatever other rows are in the same call.
`engine.ensemble` validates the input of callers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config
from engine.intervals.percentile import percentile_error, percentile_interval
from engine.model import market_adjustment
from engine.model.config import ProductionEnsembleConfig
from engine.model.contributions import explain_rows
from engine.model.prediction import (
    UNCERTAINTY_LEVEL,
    Bounds,
    FightPrediction,
    MarketAwareProbability,
    UnpricedPrediction,
)
from engine.model.trained_ensemble import Ensemble, point_margins
from engine.statistics.complements import logit_to_probability, mirror_averaged_margin

_ROWS_AT_ONCE = 4096  # bounds the memory of a large X: replicas x rows x 16 bytes


@dataclass(frozen=True, slots=True, eq=False)
class InferenceRows:
    """Rows to predict, n of them.

    Attributes
    ----------
    values : float64 (n, columns)
        Features, NaN if missing.
    sides : int8 (n,)
        Corner of the first fighter: +1 red, -1 blue, 0 unknown.
    experience : int64 (n,)
        Earlier fights of the less experienced fighter, -1 if unknown.
    rating_parts : float64 (n, groups), or None
        Ratings in parts as `engine.model.contributions.explain_rows` takes them; only contributions need them.
    """

    values: Floats
    sides: NDArray[np.int8]
    experience: NDArray[np.int64]
    rating_parts: Floats | None = None

    def batches(self) -> Iterator[InferenceRows]:
        """Yield consecutive batches of rows that bound the memory."""
        for start in range(0, len(self.values), _ROWS_AT_ONCE):
            batch = slice(start, start + _ROWS_AT_ONCE)
            parts = None if self.rating_parts is None else self.rating_parts[batch]
            yield InferenceRows(self.values[batch], self.sides[batch], self.experience[batch], parts)


def predict_unpriced(
    ensemble: Ensemble,
    config: ProductionEnsembleConfig,
    rows: InferenceRows,
    levels: Sequence[float],
    *,
    contributions: bool = False,
) -> Iterator[UnpricedPrediction]:
    """Yield the prediction without odds for each row, with intervals at these levels, and contributions if wanted.

    Raises
    ------
    BootstrapError
        If a replica fails.
    MemoryLimitError
        If the memory limit leaves no room for one replica.
    """
    for batch in rows.batches():
        yield from _predict_batch(ensemble, config, batch, levels, contributions)


def add_market(
    ensemble: Ensemble, predictions: Sequence[UnpricedPrediction], pairs: Sequence[tuple[str, str]], market: Floats
) -> Iterator[FightPrediction]:
    """Yield complete predictions.

    Parameters
    ----------
    ensemble
        The model that made the predictions.
    predictions
        Predictions without odds, n.
    pairs
        The names of each row's two fighters.
    market
        The market's probability of the first fighter, float64 (n,), NaN if unknown.
    """
    reason: market_adjustment.AbsenceReason = "no_market" if ensemble.market_model else "model_without_odds"
    for prediction, pair, market_aware in zip(
        predictions, pairs, market_aware_probabilities(predictions, market), strict=True
    ):
        yield FightPrediction.from_unpriced(prediction, pair, market_aware, reason)


def point_logits(ensemble: Ensemble, values: Floats, sides: NDArray[np.int8]) -> tuple[Floats, dict[str, Floats]]:
    """Return calibrated logits, (n,), and the uncalibrated probability of each member, (n,) by name."""
    known = sides if ensemble.corner_aware else None
    margin, members = point_margins(ensemble.point.by_name(), ensemble.weights, ensemble.plan, values, known)
    rating = ensemble.offset.rating_logit(values)
    logit = ensemble.calibration(ensemble.offset.add_members(rating, margin), sides)
    return logit, {
        name: logit_to_probability(ensemble.offset.add_members(rating, part)) for name, part in members.items()
    }


def _predict_batch(
    ensemble: Ensemble,
    config: ProductionEnsembleConfig,
    rows: InferenceRows,
    levels: Sequence[float],
    contributions: bool,
) -> Iterator[UnpricedPrediction]:
    half_widths = ensemble.half_widths
    logit, members = point_logits(ensemble, rows.values, rows.sides)
    probability = logit_to_probability(logit)
    bounds = (
        {
            level: _interval(half_widths.bounds(logit, level, rows.sides != 0, rows.experience))
            for level in {*levels, UNCERTAINTY_LEVEL}
        }
        if half_widths.is_measured
        else {}
    )
    shares = half_widths.width_shares(UNCERTAINTY_LEVEL, rows.sides != 0, rows.experience) if bounds else None
    sampling = _sampling(ensemble, config, rows)
    corrections = _corrections(ensemble, rows)
    explained = explain_rows(ensemble, rows.values, rows.sides, logit, rows.rating_parts) if contributions else None
    for row in range(len(rows.values)):
        intervals = {level: _bounds_at(ends, row) for level, ends in bounds.items()}
        lower, upper = intervals.get(UNCERTAINTY_LEVEL, (None, None))
        uncertainty = None if lower is None or upper is None else upper - lower
        yield UnpricedPrediction(
            probability=float(probability[row]),
            intervals={level: intervals[level] for level in levels if level in intervals},
            interval_method=half_widths.method if half_widths.is_measured else None,
            uncertainty=uncertainty,
            width_shares=None
            if shares is None
            else (float(shares.market_noise[row]), float(shares.not_learnt[row]), float(shares.allowance[row])),
            sampling_interval=None if sampling is None else _bounds_at(sampling[:2], row),
            sampling_level=config.confidence_level,
            sampling_error=None if sampling is None else float(sampling[2][row]),
            sampling_reason="bootstrap_off" if sampling is None else None,
            members={name: float(p[row]) for name, p in members.items()},
            correction=None if corrections is None else float(corrections[row]),
            warnings=_warnings(config, float(probability[row]), uncertainty),
            contributions=None if explained is None else explained[row],
        )


def _sampling(
    ensemble: Ensemble, config: ProductionEnsembleConfig, rows: InferenceRows
) -> tuple[Floats, Floats, Floats] | None:
    """Return both ends of the percentile interval over the replicas' calibrated probabilities, and their error, (n,).

    None if the sampling interval is switched off.
    """
    if config.bootstrap_samples == 0 or ensemble.replicas is None:
        return None
    sampler = ThreadSafeBootstrapSampler(
        create_bootstrap_config(
            config.bootstrap_samples, config.confidence_level, config.n_jobs, config.max_memory_mb, config.batch_size
        )
    )
    both = np.concatenate([rows.values, ensemble.plan(rows.values)])
    replicas = sampler.sample_rows(ensemble.replica_set, both, ensemble.weights)
    margins = mirror_averaged_margin(replicas[:, : len(rows.values)], replicas[:, len(rows.values) :])

    rating = ensemble.offset.rating_logit(rows.values)

    def calibrated(margin: Floats) -> Floats:
        return logit_to_probability(ensemble.calibration(ensemble.offset.add_members(rating, margin), rows.sides))

    # Calibration is monotone, so percentiles may be taken before it. Their error is one of probabilities: after it.
    low, high = percentile_interval(margins, config.confidence_level)
    error = percentile_error(calibrated(margins) - 0.5, config.confidence_level)
    return calibrated(low), calibrated(high), error


def _corrections(ensemble: Ensemble, rows: InferenceRows) -> Floats | None:
    model = ensemble.market_model
    if model is None:
        return None
    return model.correction_for(market_adjustment.side_differences(rows.values, ensemble.columns), rows.sides)


def market_aware_probabilities(
    predictions: Sequence[UnpricedPrediction], market: Floats
) -> list[MarketAwareProbability | None]:
    """Return market-aware probabilities for the market's of the first fighter, (n,); None if either part is unknown."""
    if not predictions:
        return []
    correction = np.array(
        [np.nan if prediction.correction is None else prediction.correction for prediction in predictions]
    )
    logit = market_adjustment.market_logit_from_probability(market) + correction  # NaN if either is unknown
    levels = tuple(predictions[0].intervals)
    steps = [0.0, *(sign * market_adjustment.band_half_width(level) for level in levels for sign in (-1.0, 1.0))]
    answers = logit_to_probability(logit + np.array(steps)[:, None]).T.tolist()  # in one call, which is faster
    return [
        MarketAwareProbability(middle, dict(zip(levels, zip(ends[::2], ends[1::2], strict=True), strict=True)))
        if known
        else None
        for known, (middle, *ends) in zip(np.isfinite(logit).tolist(), answers, strict=True)
    ]


def _warnings(config: ProductionEnsembleConfig, probability: float, uncertainty: float | None) -> tuple[str, ...]:
    raised = {
        "low_confidence": max(probability, 1.0 - probability) < config.min_prediction_confidence,
        "high_uncertainty": uncertainty is not None and uncertainty > config.max_uncertainty_threshold,
    }
    return tuple(warning for warning, up in raised.items() if up)


def _interval(ends: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return logit_to_probability(ends[0]), logit_to_probability(ends[1])


def _bounds_at(ends: tuple[Floats, Floats], row: int) -> Bounds:
    return float(ends[0][row]), float(ends[1][row])
