"""The three members of the ensemble: default weights, hyperparameters, and one refit of all of them.

A refit is one random forest, one XGBoost model and one neural network on the same weighted fights. Many refits are
stacked, so that they are predicted together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Array, Floats, ReplicatedMember
from engine.data.feature_matrix import MirrorPlan
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges
from engine.members.flat_trees import join_replicas
from engine.members.neural_network import NetworkParams, StackedNetworks, fit_network
from engine.members.preprocessing import PreprocessedMember, Preprocessing
from engine.members.random_forest import FlatForests, ForestParams, grow_forest
from engine.members.xgboost_fit import ProductionXGBoostConfig, SharedRows, TrainingLimits, boost
from engine.resources.chunked_arrays import ChunkedArray, NamedArrays

MEMBER_NAMES = ("random_forest", "xgboost", "neural_network")
DEFAULT_WEIGHTS = {"random_forest": 0.40, "xgboost": 0.35, "neural_network": 0.25}


def _xgboost_params() -> ProductionXGBoostConfig:
    return ProductionXGBoostConfig(
        n_estimators=300, max_depth=3, subsample=0.8, colsample_bytree=0.5, min_child_weight=10.0, max_bin=64
    )


@dataclass(frozen=True, slots=True)
class MemberParams:
    """Hyperparameters of the members, with defaults chosen on fights before mid-2023 alone (docs/decisions.md)."""

    forest: ForestParams = field(default_factory=lambda: ForestParams(trees=200))
    xgboost: ProductionXGBoostConfig = field(default_factory=_xgboost_params)
    network: NetworkParams = field(default_factory=lambda: NetworkParams(epochs=8, alpha=1.0, learning_rate=3e-3))


@dataclass(frozen=True, slots=True, eq=False)
class MemberStacks:
    """The three members, each a stack of the same number of refits.

    Attributes
    ----------
    preprocessing
        Preprocessing by member name, for members of an imported model.
    """

    random_forest: FlatForests
    xgboost: FlatBoosters
    neural_network: StackedNetworks
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)

    def by_name(self) -> dict[str, ReplicatedMember]:
        """Return the members by name."""
        members: dict[str, ReplicatedMember] = {
            "random_forest": self.random_forest,
            "xgboost": self.xgboost,
            "neural_network": self.neural_network,
        }
        return members | {
            name: PreprocessedMember(members[name], preprocessing) for name, preprocessing in self.preprocessing.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """n fights as 2n rows, each fight from both sides.

    Attributes
    ----------
    values
        Feature values, float64 (2n, f).
    shared
        The rows as XGBoost trains on them.
    cuts
        The bins into which XGBoost cuts the values.
    codes
        The values encoded with these bins, (2n, f).
    """

    values: Floats
    shared: SharedRows
    cuts: BinEdges
    codes: Array

    @classmethod
    def from_fights(cls, values: Floats, plan: MirrorPlan, config: ProductionXGBoostConfig) -> TrainingRows:
        """Prepare fights, float64 (n, f); `plan` swaps the sides of a row."""
        both = np.concatenate([values, plan(values)])
        shared = SharedRows.from_values(both, config)
        cuts = BinEdges.from_matrix(shared.cuts)
        return cls(both, shared, cuts, cuts.encode_for_training(both))


def fit_members(
    rows: TrainingRows,
    labels: Floats,
    weight: NDArray[np.int64],
    stop: NDArray[np.bool_],
    params: MemberParams,
    stream: np.random.SeedSequence,
    limits: TrainingLimits,
) -> MemberStacks:
    """Fit all members once.

    Parameters
    ----------
    rows
        The fights from both sides.
    labels
        Result of the first fighter in [0, 1], (n,): see `engine.training.soft_labels`.
    weight
        How often each fight counts, (n,).
    stop
        Fights on which XGBoost decides when to stop, (n,); it does not train on them.
    params
        Hyperparameters.
    stream
        Source of seeds: its first child belongs to the resample, the next three to the members.
    limits
        Time and memory limits.

    Raises
    ------
    TrainingError, TrainingTimeoutError, MemoryLimitError
        As the members' fits raise them.
    """
    _, *streams = stream.spawn(1 + len(MEMBER_NAMES))
    for_trees = streams[0].generate_state(params.forest.trees, np.uint64).astype(np.uint64)
    for_xgboost, for_network = (int(child.generate_state(1)[0]) for child in streams[1:])
    won, both = np.concatenate([labels, 1.0 - labels]), np.concatenate([weight, weight])
    forest = grow_forest(rows.cuts, rows.codes, won, both, params.forest, for_trees)
    limits.check("the random forest")
    config = replace(params.xgboost, seed=for_xgboost % 2**31)
    held = np.concatenate([stop, stop])
    boosted = boost(
        rows.shared.training_matrix(won, np.where(held, 0, both), config),
        rows.shared.validation_set(won, held),
        config,
        limits,
    )
    network = fit_network(rows.values, won, both.astype(np.float64), params.network, for_network)
    limits.check("the neural network")
    return MemberStacks(
        forest, FlatBoosters.from_booster(boosted.booster, rows.cuts), StackedNetworks.from_pipeline(network)
    )


def stack_members(refits: Sequence[MemberStacks]) -> MemberStacks:
    """Join refits into one stack, in order."""
    return MemberStacks(
        random_forest=FlatForests.concatenate([refit.random_forest for refit in refits]),
        xgboost=FlatBoosters.concatenate([refit.xgboost for refit in refits]),
        neural_network=StackedNetworks.concatenate([refit.neural_network for refit in refits]),
    )


def stack_to_arrays(stack: MemberStacks) -> dict[str, Array]:
    """Return the arrays of a stack as `member/array`, without the cuts that its trees share."""
    return {
        f"{name}/{array}": values
        for name, member in (
            ("random_forest", stack.random_forest.to_arrays()),
            ("xgboost", stack.xgboost.to_arrays()),
            ("neural_network", stack.neural_network.to_arrays()),
        )
        for array, values in member.items()
    }


def stack_from_arrays(cuts: BinEdges, arrays: NamedArrays) -> MemberStacks:
    """Return the stack of arrays named as in `stack_to_arrays`, without a copy; they may be memory maps."""
    return MemberStacks(
        random_forest=FlatForests.from_arrays(cuts, _MemberArrays(arrays, "random_forest")),
        xgboost=FlatBoosters.from_arrays(cuts, _MemberArrays(arrays, "xgboost")),
        neural_network=StackedNetworks.from_arrays(_MemberArrays(arrays, "neural_network")),
    )


def join_stacks(stacks: Sequence[NamedArrays]) -> dict[str, ChunkedArray]:
    """Join stacks over one table of cuts, in order; each has arrays named as in `stack_to_arrays`."""
    joined: dict[str, ChunkedArray] = {}
    for name in ("random_forest", "xgboost"):
        trees = join_replicas([_MemberArrays(arrays, name) for arrays in stacks])
        joined |= {f"{name}/{array}": pieces for array, pieces in trees.items()}
    for array in stacks[0]:
        if array not in joined and array.partition("/")[0] in MEMBER_NAMES:
            joined[array] = ChunkedArray.from_loaders([partial(arrays.__getitem__, array) for arrays in stacks])
    return joined


class _MemberArrays(Mapping[str, Array]):
    """The arrays of one member of a stack."""

    def __init__(self, arrays: NamedArrays, name: str) -> None:
        self._arrays, self._prefix = arrays, f"{name}/"

    def __getitem__(self, array: str) -> Array:
        return self._arrays[self._prefix + array]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._arrays if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
