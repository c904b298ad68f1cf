"""The ensemble in production: load a bundle, answer fights. Fails fast; never falls back, never invents a number.

Usage, as in the migration guide:

    config = create_production_ensemble_config(bootstrap_samples=100, max_memory_mb=4096)
    manager = ProductionEnsembleManager(config)
    manager.load_models(model_paths)
    results = manager.predict_fights(X, fighter_pairs)

`python -m engine.ensemble` runs a self-test.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.bootstrap import ThreadSafeBootstrapSampler, check_weights, create_bootstrap_config
from engine.bundle import open_bundle
from engine.errors import BootstrapError, BundleCorruptError, MemoryLimitError, ValidationError
from engine.intervals import Method, percentile_interval
from engine.matrix import MirrorPlan, check_features, mirror
from engine.member import Floats
from engine.members import MEMBERS
from engine.memory import MemoryGuard
from engine.model import Ensemble, load_ensemble, point_margins, save_ensemble
from engine.selftest import refuses, report, small_ensemble
from engine.symmetry import logit_of, margin_of, probability_of

Corner = Literal["red", "blue", "unknown"]
_SIGN: dict[Corner, int] = {"red": 1, "blue": -1, "unknown": 0}
_ROWS_AT_ONCE = 4096  # bounds the memory of a large X: replicas x rows x 16 bytes


@dataclass(frozen=True, slots=True)
class ProductionEnsembleConfig:
    """How the ensemble answers; see `create_production_ensemble_config`."""

    model_weights: dict[str, float] | None = None
    bootstrap_samples: int = 100
    max_memory_mb: float = 4096.0
    n_jobs: int = -1
    confidence_level: float = 0.95
    min_prediction_confidence: float = 0.5
    max_uncertainty_threshold: float = 0.4


def create_production_ensemble_config(
    model_weights: Mapping[str, float] | None = None,
    bootstrap_samples: int = 100,
    max_memory_mb: float = 4096.0,
    n_jobs: int = -1,
    confidence_level: float = 0.95,
    min_prediction_confidence: float = 0.5,
    max_uncertainty_threshold: float = 0.4,
) -> ProductionEnsembleConfig:
    """Return a checked configuration.

    model_weights: shares of random_forest, xgboost and neural_network, summing to 1; they must be those that the
    model was calibrated with. None takes the model's own.
    bootstrap_samples: replicas behind the sampling interval; 0 switches it off. max_memory_mb: limit for the resident
    memory of this process, in MiB. n_jobs: threads, -1 for one a core. confidence_level: of the intervals.
    min_prediction_confidence: least calibrated probability of the likelier fighter, below which a prediction is
    flagged. max_uncertainty_threshold: widest sampling interval that is not flagged.
    Raises ValidationError naming the value.
    """
    weights = None if model_weights is None else dict(model_weights)
    if weights is not None:
        check_weights(weights, dict.fromkeys(MEMBERS))
    if bootstrap_samples < 0:
        raise ValidationError(f"bootstrap_samples must not be negative, not {bootstrap_samples}")
    for name, value in (
        ("min_prediction_confidence", min_prediction_confidence),
        ("max_uncertainty_threshold", max_uncertainty_threshold),
    ):
        if not 0.0 <= value <= 1.0:
            raise ValidationError(f"{name} must lie between 0 and 1, not {value}")
    create_bootstrap_config(max(1, bootstrap_samples), confidence_level, n_jobs, max_memory_mb)
    return ProductionEnsembleConfig(
        weights,
        bootstrap_samples,
        max_memory_mb,
        n_jobs,
        confidence_level,
        min_prediction_confidence,
        max_uncertainty_threshold,
    )


@dataclass(frozen=True, slots=True)
class FightPrediction:
    """The answer for one row: everything is said of `fighter_a`, the first of the pair.

    probability: calibrated. intervals: (lower, upper) by level, made by `interval_method`. sampling_interval:
    percentile interval over the replicas at `sampling_level`, None with `sampling_reason`. members: each member's
    own mirror-averaged probability, not calibrated. warnings: `low_confidence`, `high_uncertainty`.
    """

    fighter_a: str
    fighter_b: str
    probability: float
    intervals: dict[float, tuple[float, float]]
    interval_method: Method
    sampling_interval: tuple[float, float] | None
    sampling_level: float
    sampling_reason: str | None
    members: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def uncertainty(self) -> float | None:
        """Width of the sampling interval, None where there is none."""
        return None if self.sampling_interval is None else self.sampling_interval[1] - self.sampling_interval[0]


class ProductionEnsembleManager:
    """Loads one model and answers fights with it. Safe to share between threads once a model is loaded."""

    def __init__(self, config: ProductionEnsembleConfig) -> None:
        self.config = config
        self._guard = MemoryGuard(config.max_memory_mb)
        self._ensemble: Ensemble | None = None

    @classmethod
    def of(cls, ensemble: Ensemble, config: ProductionEnsembleConfig) -> ProductionEnsembleManager:
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

    def load_models(self, model_paths: str | Path | Mapping[str, str | Path]) -> None:
        """Load a bundle: its folder, or a mapping of every member to its sub-folder of the same bundle.

        Raises BundleNotFoundError, BundleCorruptError (hashes are checked before anything is read), ValidationError
        where the mapping or the weights do not fit the bundle, and BootstrapError where it has too few replicas.
        """
        folder = _bundle_folder(model_paths)
        self._use(load_ensemble(open_bundle(folder)))
        self._guard.check(f"loading {folder.name}")

    def configured(self, config: ProductionEnsembleConfig) -> ProductionEnsembleManager:
        """Return a manager of the same loaded model under another configuration; nothing is loaded again."""
        return self.of(self.ensemble, config)

    def predict_fights(
        self,
        X: pd.DataFrame,
        fighter_pairs: Sequence[tuple[str, str]],
        *,
        corners: Sequence[Corner] | None = None,
        experience: Sequence[int] | None = None,
        levels: Sequence[float] | None = None,
    ) -> list[FightPrediction]:
        """Answer each row of `X`, (n, model columns), missing values allowed, for its pair of fighters.

        corners: official corner of the first of each pair, unknown by default. experience: earlier fights of the less
        experienced fighter, -1 (unknown) by default. levels: of the intervals, the configured one by default.
        Swapping a pair together with its row's sides and its corner gives exactly 1 - p. Raises ValidationError naming
        the columns or the pair, BootstrapError, MemoryLimitError.
        """
        values = check_features(X, self.ensemble.columns)
        _check_pairs(fighter_pairs, len(values))
        sides = _signs(["unknown"] * len(values) if corners is None else corners)
        earlier = np.asarray([-1] * len(values) if experience is None else experience, dtype=np.int64)
        if len(sides) != len(values) or len(earlier) != len(values):
            raise ValidationError(
                f"X has {len(values)} rows, corners {len(sides)} and experience {len(earlier)}: give one for each row"
            )
        wanted = tuple(levels or (self.config.confidence_level,))
        if not all(0.0 < level < 1.0 for level in wanted):
            raise ValidationError(f"levels must lie between 0 and 1, not {', '.join(map(str, wanted))}")
        predictions: list[FightPrediction] = []
        for start in range(0, len(values), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            predictions += self._answer(values[part], fighter_pairs[part], sides[part], earlier[part], wanted)
        return predictions

    def check_canary(self) -> float:
        """Answer the bundle's canary rows and return the largest difference from the answers kept with it."""
        rows, expected = self.ensemble.canary
        logit, _ = self._point(rows, np.zeros(len(rows), dtype=np.int8))
        return float(np.max(np.abs(probability_of(logit) - expected)))

    def _answer(
        self,
        values: Floats,
        pairs: Sequence[tuple[str, str]],
        sides: NDArray[np.int8],
        experience: NDArray[np.int64],
        levels: tuple[float, ...],
    ) -> list[FightPrediction]:
        half_widths = self.ensemble.half_widths
        logit, members = self._point(values, sides)
        probability = probability_of(logit)
        bounds = {}
        for level in levels:
            h = half_widths.at(level, sides != 0, experience)
            bounds[level] = (probability_of(logit - h), probability_of(logit + h))
        sampling = self._sampling(values, sides)
        predictions = []
        for row, (fighter_a, fighter_b) in enumerate(pairs):
            interval = None if sampling is None else (float(sampling[0][row]), float(sampling[1][row]))
            predictions.append(
                FightPrediction(
                    fighter_a=fighter_a,
                    fighter_b=fighter_b,
                    probability=float(probability[row]),
                    intervals={level: (float(low[row]), float(high[row])) for level, (low, high) in bounds.items()},
                    interval_method=half_widths.method,
                    sampling_interval=interval,
                    sampling_level=self.config.confidence_level,
                    sampling_reason=self._sampling_reason(),
                    members={name: float(p[row]) for name, p in members.items()},
                    warnings=self._warnings(float(probability[row]), interval),
                )
            )
        return predictions

    def _point(self, values: Floats, sides: NDArray[np.int8]) -> tuple[Floats, dict[str, Floats]]:
        """Return calibrated logits and each member's own probability."""
        ensemble = self.ensemble
        margin, members = point_margins(
            ensemble.point.by_name(), ensemble.weights, MirrorPlan.of(ensemble.columns), values
        )
        logit = ensemble.calibration(logit_of(margin), sides)
        return logit, {name: probability_of(logit_of(part)) for name, part in members.items()}

    def _sampling(self, values: Floats, sides: NDArray[np.int8]) -> tuple[Floats, Floats] | None:
        """Return the percentile interval over the replicas' calibrated probabilities; None where it is switched off."""
        ensemble = self.ensemble
        if self.config.bootstrap_samples == 0 or ensemble.replicas is None:
            return None
        config = create_bootstrap_config(
            self.config.bootstrap_samples,
            self.config.confidence_level,
            self.config.n_jobs,
            self.config.max_memory_mb,
        )
        both = np.concatenate([values, MirrorPlan.of(ensemble.columns)(values)])
        replicas = ThreadSafeBootstrapSampler(config).sample_bootstrap_predictions(
            ensemble.replicas.by_name(), pd.DataFrame(both, columns=list(ensemble.columns)), ensemble.weights
        )
        margins = margin_of(replicas[:, : len(values)], replicas[:, len(values) :])
        low, high = percentile_interval(margins, self.config.confidence_level)
        # Calibration is monotone, so the percentiles may be taken before it.
        calibrate = ensemble.calibration
        return probability_of(calibrate(logit_of(low), sides)), probability_of(calibrate(logit_of(high), sides))

    def _sampling_reason(self) -> str | None:
        return "bootstrap_off" if self.config.bootstrap_samples == 0 else None

    def _warnings(self, probability: float, sampling: tuple[float, float] | None) -> tuple[str, ...]:
        warnings = []
        if max(probability, 1.0 - probability) < self.config.min_prediction_confidence:
            warnings.append("low_confidence")
        if sampling is not None and sampling[1] - sampling[0] > self.config.max_uncertainty_threshold:
            warnings.append("high_uncertainty")
        return tuple(warnings)

    def _use(self, ensemble: Ensemble) -> None:
        if self.config.model_weights not in (None, ensemble.weights):
            raise ValidationError(
                f"the model was calibrated with weights {ensemble.weights}, the configuration has "
                f"{self.config.model_weights}: use the model's, or train with these"
            )
        if self.config.bootstrap_samples > ensemble.n_replicas:
            raise BootstrapError(
                f"the model has {ensemble.n_replicas} replicas, bootstrap_samples asks for "
                f"{self.config.bootstrap_samples}: lower it (0 switches the sampling interval off), or train with more"
            )
        self._ensemble = ensemble


