"""The trained ensemble: all arrays that turn a row of features into a prediction. Saved to and loaded from a bundle.

A saved and loaded ensemble gives the same predictions to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats, ReplicaSet, ReplicatedMember
from engine.data.feature_groups import GroupedColumns
from engine.data.feature_matrix import MirrorPlan
from engine.data.fighter_snapshot import FighterSnapshot
from engine.data.snapshot_digest import StateIdentity, identify_snapshot
from engine.errors import BootstrapError, BundleCorruptError, ValidationError
from engine.intervals.half_widths import CLASS_EDGES, TRACKED_LEVELS, HalfWidths
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges, common_edges
from engine.members.member_stack import MEMBER_NAMES, MemberStacks, stack_from_arrays, stack_to_arrays
from engine.members.preprocessing import Preprocessing
from engine.members.weights import weighted_sum
from engine.model.bundle import Bundle, write_bundle
from engine.model.market_adjustment import LinearCorrection, MarketModel
from engine.model.rating_offset import NO_OFFSET, RatingOffset, rating_position
from engine.resources.chunked_arrays import ChunkedArray
from engine.statistics.calibration import Calibration
from engine.statistics.complements import corner_margin, mirror_averaged_margin


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A trained ensemble.

    Attributes
    ----------
    columns : tuple of str
        The features, in order.
    weights : dict of str to float
        The weight of each member.
    point : MemberStacks
        The fits whose mean is the point prediction.
    replicas : MemberStacks or None
        The bootstrap refits; None for a model that was trained without.
    calibration : Calibration
        From the ensemble's logit to the calibrated one.
    half_widths : HalfWidths
        Half-widths of the intervals on the logit scale.
    market_model : MarketModel or None
        The correction of closing odds; None if too few fights had odds.
    snapshot : FighterSnapshot or None
        The fighters' state after the last fight; None for a model of a ready feature matrix.
    reference_predictions : tuple of float64 arrays (4, columns) and (4,)
        Rows, and the probabilities that this model must give for them after every load.
    manifest : dict
        How the model was made.
    corner_aware : bool
        Whether the members were fitted with the red corner first, as imported estimators are. If so, their predictions
        are not mirror-averaged for fights whose corner is known.
    offset : RatingOffset
        The rating that the members correct; none for a model without a rating among its columns.
    """

    columns: tuple[str, ...]
    weights: dict[str, float]
    point: MemberStacks
    replicas: MemberStacks | None
    calibration: Calibration
    half_widths: HalfWidths
    market_model: MarketModel | None
    snapshot: FighterSnapshot | None
    reference_predictions: tuple[Floats, Floats]
    manifest: dict[str, Any]
    corner_aware: bool = False
    offset: RatingOffset = NO_OFFSET

    @cached_property
    def plan(self) -> MirrorPlan:
        """The column permutation and signs that swap the two sides of a row."""
        return MirrorPlan.from_columns(self.columns)

    @cached_property
    def groups(self) -> GroupedColumns:
        """The columns by group of features."""
        return GroupedColumns.from_columns(self.columns)

    @property
    def n_replicas(self) -> int:
        """The number of bootstrap refits; 0 for a model that was trained without."""
        return 0 if self.replicas is None else self.replicas.xgboost.n_replicas

    @property
    def replica_set(self) -> ReplicaSet:
        """The replicas as an argument of `sample_bootstrap_predictions`. Raises BootstrapError if there are none."""
        if self.replicas is None:
            raise BootstrapError(
                "the model was trained without replicas: train one with bootstrap_samples of 100 or more"
            )
        return ReplicaSet(self.replicas.by_name(), self.columns)

    @cached_property
    def accepts_missing(self) -> bool:
        """True if rows with missing values can be predicted; some imported estimators refuse such rows."""
        return all(preprocessing.accepts_missing for preprocessing in self.point.preprocessing.values())

    @property
    def data_cutoff(self) -> date:
        """The last day of the training data."""
        return date.fromisoformat(self.manifest["data"]["cutoff"])

    @property
    def last_seen_day(self) -> date:
        """The last day of the fights that any part of the model was measured on: members, calibration, half-widths."""
        anchoring = self.manifest.get("anchoring")
        return max(self.data_cutoff, date.fromisoformat(anchoring["until"]) if anchoring else self.data_cutoff)

    @cached_property
    def state(self) -> StateIdentity | None:
        """The identity of the fighters' state; None for a model without a snapshot."""
        return None if self.snapshot is None else identify_snapshot(self.snapshot)


