"""Diagnostics of training data: whether fights with odds represent the others, and whether the folds are even.

Half-widths are measured on fights with closing odds, and hold for fights like these. So these fights are compared with
the fights of the same years that have none, and the latest of them with all of them: if the market has moved further
ahead of the model, the pooled half-widths are too narrow for it. No figure here changes a prediction.

Metrics and warnings are part of a bundle's manifest, so a change of their wording changes the digest of a model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import TrainingMatrix
from engine.data.past_odds import MIN_PRICED_SHARE, RECENT_DAYS, recent_priced_share
from engine.data.rated_log import RATING_COLUMNS
from engine.intervals.half_widths import CLASS_EDGES, MIN_PRICED_FIGHTS, HalfWidths, interval_distance
from engine.statistics.complements import logit_to_probability
from engine.statistics.scores import clustered_share

LATEST_DAYS = 730
MIN_COMPARED_FIGHTS = 100
"""Smaller groups of fights are not compared."""
MIN_UNPRICED_SHARE = 0.05
"""With a smaller share of fights without odds, the others are not called a selection."""
MAX_STANDARDISED_DIFFERENCE = 0.25
"""Standardised difference of means above which two groups count as different (Imbens and Rubin 2015)."""
LEVELS = (0.8, 0.95)
INTERVAL_FIGURES = tuple(f"{name}_{level * 100:.0f}" for name in ("inside", "width") for level in LEVELS)
"""Names of the share of recalibrated closes inside the intervals, out of fold, and of the intervals' mean width."""
MARKET_BAND_EDGES = (0.6, 0.7, 0.8, 0.85)
"""Edges of the bands of the market's probability of its favourite."""
MIN_BAND_INSIDE = 0.7
"""Share of closes inside the 80% interval below which a band of the market is named in a warning."""
MAX_FOLD_SIZE_RATIO = 2.0
"""Largest ratio of the largest fold to the mean fold, and of the mean fold to the smallest, without a warning."""


class DataDiagnostics(NamedTuple):
    """Metrics by name, and warnings in plain words."""

    figures: dict[str, float]
    warnings: tuple[str, ...]


def diagnose_training_data(
    matrix: TrainingMatrix, blocks: NDArray[np.int64], logit: Floats, market: Floats, half_widths: HalfWidths
) -> DataDiagnostics:
    """Return metrics of n training fights, and warnings about them.

    Parameters
    ----------
    matrix
        The training fights.
    blocks
        Fold of each fight, int64 (n,).
    logit
        Calibrated out-of-fold logit with the corner unknown, float64 (n,).
    market
        The market's logit, float64 (n,), NaN without odds.
    half_widths
        The half-widths measured on the fights.
    """
    priced = np.isfinite(market)
    diagnostics = [_folds(blocks), _recent_odds(matrix, priced)]
    if priced.sum() < MIN_PRICED_FIGHTS:
        diagnostics.append(
            DataDiagnostics(
                {},
                (
                    f"{int(priced.sum())} fights have closing odds, and {MIN_PRICED_FIGHTS} are needed to measure "
                    "intervals on: these are model_based, a rule of thumb",
                ),
            )
        )
    else:
        recalibrated = (half_widths.market_slope or 1.0) * market
        distance = interval_distance(logit, recalibrated, half_widths.outward)
        diagnostics += [
            _selection(matrix, logit, priced),
            _latest(matrix, distance, priced, half_widths.scale[0]),
            _intervals(matrix, logit, market, half_widths),
        ]
    figures = {name: value for one in diagnostics for name, value in one.figures.items()}
    return DataDiagnostics(figures, tuple(warning for one in diagnostics for warning in one.warnings))


def _folds(blocks: NDArray[np.int64]) -> DataDiagnostics:
    """Compare the sizes of the folds."""
    sizes = np.bincount(blocks)
    if sizes.max() <= MAX_FOLD_SIZE_RATIO * sizes.mean() and MAX_FOLD_SIZE_RATIO * sizes.min() >= sizes.mean():
        return DataDiagnostics({}, ())
    return DataDiagnostics(
        {},
        (
            f"the folds are uneven, of {', '.join(map(str, sizes.tolist()))} fights: some events hold very many. Each "
            "event, a name and a day, should be one card",
        ),
    )


def _recent_odds(matrix: TrainingMatrix, priced: NDArray[np.bool_]) -> DataDiagnostics:
    """Warn if the rating of a model learns from past odds, and the latest fights have none."""
    share = recent_priced_share(matrix.date, priced, matrix.date.max())
    if RATING_COLUMNS[0] not in matrix.X.columns or share >= MIN_PRICED_SHARE:
        return DataDiagnostics({}, ())
    return DataDiagnostics(
        {},
        (
            f"{share:.0%} of the fights of the last {RECENT_DAYS} days have closing odds, and the rating learns from "
            "them: add closing odds to the fight log",
        ),
    )


