"""Conversion of fitted estimators of other systems into members: forests, networks and XGBoost classifiers.

Each may be alone or at the end of a scikit-learn Pipeline of imputers and scalers. An estimator that cannot be
converted exactly is refused, with the reason. `check_parity` compares the members with the originals, on rows around
every split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from engine.arrays import Floats, ReplicatedMember
from engine.errors import ValidationError
from engine.importing.version_repair import explain_errors, upgrade_estimator, version_advice
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges
from engine.members.member_stack import MemberStacks
from engine.members.neural_network import StackedNetworks
from engine.members.preprocessing import PreprocessedMember, Preprocessing, PreprocessingStep
from engine.members.random_forest import FlatForests
from engine.resources.blas_threads import one_blas_thread

PARITY_TOLERANCE = 1e-6
N_PROBE_ROWS = 512
_MISSING_SHARE = 0.1  # of missing values in every other probe row


@dataclass(frozen=True, eq=False)
class ExternalEstimator:
    """An estimator and its parts.

    Attributes
    ----------
    member : str
        Name of the member that it becomes.
    estimator : object
        The whole estimator.
    classifier : object
        The classifier at its end.
    preprocessing : Preprocessing
        The preprocessing before the classifier.
    saved_by : mapping of str to str
        Versions of the libraries that saved it, by library.
    """

    member: str
    estimator: Any
    classifier: Any
    preprocessing: Preprocessing
    saved_by: Mapping[str, str] = field(default_factory=dict)

    def predict(self, X: Floats) -> Floats:
        """Return the original's own P(first wins), float64 (n,), for rows X (n, f).

        Raises
        ------
        ValidationError
            If the original fails, or returns values that are no probabilities.
        """
        with explain_errors(self.member, self.saved_by):
            p = self._predict(X)
        if not ((p >= 0.0) & (p <= 1.0)).all():
            invalid = p[~((p >= 0.0) & (p <= 1.0))][0]
            raise ValidationError(
                f"{self.member} predicts {invalid:g}, which is no probability; {version_advice(self.saved_by)}"
            )
        return p

    @property
    def accepts_missing(self) -> bool:
        """True if the original predicts a row in which every value is missing."""
        with explain_errors(self.member, self.saved_by):
            try:
                self._predict(np.full((1, self.n_features), np.nan))
            except ValueError:
                return False
            return True

    def _predict(self, X: Floats) -> Floats:
        if isinstance(self.classifier, xgb.Booster):
            names = self.classifier.feature_names
            return np.asarray(
                self.classifier.predict(xgb.DMatrix(self.preprocessing(X), feature_names=names)), dtype=np.float64
            )
        named = getattr(self.estimator, "feature_names_in_", None)
        rows = X if named is None else pd.DataFrame(X, columns=named)
        with one_blas_thread():
            return np.asarray(self.estimator.predict_proba(rows)[:, 1], dtype=np.float64)

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The columns that it was fitted on, None if it does not store them."""
        with explain_errors(self.member, self.saved_by):
            named = getattr(self.estimator, "feature_names_in_", None)
            if named is None and isinstance(self.classifier, xgb.Booster):
                named = self.classifier.feature_names
            return None if named is None else tuple(map(str, named))

    @property
    def n_features(self) -> int:
        """The number of columns that it was fitted on."""
        with explain_errors(self.member, self.saved_by):
            if isinstance(self.classifier, xgb.Booster):
                return int(self.classifier.num_features())
            return int(self.estimator.n_features_in_)


def unwrap(member: str, estimator: Any, saved_by: Mapping[str, str] | None = None) -> ExternalEstimator:
    """Split an estimator into its parts, after upgrading it to the installed versions.

    Parameters
    ----------
    member
        Name of the member that it becomes: random_forest, xgboost or neural_network.
    estimator
        The fitted estimator, or a Pipeline.
    saved_by
        Versions of the libraries that saved it, by library.

    Raises
    ------
    ValidationError
        For an unknown step or an unreadable part; the message names it.
    """
    with explain_errors(member, saved_by or {}):
        return _unwrap(member, estimator, saved_by or {})