def _bundle_folder(model_paths: str | Path | Mapping[str, str | Path]) -> Path:
    if isinstance(model_paths, str | Path):
        return Path(model_paths)
    if set(model_paths) != set(MEMBERS):
        raise ValidationError(f"model_paths must name {list(MEMBERS)}, not {sorted(model_paths)}")
    folders = {Path(path).parent for path in model_paths.values()}
    names = {name for name, path in model_paths.items() if Path(path).name == name}
    if len(folders) != 1 or names != set(MEMBERS):
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


def _check_pairs(pairs: Sequence[tuple[str, str]], rows: int) -> None:
    if len(pairs) != rows:
        raise ValidationError(f"X has {rows} rows but there are {len(pairs)} fighter pairs: give one pair for each row")
    for fighter_a, fighter_b in pairs:
        if fighter_a == fighter_b:
            raise ValidationError(f"{fighter_a!r} cannot fight against oneself")


def _self_test() -> dict[str, bool]:
    """Facts about saving, loading and answering, on a small trained model, and whether they hold."""
    with tempfile.TemporaryDirectory() as folder:
        ensemble, X = small_ensemble()
        path = save_ensemble(ensemble, Path(folder)).folder
        manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=20, max_memory_mb=4096))
        manager.load_models(path)
        pairs = [(f"A{row}", f"B{row}") for row in range(len(X))]
        answers = manager.predict_fights(X, pairs)
        swapped = manager.predict_fights(mirror(X), [(b, a) for a, b in pairs])
        single = manager.configured(replace(manager.config, n_jobs=1)).predict_fights(X, pairs)
        off = manager.configured(replace(manager.config, bootstrap_samples=0)).predict_fights(X, pairs)
        small = manager.configured(replace(manager.config, max_memory_mb=1.0))
        facts = {
            "a saved and loaded model gives the bits of its canary": manager.check_canary() == 0.0,
            "every probability lies inside its interval": all(
                answer.intervals[0.95][0] < answer.probability < answer.intervals[0.95][1] for answer in answers
            ),
            "one thread and all threads give the same bits": single == answers,
            "swapped fighters get exactly 1 - p": all(
                other.probability == 1.0 - answer.probability for answer, other in zip(answers, swapped, strict=True)
            ),
            "bootstrap off: no sampling interval, and the reason": off[0].sampling_interval is None
            and off[0].sampling_reason == "bootstrap_off",
            "empty input is a ValidationError": refuses(
                ValidationError, lambda: manager.predict_fights(X.iloc[:0], [])
            ),
            "infinite input is a ValidationError": refuses(
                ValidationError, lambda: manager.predict_fights(X.assign(diff_elo=np.inf), pairs)
            ),
            "a memory limit of 1 MB is a MemoryLimitError": refuses(
                MemoryLimitError, lambda: small.predict_fights(X, pairs)
            ),
        }
        manifest = path / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b"0.35", b"0.36"))
        facts["an altered bundle is a BundleCorruptError"] = refuses(
            BundleCorruptError, lambda: manager.load_models(path)
        )
        return facts


if __name__ == "__main__":
    sys.exit(report(_self_test()))
