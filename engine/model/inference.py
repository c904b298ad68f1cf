"""From rows to summaries, and from summaries and prices to predictions.

A summary holds the point, its intervals, the sampling interval and the correction of a market: all that costs time, and
nothing that moves with the odds. So a fight that is asked about again with other odds need not be predicted again.

Pure: the same ensemble, configuration and row give the same bits, whatever other rows are answered in the same call.
Checking what a caller hands in is `engine.ensemble`.
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
from engine.model.prediction import UNCERTAINTY_LEVEL, Bounds, FightPrediction, FightSummary, MarketAware
from engine.model.trained_ensemble import Ensemble, point_margins
from engine.statistics.complements import logit_of, margin_of, probability_of

_ROWS_AT_ONCE = 4096  # bounds the memory of a large X: replicas x rows x 16 bytes


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows to answer, n of them.

    values: float64 (n, columns), NaN where missing. sides: int8, corner of the first fighter, +1 red, -1 blue,
    0 unknown. experience: int64, -1 where unknown.
    """

    values: Floats
    sides: NDArray[np.int8]
    experience: NDArray[np.int64]

    def parts(self) -> Iterator[Rows]:
        """Cut into runs that bound the memory."""
        for start in range(0, len(self.values), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            yield Rows(self.values[part], self.sides[part], self.experience[part])


def summarise(
    ensemble: Ensemble, config: ProductionEnsembleConfig, rows: Rows, levels: Sequence[float]
) -> Iterator[FightSummary]:
    """Say of each row all that needs no price, with intervals at these levels.

    Raises BootstrapError and MemoryLimitError.
    """
    for part in rows.parts():
        yield from _summarise_part(ensemble, config, part, levels)


def price(
    ensemble: Ensemble, summaries: Sequence[FightSummary], pairs: Sequence[tuple[str, str]], market: Floats
) -> Iterator[FightPrediction]:
    """Add to each summary what the market's probability of the first fighter, (n,), NaN where there is none, adds."""
    reason: market_adjustment.AbsenceReason = "no_market" if ensemble.market_model else "model_without_odds"
    for summary, pair, aware in zip(summaries, pairs, _market_aware(summaries, market), strict=True):
        yield FightPrediction.of(summary, pair, aware, reason)


def point_logits(ensemble: Ensemble, values: Floats, sides: NDArray[np.int8]) -> tuple[Floats, dict[str, Floats]]:
    """Return calibrated logits, (n,), and each member's own probability."""
    known = sides if ensemble.sided else None
    margin, members = point_margins(ensemble.point.by_name(), ensemble.weights, ensemble.plan, values, known)
    logit = ensemble.calibration(logit_of(margin), sides)
    return logit, {name: probability_of(logit_of(part)) for name, part in members.items()}


def _summarise_part(
    ensemble: Ensemble, config: ProductionEnsembleConfig, rows: Rows, levels: Sequence[float]
) -> Iterator[FightSummary]:
    half_widths = ensemble.half_widths
    logit, members = point_logits(ensemble, rows.values, rows.sides)
    probability = probability_of(logit)
    bounds = (
        {
            level: _around(logit, half_widths.at(level, rows.sides != 0, rows.experience))
            for level in {*levels, UNCERTAINTY_LEVEL}
        }
        if half_widths.measured
        else {}
    )
    sampling = _sampling(ensemble, config, rows)
    corrections = _corrections(ensemble, rows)
    for row in range(len(rows.values)):
        intervals = {level: _of(ends, row) for level, ends in bounds.items()}
        lower, upper = intervals.get(UNCERTAINTY_LEVEL, (None, None))
        uncertainty = None if lower is None or upper is None else upper - lower
        yield FightSummary(
            probability=float(probability[row]),
            intervals={level: intervals[level] for level in levels if level in intervals},
            interval_method=half_widths.method if half_widths.measured else None,
            uncertainty=uncertainty,
            sampling_interval=None if sampling is None else _of(sampling[:2], row),
            sampling_level=config.confidence_level,
            sampling_error=None if sampling is None else float(sampling[2][row]),
            sampling_reason="bootstrap_off" if sampling is None else None,
            members={name: float(p[row]) for name, p in members.items()},
            correction=None if corrections is None else float(corrections[row]),
            warnings=_warnings(config, float(probability[row]), uncertainty),
        )


def _sampling(ensemble: Ensemble, config: ProductionEnsembleConfig, rows: Rows) -> tuple[Floats, Floats, Floats] | None:
    """Return the ends of the percentile interval over the replicas' calibrated probabilities and their error, (n,).

    None where it is switched off.
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
    margins = margin_of(replicas[:, : len(rows.values)], replicas[:, len(rows.values) :])

    def calibrated(margin: Floats) -> Floats:
        return probability_of(ensemble.calibration(logit_of(margin), rows.sides))

    # Calibration is monotone, so the percentiles may be taken before it; their error has its unit only after.
    low, high = percentile_interval(margins, config.confidence_level)
    error = percentile_error(calibrated(margins) - 0.5, config.confidence_level)
    return calibrated(low), calibrated(high), error


def _corrections(ensemble: Ensemble, rows: Rows) -> Floats | None:
    model = ensemble.market_model
    if model is None:
        return None
    return model.correction_of(market_adjustment.side_differences(rows.values, ensemble.columns))


def _market_aware(summaries: Sequence[FightSummary], market: Floats) -> list[MarketAware | None]:
    if not summaries:
        return []
    correction = np.array([np.nan if summary.correction is None else summary.correction for summary in summaries])
    logit = market_adjustment.market_logit_of(market) + correction  # NaN where either is unknown
    levels = tuple(summaries[0].intervals)
    steps = [0.0, *(sign * market_adjustment.half_width(level) for level in levels for sign in (-1.0, 1.0))]
    answers = probability_of(logit + np.array(steps)[:, None]).T.tolist()  # all at once: calls cost more than numbers
    return [
        MarketAware(middle, dict(zip(levels, zip(ends[::2], ends[1::2], strict=True), strict=True))) if known else None
        for known, (middle, *ends) in zip(np.isfinite(logit).tolist(), answers, strict=True)
    ]


def _warnings(config: ProductionEnsembleConfig, probability: float, uncertainty: float | None) -> tuple[str, ...]:
    raised = {
        "low_confidence": max(probability, 1.0 - probability) < config.min_prediction_confidence,
        "high_uncertainty": uncertainty is not None and uncertainty > config.max_uncertainty_threshold,
    }
    return tuple(warning for warning, up in raised.items() if up)


def _around(logit: Floats, half_width: Floats | float) -> tuple[Floats, Floats]:
    return probability_of(logit - half_width), probability_of(logit + half_width)


def _of(ends: tuple[Floats, Floats], row: int) -> Bounds:
    return float(ends[0][row]), float(ends[1][row])