def _selection(matrix: TrainingMatrix, logit: Floats, priced: NDArray[np.bool_]) -> DataDiagnostics:
    """Compare fights with and without odds, from the first year with odds on."""
    since = np.sort(matrix.date[priced])[int(priced.sum()) // 100]
    rows = matrix.date >= since
    others = rows & ~priced
    share = float(priced[rows].mean())
    if others.sum() < max(MIN_COMPARED_FIGHTS, MIN_UNPRICED_SHARE * rows.sum()):
        return DataDiagnostics({"priced_share": share}, ())
    known = matrix.experience >= 0
    favourite = 1.0 / (1.0 + np.exp(-np.abs(logit)))
    measured = {
        "favourite": (favourite, rows, "the likelier fighter's probability is {:.2f}, of the others {:.2f}"),
        "experience": (
            np.log1p(np.maximum(matrix.experience, 0)),
            rows & known,
            "log(1 + earlier fights) of the less experienced is {:.2f}, of the others {:.2f}",
        ),
        "year": (
            matrix.date.astype("datetime64[D]").astype(np.float64) / 365.25 + 1970.0,
            rows,
            "the mean date is {:.1f}, of the others {:.1f}",
        ),
    }
    figures, unlike = {"priced_share": share}, []
    for name, (values, compared, template) in measured.items():
        with_odds, without = values[compared & priced], values[compared & others]
        if min(len(with_odds), len(without)) < MIN_COMPARED_FIGHTS:
            continue
        figures |= {f"priced_{name}": float(with_odds.mean()), f"unpriced_{name}": float(without.mean())}
        spread = np.sqrt((with_odds.var() + without.var()) / 2.0)
        if abs(with_odds.mean() - without.mean()) > MAX_STANDARDISED_DIFFERENCE * spread:
            unlike.append(template.format(with_odds.mean(), without.mean()))
    if not unlike:
        return DataDiagnostics(figures, ())
    return DataDiagnostics(
        figures,
        (
            f"{share:.0%} of the fights since {since} have odds, and they are a selection: {'; '.join(unlike)}. "
            "Intervals are measured on fights with odds, and may be too narrow for others",
        ),
    )


def _latest(matrix: TrainingMatrix, distance: Floats, priced: NDArray[np.bool_], scale: float) -> DataDiagnostics:
    """Measure the share of the latest distances from the market inside the half-widths pooled over all years."""
    rows = priced & (matrix.date > matrix.date.max() - np.timedelta64(LATEST_DAYS, "D"))
    if rows.sum() < MIN_COMPARED_FIGHTS:
        return DataDiagnostics({}, ())
    pooled, latest = distance[priced], distance[rows]
    figures = {"latest_priced_fights": float(rows.sum()), "latest_distance": float(latest.mean() / pooled.mean())}
    short = []
    for level in LEVELS:
        inside = clustered_share(latest <= scale * np.quantile(pooled, level), matrix.event[rows])
        figures[f"latest_inside_{level * 100:.0f}"] = inside.value
        if inside.upper is not None and inside.upper < level:
            short.append(f"{inside.value:.1%} of them at {level:.0%}")
    if not short:
        return DataDiagnostics(figures, ())
    return DataDiagnostics(
        figures,
        (
            f"over the last two years ({int(rows.sum())} fights) the market was further from the model than before: "
            f"the half-widths of all years hold {' and '.join(short)}, so coming intervals are likely too narrow",
        ),
    )


def market_band(probability: Floats) -> NDArray[np.intp]:
    """Return the number of the band of the market's favourite, (n,), for the market's probabilities, (n,)."""
    return np.asarray(np.digitize(np.maximum(probability, 1.0 - probability), MARKET_BAND_EDGES))


def market_band_name(band: int) -> str:
    """Return the name of a band, such as `60% to 70%`."""
    edges = (0.5, *MARKET_BAND_EDGES)
    upper = f" to {edges[band + 1]:.0%}" if band + 1 < len(edges) else " or more"
    return f"{edges[band]:.0%}{upper}"


def _intervals(matrix: TrainingMatrix, logit: Floats, market: Floats, half_widths: HalfWidths) -> DataDiagnostics:
    """Measure the intervals with the corner unknown on the fights with odds, out of fold, and by band of the market."""
    rows = np.isfinite(market)
    own, price, close = (
        logit[rows],
        logit_to_probability(market[rows]),
        (half_widths.market_slope or 1.0) * market[rows],
    )
    unknown = np.zeros(len(own), dtype=np.bool_)
    inside, width = {}, {}
    for level in LEVELS:
        low, high = half_widths.bounds(own, level, unknown, matrix.experience[rows])
        inside[level] = (low <= close) & (close <= high)
        width[level] = float(np.mean(logit_to_probability(high) - logit_to_probability(low)))
    measured = [float(inside[level].mean()) for level in LEVELS] + [width[level] for level in LEVELS]
    figures = dict(zip(INTERVAL_FIGURES, measured, strict=True)) | _width_shares(half_widths)
    band = market_band(price)
    low_bands = []
    for number, lower in enumerate((0.5, *MARKET_BAND_EDGES)):
        here = band == number
        if here.sum() < MIN_COMPARED_FIGHTS:
            continue
        share = float(inside[LEVELS[0]][here].mean())
        figures |= {f"market_{lower * 100:.0f}_fights": float(here.sum()), f"market_{lower * 100:.0f}_inside_80": share}
        if share < MIN_BAND_INSIDE:
            low_bands.append(f"{share:.0%} of {int(here.sum()):,} closes where it is {market_band_name(number)}")
    if not low_bands:
        return DataDiagnostics(figures, ())
    return DataDiagnostics(
        figures,
        (
            "the 80% intervals hold few closes of some strengths of the market's favourite, out of fold: "
            f"{'; '.join(low_bands)}. Bets against such favourites deserve the least trust",
        ),
    )


def _width_shares(half_widths: HalfWidths) -> dict[str, float]:
    """Return what the 80% half-width is made of, by the class of the least earlier fights, with the corner unknown."""
    experience = np.array([0, *CLASS_EDGES])
    shares = half_widths.width_shares(LEVELS[0], np.zeros(len(experience), dtype=np.bool_), experience)
    return {
        f"width_{name}_{fights}": float(share)
        for name, values in ({} if shares is None else shares._asdict()).items()
        for fights, share in zip(experience.tolist(), values, strict=True)
    }
