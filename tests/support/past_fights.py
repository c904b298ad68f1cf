"""Forecasts of made-up fights, for tests that need no model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.evaluation.walk_forward import ENSEMBLE_FORECASTS, LAGGING_FORECASTS, LEVELS, RATING_FORECASTS, bound_column


def forecasts_of(rows: int, **columns: object) -> pd.DataFrame:
    """Return even forecasts of priced fights, ten an event and one event a week; `columns` say what is different."""
    days = pd.Timestamp("2020-01-04") + pd.to_timedelta(7 * (np.arange(rows) // 10), unit="D")
    table = pd.DataFrame(
        {
            "date": days,
            "trained_before": pd.Timestamp("2020-01-01"),
            "event": np.char.add("event ", (np.arange(rows) // 10).astype(str)),
            "won": (np.arange(rows) % 2).astype(np.int8),
            "experience": np.arange(rows) % 8,
            "corner_known": True,
            "red_odds": 1.9,
            "blue_odds": 1.9,
            "red_early_odds": np.nan,
            "blue_early_odds": np.nan,
            "market": 0.5,
            "recalibrated_market": 0.5,
            "ridge": 0.5,
            "lagging_experience": np.arange(rows) % 8,
            "state_days": np.arange(rows, dtype=np.float64),
        }
    )
    for name in (*ENSEMBLE_FORECASTS, *LAGGING_FORECASTS):
        # Not all alike, for a line through one point has no slope.
        table[name] = 0.5 + 0.1 * np.cos(np.arange(rows))
        for level in LEVELS:
            table[bound_column(name, "lower", level)] = table[name] - 0.4 * level
            table[bound_column(name, "upper", level)] = table[name] + 0.4 * level
    table["market"] = table["recalibrated_market"] = 0.5 + 0.1 * np.sin(np.arange(rows))
    for name in ("ridge", *RATING_FORECASTS):
        table[name] = table["statistics_only"]
    return table.assign(**columns)