def point_margins(
    members: Mapping[str, ReplicatedMember],
    weights: Mapping[str, float],
    plan: MirrorPlan,
    values: Floats,
    sides: NDArray[np.int8] | None = None,
) -> tuple[Floats, dict[str, Floats]]:
    """Return the mirror-averaged margin of the ensemble, and of each of its members.

    A member's prediction is the mean over its fits, summed in one fixed order.

    Parameters
    ----------
    members
        Fitted members by name.
    weights
        Weight of each member.
    plan
        The swap of a row's two sides.
    values
        Rows, float64 (n, columns).
    sides
        For members that use corners: the corner of each row's first fighter, int8 (n,).

    Returns
    -------
    float64 (n,), and a dict of float64 (n,) by member
    """
    both = np.concatenate([values, plan(values)])
    margins = {}
    for name, member in members.items():
        predictions = member.predict_replicas(both)
        total = predictions[0].copy()
        for prediction in predictions[1:]:
            total += prediction
        mean = total / len(predictions)
        forward, mirrored = mean[: len(values)], mean[len(values) :]
        margins[name] = (
            mirror_averaged_margin(forward, mirrored) if sides is None else corner_margin(forward, mirrored, sides)
        )
    return weighted_sum(margins, weights), margins


def save_ensemble(ensemble: Ensemble, parent: Path, replicas: Mapping[str, ChunkedArray] | None = None) -> Bundle:
    """Write the ensemble as a bundle into the folder `parent`, named by its digest.

    Parameters
    ----------
    ensemble
        The model.
    parent
        Folder for the bundle.
    replicas
        Arrays of the replicas, named as `engine.members.member_stack.stack_to_arrays` names them, if the ensemble does
        not hold them in memory. They must be grown on the ensemble's own feature bins.
    """
    arrays: dict[str, NDArray[Any] | ChunkedArray] = {**renewable_arrays(ensemble)}
    stacks: dict[str, Mapping[str, NDArray[Any] | ChunkedArray]] = {"point": stack_to_arrays(ensemble.point)}
    n_replicas = ensemble.n_replicas
    if ensemble.replicas is not None:
        common_edges((_cuts(ensemble.point), _cuts(ensemble.replicas)))
        stacks["replicas"] = stack_to_arrays(ensemble.replicas)
    elif replicas is not None:
        n_replicas = replicas["xgboost/base"].shape[0]
        stacks["replicas"] = replicas
    arrays |= _prefixed("cuts", _cuts(ensemble.point).to_arrays())
    for role, stack in stacks.items():
        for name, array in stack.items():
            member, _, rest = name.partition("/")
            arrays[f"{member}/{role}/{rest}"] = array
    market = ensemble.market_model
    if market is not None:
        arrays |= _prefixed("market", _market_arrays(market))
    for name, preprocessing in ensemble.point.preprocessing.items():
        arrays |= _prefixed(f"{name}/preparation", preprocessing.to_arrays())
    manifest = ensemble.manifest | {
        **renewable_entries(ensemble),
        "columns": list(ensemble.columns),
        "weights": ensemble.weights,
        "market_aware": None if market is None else {"weight": market.weight, "fights": market.fights},
        "fits": ensemble.point.xgboost.n_replicas,
        "bootstrap_samples": n_replicas,
    }
    return write_bundle(parent, arrays, manifest | _optional_entries(ensemble))


def _optional_entries(ensemble: Ensemble) -> dict[str, Any]:
    """Return the entries of the manifest that only some models have."""
    entries: dict[str, Any] = {}
    if ensemble.corner_aware:
        entries["sided"] = True
    if ensemble.offset.position is not None:
        entries["rating_offset"] = {"slope": ensemble.offset.slope}
    if ensemble.point.preprocessing:
        entries["preparations"] = {
            name: preprocessing.metadata for name, preprocessing in ensemble.point.preprocessing.items()
        }
    return entries


RENEWABLE_FOLDERS = ("canary", "intervals", "snapshot")
"""Folders of a bundle whose arrays may be renewed without a training; all others are what a training learnt."""


def renewable_arrays(ensemble: Ensemble) -> dict[str, NDArray[Any]]:
    """Return the arrays in RENEWABLE_FOLDERS, by their names in a bundle."""
    arrays: dict[str, NDArray[Any]] = {
        "canary/rows": ensemble.reference_predictions[0],
        "canary/probability": ensemble.reference_predictions[1],
        **_prefixed("intervals", _interval_arrays(ensemble.half_widths)),
    }
    if ensemble.snapshot is not None:
        arrays |= _prefixed("snapshot", ensemble.snapshot.to_arrays())
    return arrays


def renewable_entries(ensemble: Ensemble) -> dict[str, Any]:
    """Return the entries of a manifest that belong to `renewable_arrays`."""
    entries: dict[str, Any] = {
        "calibration": asdict(ensemble.calibration),
        "intervals": _described(ensemble.half_widths),
    }
    if ensemble.snapshot is not None:
        state = identify_snapshot(ensemble.snapshot)
        entries["state"] = {"digest": state.digest, "cutoff": str(state.cutoff)}
    return entries


