"""The ensemble in production: load a bundle and predict fights. It fails fast and has no fallbacks.

Usage, as in the migration guide:

    config = create_production_ensemble_config(bootstrap_samples=100, max_memory_mb=4096)
    manager = ProductionEnsembleManager(config)
    manager.load_models(model_paths)
    results = manager.predict_fights(X, fighter_pairs)

`python -m engine.selftest ensemble` verifies an installation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import check_features, check_finite, format_names
from engine.data.rating_parts import PART_GROUPS
from engine.data.snapshot_digest import StateIdentity
from engine.errors import BootstrapError, ValidationError
from engine.members.member_stack import MEMBER_NAMES
from engine.model.bundle import open_bundle
from engine.model.config import ProductionEnsembleConfig, create_production_ensemble_config
from engine.model.inference import InferenceRows, add_market, market_aware_probabilities, predict_unpriced
from engine.model.prediction import FightPrediction, MarketAwareProbability, UnpricedPrediction
from engine.model.trained_ensemble import Ensemble, load_ensemble
from engine.resources.memory_guard import MemoryGuard

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Corner",
    "FightPrediction",
    "ProductionEnsembleConfig",
    "ProductionEnsembleManager",
    "create_production_ensemble_config",
]

Corner = Literal["red", "blue", "unknown"]
_SIGN: dict[Corner, int] = {"red": 1, "blue": -1, "unknown": 0}


class ProductionEnsembleManager:
    """Loads one model and predicts fights with it. Threads may share it once a model is loaded.

    Parameters
    ----------
    config
        Prediction settings, as `create_production_ensemble_config` returns them.
    """

    def __init__(self, config: ProductionEnsembleConfig) -> None:
        self.config = config
        self._guard = MemoryGuard(config.max_memory_mb)
        self._ensemble: Ensemble | None = None

    @classmethod
    def from_ensemble(cls, ensemble: Ensemble, config: ProductionEnsembleConfig) -> ProductionEnsembleManager:
        """Return a manager of a model that is in memory already. Raises as `load_models` does."""
        manager = cls(config)
        manager._use(ensemble)
        return manager

    @property
    def ensemble(self) -> Ensemble:
        """The loaded model. Raises ValidationError before `load_models`."""
        if self._ensemble is None:
            raise ValidationError("no models are loaded: call load_models(model_paths) first")
        return self._ensemble

    @property
    def state(self) -> StateIdentity | None:
        """The identity of the fighters' state of the loaded model; None for a model without one."""
        return self.ensemble.state

    def load_models(self, model_paths: str | Path | Mapping[str, str | Path]) -> None:
        """Load a bundle.

        Parameters
        ----------
        model_paths
            The folder of the bundle, or the sub-folder of every member in one bundle by the member's name.

        Raises
        ------
        BundleNotFoundError
            If there is no such folder.
        BundleCorruptError
            If the bundle is not intact; hashes are checked before anything is read.
        ValidationError
            If the mapping or the weights do not fit the bundle.
        BootstrapError
            If the bundle has too few replicas.
        MemoryLimitError
            If the process exceeds its memory limit afterwards.
        """
        folder = _bundle_folder(model_paths)
        ensemble = load_ensemble(open_bundle(folder))
        self._guard.check(f"loading {folder.name}")
        self._use(ensemble)

    def with_config(self, config: ProductionEnsembleConfig) -> ProductionEnsembleManager:
        """Return a manager of the same loaded model with another configuration, without loading it again."""
        return self.from_ensemble(self.ensemble, config)

    def predict_fights(
        self,
        X: pd.DataFrame,
        fighter_pairs: Sequence[tuple[str, str]],
        *,
        corners: Sequence[Corner] | None = None,
        experience: Sequence[int] | None = None,
        market_probability: Sequence[float | None] | None = None,
        levels: Sequence[float] | None = None,
        contributions: bool = False,
    ) -> list[FightPrediction]:
        """Predict the fight of each pair from its row of features.

        Swapping a pair together with its row's sides, its corner and its market gives exactly 1 - p.

        Parameters
        ----------
        X
            Features, (n, model columns), in any order of columns; missing values are allowed.
        fighter_pairs
            Names of the two fighters of each row.
        corners
            Official corner of the first of each pair; default: unknown.
        experience
            Earlier fights of the less experienced fighter, -1 (the default) if unknown.
        market_probability
            The market's de-vigged probability of the first of each pair, None or NaN if unknown.
        levels
            Levels of the intervals; default: the configured one.
        contributions
            True to add what each group of features contributes (`engine.model.contributions`).

        Raises
        ------
        ValidationError
            If the input does not fit; the message names the columns or the pair.
        BootstrapError
            If a replica fails.
        MemoryLimitError
            If the memory limit leaves no room for one replica.
        """
        predictions = self.predict_unpriced(
            X, corners=corners, experience=experience, levels=levels, contributions=contributions
        )
        market = [None] * len(predictions) if market_probability is None else market_probability
        return self.add_market(predictions, fighter_pairs, market)

    def predict_unpriced(
        self,
        X: pd.DataFrame,
        *,
        corners: Sequence[Corner] | None = None,
        experience: Sequence[int] | None = None,
        levels: Sequence[float] | None = None,
        contributions: bool = False,
    ) -> list[UnpricedPrediction]:
        """Predict without odds: the expensive part of `predict_fights`."""
        values = check_features(X, self.ensemble.columns)
        return self.predict_unpriced_rows(
            values, corners=corners, experience=experience, levels=levels, contributions=contributions
        )

    def predict_unpriced_rows(
        self,
        values: Floats,
        *,
        corners: Sequence[Corner] | None = None,
        experience: Sequence[int] | None = None,
        levels: Sequence[float] | None = None,
        contributions: bool = False,
        rating_parts: Sequence[Floats | None] | None = None,
    ) -> list[UnpricedPrediction]:
        """Predict without odds from rows in the model's order of columns, float64 (n, columns), NaN if missing.

        `rating_parts` are each row's rating in parts by group (`engine.data.rating_parts`), None for a row without
        them; contributions then count the rating's offset in these groups.
        """
        check_finite(values, self.ensemble.columns)
        if not self.ensemble.accepts_missing and np.isnan(values).any():
            raise ValidationError(missing_values_message(values, self.ensemble))
        n = len(values)
        rows = InferenceRows(
            values=values,
            sides=_signs(["unknown"] * n if corners is None else corners),
            experience=np.asarray([-1] * n if experience is None else experience, dtype=np.int64),
            rating_parts=_stack_parts([None] * n if rating_parts is None else rating_parts),
        )
        given = {
            "corners": len(rows.sides),
            "experience": len(rows.experience),
            "rating_parts": n if rating_parts is None else len(rating_parts),
        }
        if set(given.values()) != {n}:
            raise ValidationError(f"X has {n} rows, but there are {given}: give one for each row")
        wanted = tuple(levels or (self.config.confidence_level,))
        if not all(0.0 < level < 1.0 for level in wanted):
            raise ValidationError(f"levels must lie between 0 and 1, not {', '.join(map(str, wanted))}")
        return list(predict_unpriced(self.ensemble, self.config, rows, wanted, contributions=contributions))

    def add_market(
        self,
        predictions: Sequence[UnpricedPrediction],
        fighter_pairs: Sequence[tuple[str, str]],
        market_probability: Sequence[float | None],
    ) -> list[FightPrediction]:
        """Complete predictions of this model with odds; the result equals that of `predict_fights`, to the bit."""
        _check_pairs(fighter_pairs, len(predictions))
        market = _market(market_probability)
        if len(market) != len(predictions):
            raise ValidationError(
                f"there are {len(predictions)} rows, but {len(market)} in market_probability: give one for each row"
            )
        if len({tuple(prediction.intervals) for prediction in predictions}) > 1:
            raise ValidationError("predictions that are completed together must have intervals at the same levels")
        return list(add_market(self.ensemble, predictions, fighter_pairs, market))

    def market_aware(
        self, predictions: Sequence[UnpricedPrediction], market_probability: Sequence[float | None]
    ) -> list[MarketAwareProbability | None]:
        """Return the market-aware probabilities of predictions of this model for other probabilities of the market."""
        return market_aware_probabilities(predictions, _market(market_probability))

    def check_reference_predictions(self) -> float:
        """Predict the reference rows of the bundle with all replicas and contributions, by the same code as any card.

        After that every kernel is compiled.
        Returns the largest difference from the stored probabilities. Raises as `predict_fights` does.
        """
        rows, expected = self.ensemble.reference_predictions
        manager = self.with_config(replace(self.config, bootstrap_samples=self.ensemble.n_replicas))
        # From an array, as a card does: what a data frame needs of pandas would stay in the memory of an idle child.
        predictions = manager.predict_unpriced_rows(rows, contributions=True)
        pairs = [(f"first {row}", f"second {row}") for row in range(len(rows))]
        answers = manager.add_market(predictions, pairs, [None] * len(rows))
        return float(np.max(np.abs(np.array([answer.probability for answer in answers]) - expected)))

    def _use(self, ensemble: Ensemble) -> None:
        if self.config.model_weights not in (None, ensemble.weights):
            raise ValidationError(
                f"the model was calibrated with weights {ensemble.weights}, the configuration has "
                f"{self.config.model_weights}: use the model's, or train with these"
            )
        if self.config.bootstrap_samples > ensemble.n_replicas:
            raise BootstrapError(
                f"the model has {ensemble.n_replicas} replicas, but bootstrap_samples is "
                f"{self.config.bootstrap_samples}: lower it (0 switches the sampling interval off), or train with more"
            )
        self._ensemble = ensemble


