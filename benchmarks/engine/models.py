"""Models of the engine benchmarks: naive joblib files and our bundle, trained on the same simulated fights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.engine import naive_engine
from benchmarks.engine.naive_engine import Floats, Replica
from benchmarks.engine.subprocesses import REPLICAS, world
from engine.members.member_stack import MemberStacks, stack_members
from engine.model.bundle import open_bundle
from engine.model.trained_ensemble import Ensemble, load_ensemble, save_ensemble


@dataclass(frozen=True, eq=False)
class Models:
    """The models in a training's folder: `trained` naive replicas in joblib files, and our bundle with REPLICAS."""

    folder: Path
    trained: int
    bundle: Path

    @cached_property
    def test(self) -> pd.DataFrame:
        """The 1,000 rows to predict."""
        return world().test.X

    def rows(self, count: int) -> Floats:
        """Return `count` rows, by repeating the test rows."""
        values = self.test.to_numpy(np.float64)
        return values[np.arange(count) % len(values)]

    def naive(self) -> list[Replica]:
        """Load REPLICAS naive replicas."""
        return naive_engine.load(self.folder, self.trained, REPLICAS)

    def ensemble(self) -> Ensemble:
        """Open our bundle."""
        return load_ensemble(open_bundle(self.bundle))

    def with_replicas(self, count: int, parent: Path) -> Path:
        """Write a bundle with `count` replicas, by repeating ours, and return its folder."""
        ensemble = self.ensemble()
        if ensemble.replicas is None:
            raise ValueError(f"{self.bundle} has no replicas")
        stacks: Sequence[MemberStacks] = [ensemble.replicas] * -(-count // REPLICAS)
        return save_ensemble(replace(ensemble, replicas=stack_members(stacks)), parent).folder
