"""The three members of the ensemble: default weights, and stacks of refits, which are predicted together.

A refit is one random forest, one XGBoost model and one neural network on the same weighted fights
(`engine.members.member_fit`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from engine.arrays import Array, ReplicatedMember
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges
from engine.members.flat_trees import join_replicas
from engine.members.neural_network import StackedNetworks
from engine.members.preprocessing import PreprocessedMember, Preprocessing
from engine.members.random_forest import FlatForests
from engine.resources.chunked_arrays import ChunkedArray, NamedArrays

MEMBER_NAMES = ("random_forest", "xgboost", "neural_network")
DEFAULT_WEIGHTS = {"random_forest": 0.40, "xgboost": 0.35, "neural_network": 0.25}


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