def load_ensemble(bundle: Bundle) -> Ensemble:
    """Build the ensemble of an opened (and so verified) bundle; its arrays stay memory-mapped.

    Raises
    ------
    BundleCorruptError
        If the bundle is intact but holds no ensemble of this version.
    """
    manifest = bundle.manifest
    try:
        cuts = BinEdges.from_arrays(_in_folder(bundle, "cuts"))
        snapshot = _in_folder(bundle, "snapshot")
        return Ensemble(
            columns=tuple(manifest["columns"]),
            weights=dict(manifest["weights"]),
            point=_load_stack(bundle, "point", cuts),
            replicas=_load_stack(bundle, "replicas", cuts) if manifest["bootstrap_samples"] else None,
            calibration=Calibration(**manifest["calibration"]),
            half_widths=_load_half_widths(bundle),
            market_model=_load_market(bundle) if manifest["market_aware"] else None,
            snapshot=FighterSnapshot.from_arrays(snapshot) if snapshot else None,
            reference_predictions=(
                np.asarray(bundle.array("canary/rows")),
                np.asarray(bundle.array("canary/probability")),
            ),
            manifest=manifest,
            corner_aware=manifest.get("sided", False),
            offset=_load_offset(manifest),
        )
    except (KeyError, IndexError, TypeError, ValidationError) as error:
        raise BundleCorruptError(
            f"bundle {bundle.digest} is intact but holds no ensemble of this version ({error!r}): train the model again"
        ) from error


def _load_offset(manifest: Mapping[str, Any]) -> RatingOffset:
    about = manifest.get("rating_offset")
    return NO_OFFSET if about is None else RatingOffset(rating_position(manifest["columns"]), **about)


def _cuts(stack: MemberStacks) -> BinEdges:
    return common_edges((stack.random_forest.trees.cuts, stack.xgboost.trees.cuts))


def _load_stack(bundle: Bundle, role: str, cuts: BinEdges) -> MemberStacks:
    preprocessing = {
        name: Preprocessing.from_arrays(described, _in_folder(bundle, f"{name}/preparation"))
        for name, described in bundle.manifest.get("preparations", {}).items()
    }
    arrays = {
        f"{member}/{name}": array
        for member in MEMBER_NAMES
        for name, array in _in_folder(bundle, f"{member}/{role}").items()
    }
    return replace(stack_from_arrays(cuts, arrays), preprocessing=preprocessing)


def _interval_arrays(half_widths: HalfWidths) -> dict[str, Floats]:
    measured = {"distances": half_widths.distances, "weights": half_widths.weights or ()}
    return {
        f"{name}_{state}_{index}": group
        for name, states in measured.items()
        for state, groups in enumerate(states)
        for index, group in enumerate(groups)
    }


def _described(half_widths: HalfWidths) -> dict[str, Any]:
    """Return the values of the manifest that `_load_half_widths` reads."""
    return {
        "scale": list(half_widths.scale),
        "spread": half_widths.spread,
        "outward": half_widths.outward,
        "market_slope": half_widths.market_slope,
        "learnable": None if half_widths.learnable is None else list(half_widths.learnable),
        "moved_levels": [list(levels) for levels in half_widths.moved_levels],
    }


def _load_half_widths(bundle: Bundle) -> HalfWidths:
    about = bundle.manifest["intervals"]

    def by_class(name: str, state: int) -> tuple[Floats, ...]:
        return tuple(
            np.asarray(bundle.array(f"intervals/{name}_{state}_{index}")) for index in range(len(CLASS_EDGES) + 2)
        )

    weighted = "intervals/weights_0_0" in bundle.array_names
    unknown, known = about.get("moved_levels", (TRACKED_LEVELS, TRACKED_LEVELS))
    return HalfWidths(
        distances=(by_class("distances", 0), by_class("distances", 1)),
        scale=(about["scale"][0], about["scale"][1]),
        spread=about["spread"],
        weights=(by_class("weights", 0), by_class("weights", 1)) if weighted else None,
        # Absent in bundles of models from before re-anchoring.
        outward=about.get("outward", 0.0),
        market_slope=about.get("market_slope"),
        learnable=None if about.get("learnable") is None else (about["learnable"][0], about["learnable"][1]),
        moved_levels=(tuple(unknown), tuple(known)),
    )


def _market_arrays(market: MarketModel) -> dict[str, NDArray[Any]]:
    correction = market.correction
    if isinstance(correction, LinearCorrection):
        return {"scales": correction.scales, "coefficients": correction.coefficients}
    return _prefixed("cuts", correction.trees.cuts.to_arrays()) | _prefixed("trees", correction.to_arrays())


def _load_market(bundle: Bundle) -> MarketModel:
    about = bundle.manifest["market_aware"]
    if "market/coefficients" in bundle.array_names:
        scales, coefficients = (np.asarray(bundle.array(f"market/{name}")) for name in ("scales", "coefficients"))
        return MarketModel(LinearCorrection(scales, coefficients), **about)
    cuts = BinEdges.from_arrays(_in_folder(bundle, "market/cuts"))
    return MarketModel(FlatBoosters.from_arrays(cuts, _in_folder(bundle, "market/trees")), **about)


def _prefixed(folder: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Prefix the names of arrays with a folder of the bundle."""
    return {f"{folder}/{name}": array for name, array in arrays.items()}


def _in_folder(bundle: Bundle, folder: str) -> dict[str, NDArray[Any]]:
    """Return the arrays in one folder of the bundle, by their names without the folder."""
    return {
        name.removeprefix(f"{folder}/"): bundle.array(name)
        for name in bundle.array_names
        if name.startswith(f"{folder}/")
    }
