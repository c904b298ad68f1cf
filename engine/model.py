"""The trained ensemble as one value, and its way into a bundle and back.

An `Ensemble` holds everything that turns a row of features into an answer. Saved and loaded, it gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.boosters import BoosterSet
from engine.bootstrap import weighted_sum
from engine.bundle import Bundle, write_bundle
from engine.calibration import Calibration
from engine.errors import BootstrapError, BundleCorruptError, ValidationError
from engine.forest import FlatForests
from engine.intervals import CLASS_EDGES, HalfWidths
from engine.market_model import MarketModel
from engine.matrix import MirrorPlan
from engine.member import Floats, ReplicaSet, ReplicatedMember
from engine.members import MemberStacks
from engine.network import StackedNetworks
from engine.snapshot import Snapshot
from engine.symmetry import margin_of


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """A trained ensemble.

    columns: the features, in order. weights: each member's share. point: the fits whose mean is the answer.
    replicas: the bootstrap refits, None where there are none. market_model: None where too few fights had odds.
    snapshot: the fighters' state after the last fight, None for a model of a ready feature matrix. canary: rows,
    float64 (4, columns), with the probabilities that this model must give for them. manifest: what is known about its
    making.
    """

    columns: tuple[str, ...]
    weights: dict[str, float]
    point: MemberStacks
    replicas: MemberStacks | None
    calibration: Calibration
    half_widths: HalfWidths
    market_model: MarketModel | None
    snapshot: Snapshot | None
    canary: tuple[Floats, Floats]
    manifest: dict[str, Any]

    @property
    def n_replicas(self) -> int:
        """How many bootstrap refits there are; 0 where the model was trained without."""
        return 0 if self.replicas is None else self.replicas.xgboost.n_replicas

    @property
    def replica_set(self) -> ReplicaSet:
        """The replicas as `sample_bootstrap_predictions` takes them. Raises BootstrapError where there are none."""
        if self.replicas is None:
            raise BootstrapError("the model was trained without replicas: train with bootstrap_samples of 100 or more")
        return ReplicaSet(self.replicas.by_name(), self.columns)

    @property
    def data_cutoff(self) -> date:
        """The last day of the data that it has seen."""
        return date.fromisoformat(self.manifest["data"]["cutoff"])


def point_margins(
    members: Mapping[str, ReplicatedMember], weights: Mapping[str, float], plan: MirrorPlan, values: Floats
) -> tuple[Floats, dict[str, Floats]]:
    """Return the ensemble's mirror-averaged margin, (n,), and each member's, for rows `values` (n, columns).

    A member's prediction is the mean over its fits, added one after the other so that the sum has one order.
    """
    both = np.concatenate([values, plan(values)])
    margins = {}
    for name, member in members.items():
        predictions = member.predict_replicas(both)
        total = predictions[0].copy()
        for prediction in predictions[1:]:
            total += prediction
        mean = total / len(predictions)
        margins[name] = margin_of(mean[: len(values)], mean[len(values) :])
    return weighted_sum(margins, weights), margins


def save_ensemble(ensemble: Ensemble, parent: Path) -> Bundle:
    """Write the ensemble as a bundle into the folder `parent`, under its digest."""
    arrays: dict[str, NDArray[Any]] = {
        "canary/rows": ensemble.canary[0],
        "canary/probability": ensemble.canary[1],
    }
    blobs: dict[str, bytes] = {}
    stacks = {"point": ensemble.point} | ({"replicas": ensemble.replicas} if ensemble.replicas else {})
    for role, stack in stacks.items():
        for name, array in stack.random_forest.to_arrays().items():
            arrays[f"random_forest/{role}/{name}"] = array
        for name, array in stack.neural_network.to_arrays().items():
            arrays[f"neural_network/{role}/{name}"] = array
        for name, blob in stack.xgboost.to_blobs().items():
            blobs[f"xgboost/{role}/{name}"] = blob
    market = ensemble.market_model
    if market is not None:
        blobs |= {f"market/{name}": blob for name, blob in market.correction.to_blobs().items()}
    for state, groups in enumerate(ensemble.half_widths.distances):
        for index, group in enumerate(groups):
            arrays[f"intervals/distances_{state}_{index}"] = group
    if ensemble.snapshot is not None:
        for name, array in ensemble.snapshot.to_arrays().items():
            arrays[f"snapshot/{name}"] = array
    manifest = ensemble.manifest | {
        "columns": list(ensemble.columns),
        "weights": ensemble.weights,
        "calibration": asdict(ensemble.calibration),
        "intervals": {"beta": list(ensemble.half_widths.beta), "spread": ensemble.half_widths.spread},
        "market_aware": None if market is None else {"weight": market.weight, "fights": market.fights},
        "fits": ensemble.point.xgboost.n_replicas,
        "bootstrap_samples": ensemble.n_replicas,
    }
    return write_bundle(parent, arrays, blobs, manifest)


def load_ensemble(bundle: Bundle) -> Ensemble:
    """Build the ensemble of an opened (and so verified) bundle; its arrays stay memory-mapped."""
    manifest = bundle.manifest
    try:
        snapshot = _under(bundle, "snapshot")
        groups = len(CLASS_EDGES) + 2
        distances = [
            tuple(np.asarray(bundle.array(f"intervals/distances_{state}_{index}")) for index in range(groups))
            for state in (0, 1)
        ]
        return Ensemble(
            columns=tuple(manifest["columns"]),
            weights=dict(manifest["weights"]),
            point=_load_stack(bundle, "point"),
            replicas=_load_stack(bundle, "replicas") if manifest["bootstrap_samples"] else None,
            calibration=Calibration(**manifest["calibration"]),
            half_widths=HalfWidths(
                distances=(distances[0], distances[1]),
                beta=(manifest["intervals"]["beta"][0], manifest["intervals"]["beta"][1]),
                spread=manifest["intervals"]["spread"],
            ),
            market_model=MarketModel(_boosters(bundle, "market"), **manifest["market_aware"])
            if manifest["market_aware"]
            else None,
            snapshot=Snapshot.from_arrays(snapshot) if snapshot else None,
            canary=(np.asarray(bundle.array("canary/rows")), np.asarray(bundle.array("canary/probability"))),
            manifest=manifest,
        )
    except (KeyError, IndexError, TypeError, ValidationError) as error:
        raise BundleCorruptError(
            f"bundle {bundle.digest} is whole but is not an ensemble of this version ({error!r}): train it again"
        ) from error


def _load_stack(bundle: Bundle, role: str) -> MemberStacks:
    return MemberStacks(
        random_forest=FlatForests.from_arrays(_under(bundle, f"random_forest/{role}")),
        xgboost=_boosters(bundle, f"xgboost/{role}"),
        neural_network=StackedNetworks.from_arrays(_under(bundle, f"neural_network/{role}")),
    )


def _boosters(bundle: Bundle, folder: str) -> BoosterSet:
    names = [name for name in bundle.blob_names if name.startswith(f"{folder}/")]
    return BoosterSet.from_blobs({name.removeprefix(f"{folder}/"): bundle.blob(name) for name in names})


def _under(bundle: Bundle, folder: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of one folder of the bundle, by the rest of their names."""
    return {
        name.removeprefix(f"{folder}/"): bundle.array(name)
        for name in bundle.array_names
        if name.startswith(f"{folder}/")
    }