def _bundle_folder(model_paths: str | Path | Mapping[str, str | Path]) -> Path:
    if isinstance(model_paths, str | Path):
        return Path(model_paths)
    if set(model_paths) != set(MEMBER_NAMES):
        raise ValidationError(f"model_paths must name {list(MEMBER_NAMES)}, not {sorted(model_paths)}")
    folders = {Path(path).parent for path in model_paths.values()}
    names = {name for name, path in model_paths.items() if Path(path).name == name}
    if len(folders) != 1 or names != set(MEMBER_NAMES):
        raise ValidationError(
            "model_paths must point at the members' folders of one bundle, for example "
            f"{{'random_forest': 'bundle/random_forest', ...}}, not {dict(model_paths)}"
        )
    return folders.pop()


def _signs(corners: Sequence[Corner]) -> NDArray[np.int8]:
    for corner in corners:
        if corner not in _SIGN:
            raise ValidationError(f"{corner!r} is not a corner: write red, blue or unknown")
    return np.array([_SIGN[corner] for corner in corners], dtype=np.int8)


def _stack_parts(rating_parts: Sequence[Floats | None]) -> Floats | None:
    if all(parts is None for parts in rating_parts):
        return None
    unknown = np.full(len(PART_GROUPS), np.nan)
    return np.stack([unknown if parts is None else parts for parts in rating_parts])


def _market(probabilities: Sequence[float | None]) -> Floats:
    values = np.array([np.nan if value is None else value for value in probabilities], dtype=np.float64)
    if np.any((values <= 0.0) | (values >= 1.0)):
        raise ValidationError(f"market_probability must lie between 0 and 1, not {list(probabilities)}")
    return values


def missing_values_message(values: Floats, ensemble: Ensemble) -> str:
    """Return a message about the columns of `values`, (n, columns), that lack values an imported member requires."""
    null = [ensemble.columns[column] for column in np.flatnonzero(np.isnan(values).any(axis=0))]
    members = sorted(
        name for name, preprocessing in ensemble.point.preprocessing.items() if not preprocessing.accepts_missing
    )
    return (
        f"values are missing in {format_names(null)}, and the imported {', '.join(members)} accepts none: fill them in"
    )


def _check_pairs(pairs: Sequence[tuple[str, str]], rows: int) -> None:
    if len(pairs) != rows:
        raise ValidationError(f"X has {rows} rows but there are {len(pairs)} fighter pairs: give one pair for each row")
    for fighter_a, fighter_b in pairs:
        if fighter_a == fighter_b:
            raise ValidationError(f"{fighter_a!r} cannot fight against oneself")