def _unwrap(member: str, estimator: Any, saved_by: Mapping[str, str]) -> ExternalEstimator:
    steps, classifier = [], estimator
    if isinstance(estimator, Pipeline):
        steps, classifier = [step for _, step in estimator.steps[:-1]], estimator.steps[-1][1]
    expected: dict[str, tuple[type, ...]] = {
        "random_forest": (RandomForestClassifier,),
        "xgboost": (xgb.XGBClassifier, xgb.Booster),
        "neural_network": (MLPClassifier,),
    }
    if not isinstance(classifier, expected[member]):
        names = " or ".join(kind.__name__ for kind in expected[member])
        raise ValidationError(f"{member} must be a {names}, alone or at the end of a Pipeline, not {_name(classifier)}")
    upgrade_estimator(estimator)
    if not isinstance(classifier, xgb.Booster) and list(getattr(classifier, "classes_", [])) != [0, 1]:
        raise ValidationError(
            f"{member} must be fitted on the classes 0 and 1 (1: the first, red side won), its classes are "
            f"{list(getattr(classifier, 'classes_', []))}"
        )
    prepared = Preprocessing(tuple(step for part in steps for step in _steps(member, part)))
    return ExternalEstimator(member, estimator, classifier, prepared, saved_by)


def common_columns(estimators: Sequence[ExternalEstimator], given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names, in order, of the columns that all estimators were fitted on.

    Parameters
    ----------
    estimators
        The estimators.
    given
        Names from the user; `their_name=our_name` renames a column.

    Raises
    ------
    ValidationError
        If the names differ, or neither an estimator nor the user gives them.
    """
    named = {part.member: part.feature_names for part in estimators if part.feature_names is not None}
    pairs = None if given is None else [entry.partition("=") for entry in given]
    columns = next(iter(named.values()), None) if pairs is None else tuple(theirs.strip() for theirs, *_ in pairs)
    if columns is None:
        raise ValidationError(
            "none of the estimators stores the names of its columns (they were fitted on plain arrays): give them, in "
            "order, one a line, with --columns FILE"
        )
    for member, names in named.items():
        if names != columns and names != tuple(f"f{k}" for k in range(len(columns))):
            position = next(
                (k for k, pair in enumerate(zip(names, columns, strict=False)) if pair[0] != pair[1]),
                min(len(names), len(columns)),
            )
            raise ValidationError(
                f"{member} was fitted on {len(names)} columns that are not the {len(columns)} expected ones in their "
                f"order; the first that differs is number {position + 1}"
            )
    for part in estimators:
        if part.n_features != len(columns):
            raise ValidationError(f"{part.member} was fitted on {part.n_features} columns, not on {len(columns)}")
    return columns if pairs is None else tuple((ours or theirs).strip() for theirs, _, ours in pairs)


def convert_members(estimators: Mapping[str, ExternalEstimator]) -> MemberStacks:
    """Convert the estimators into members with common feature bins. Raises ValidationError if that is impossible."""
    boosted, forest, network = (estimators[name] for name in ("xgboost", "random_forest", "neural_network"))
    with explain_errors("xgboost", boosted.saved_by):
        booster = _booster(boosted.classifier)
        splits = FlatBoosters.from_booster(booster).trees.cuts
    with explain_errors("random_forest", forest.saved_by):
        cuts = BinEdges.union(FlatForests.from_forest(forest.classifier).trees.cuts, splits)
        forests = FlatForests.from_forest(forest.classifier, cuts)
    with explain_errors("neural_network", network.saved_by):
        networks = StackedNetworks.from_classifier(network.classifier)
    return MemberStacks(
        random_forest=forests,
        xgboost=FlatBoosters.from_booster(booster, cuts),
        neural_network=networks,
        preprocessing={
            name: Preprocessing(part.preprocessing.steps, part.accepts_missing) for name, part in estimators.items()
        },
    )


def check_parity(estimators: Mapping[str, ExternalEstimator], members: MemberStacks, seed: int = 0) -> float:
    """Return the largest difference between the originals and the members on probe rows.

    Raises
    ------
    ValidationError
        If the difference exceeds PARITY_TOLERANCE: the model is not imported.
    """
    largest = 0.0
    for name, part in estimators.items():
        with explain_errors(name, part.saved_by):
            member = members.by_name()[name]
            X = probe_rows(members, part, with_missing=_takes_missing(member), seed=seed)
            difference = np.abs(member.predict_replicas(X)[0] - part.predict(X))
        if not difference.max() <= PARITY_TOLERANCE:
            raise ValidationError(
                f"{name} predicts differently once converted, by {difference.max():.2e} on probe row "
                f"{int(difference.argmax())} of {N_PROBE_ROWS}; {PARITY_TOLERANCE:g} is allowed. It is not imported; "
                f"{version_advice(part.saved_by)}"
            )
        largest = max(largest, float(difference.max()))
    return largest


def probe_rows(members: MemberStacks, part: ExternalEstimator, *, with_missing: bool, seed: int) -> Floats:
    """Return random rows for a comparison, float64 (N_PROBE_ROWS, f), with values near the splits of each column.

    The splits of the trees are in preprocessed values, so they are mapped back through the preprocessing.
    """
    rng = np.random.default_rng(seed)
    cuts = members.random_forest.trees.cuts
    X = rng.normal(size=(N_PROBE_ROWS, cuts.n_features))
    for column in range(cuts.n_features):
        splits = cuts.values[cuts.starts[column] : cuts.starts[column + 1]].astype(np.float64)
        splits = splits[np.isfinite(splits)]  # a split that only separates missing from present values lies at infinity
        if len(splits):
            drawn = rng.choice(splits, N_PROBE_ROWS)
            X[:, column] = drawn + rng.normal(size=N_PROBE_ROWS) * 0.1 * (float(np.ptp(splits)) or 1.0)
    for step in reversed(part.preprocessing.steps):
        if step.operation == "standardise":
            X = X * step.second + step.first
        elif step.operation == "rescale":
            X = (X - step.second) / np.where(step.first == 0.0, 1.0, step.first)
    if with_missing:
        X[::2][rng.random(X[::2].shape) < _MISSING_SHARE] = np.nan
    return X


def _takes_missing(member: ReplicatedMember) -> bool:
    return not isinstance(member, PreprocessedMember) or member.preprocessing.accepts_missing


def _booster(classifier: Any) -> xgb.Booster:
    """Return the trees that the classifier predicts with."""
    if isinstance(classifier, xgb.Booster):
        booster = classifier
    else:
        missing = classifier.get_params().get("missing", np.nan)
        if missing is not None and not np.isnan(missing):
            raise ValidationError(
                f"xgboost uses {missing} for missing values, this system NaN: fit it with missing=NaN"
            )
        booster = classifier.get_booster()
        # As its own predict_proba does, if early stopping, a callback or continued training has set it.
        if (best := booster.attr("best_iteration")) is not None:
            booster = booster[: int(best) + 1]
    if "c" in (booster.feature_types or ()):
        raise ValidationError("xgboost splits categories, which cannot be converted: fit it on numbers")
    return booster


def _steps(member: str, part: Any) -> list[PreprocessingStep]:
    """Return the steps of one transformer. Raises ValidationError for an unknown one."""
    for kind, steps in _KNOWN_STEPS:
        if type(part) is kind:
            return steps(member, part)
    if part in (None, "passthrough"):
        return []
    known = ", ".join(kind.__name__ for kind, _ in _KNOWN_STEPS)
    raise ValidationError(
        f"{member} has a preprocessing step {_name(part)}, which is not supported; supported are: {known}"
    )


def _fill_step(member: str, part: SimpleImputer) -> list[PreprocessingStep]:
    values = np.asarray(part.statistics_, dtype=np.float64)
    if part.add_indicator or not np.isnan(part.missing_values) or np.isnan(values).any():
        raise ValidationError(
            f"the SimpleImputer of {member} adds or drops columns, or uses another value than NaN for missing: "
            "fit it without add_indicator, on columns that have values"
        )
    return [PreprocessingStep("fill", values, np.zeros_like(values))]


def _standard_scaler_step(member: str, part: StandardScaler) -> list[PreprocessingStep]:
    return [_shift_and_scale(part.n_features_in_, part.mean_ if part.with_mean else None, part.scale_)]


def _robust_scaler_step(member: str, part: RobustScaler) -> list[PreprocessingStep]:
    return [_shift_and_scale(part.n_features_in_, part.center_, part.scale_)]


def _min_max_scaler_step(member: str, part: MinMaxScaler) -> list[PreprocessingStep]:
    if part.clip:
        raise ValidationError(f"the MinMaxScaler of {member} clips, which cannot be converted: fit it without clip")
    return [PreprocessingStep("rescale", np.asarray(part.scale_, np.float64), np.asarray(part.min_, np.float64))]


def _shift_and_scale(width: int, centre: Any, scale: Any) -> PreprocessingStep:
    return PreprocessingStep(
        "standardise",
        np.zeros(width) if centre is None else np.asarray(centre, np.float64),
        np.ones(width) if scale is None else np.asarray(scale, np.float64),
    )


_KNOWN_STEPS: tuple[tuple[type, Callable[[str, Any], list[PreprocessingStep]]], ...] = (
    (SimpleImputer, _fill_step),
    (StandardScaler, _standard_scaler_step),
    (RobustScaler, _robust_scaler_step),
    (MinMaxScaler, _min_max_scaler_step),
)


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"
