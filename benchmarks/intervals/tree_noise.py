"""Widths of sampling intervals with 50 trees a replica relative to 200, fight by fight.

    python -m benchmarks.intervals.tree_noise [--replicas 60]

A replica's forest adds noise, which is larger with fewer trees. The same replicas predict the same fights with all
their trees and with a quarter of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.intervals.simulated_worlds import draw_world
from engine.arrays import Floats
from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config
from engine.intervals.percentile import percentile_interval
from engine.members.member_fit import MemberParams
from engine.members.member_stack import MemberStacks
from engine.members.random_forest import FlatForests, ForestParams
from engine.statistics.complements import margin_to_logit, mirror_averaged_margin
from engine.training.train import TrainingConfig, train_ensemble

TREES, FEWER = 200, 50


def fewer_trees(forests: FlatForests) -> FlatForests:
    """Return the same forests with the first FEWER of their TREES trees."""
    trees = forests.trees
    kept = np.arange(len(trees.starts)).reshape(-1, TREES)[:, :FEWER].ravel()
    first = np.arange(forests.n_replicas + 1) * FEWER
    return FlatForests(replace(trees, starts=trees.starts[kept], depths=trees.depths[kept], first=first))


def widths(stacks: MemberStacks, both: Floats, weights: dict[str, float]) -> tuple[Floats, Floats]:
    """Return the width of the 95% interval on the logit scale and the standard deviation, (n,) each."""
    sampler = ThreadSafeBootstrapSampler(create_bootstrap_config(stacks.random_forest.n_replicas))
    p = sampler.sample_rows(stacks.by_name(), both, weights)
    half = both.shape[0] // 2
    logit = margin_to_logit(mirror_averaged_margin(p[:, :half], p[:, half:]))
    low, high = percentile_interval(logit, 0.95)
    return high - low, logit.std(axis=0, ddof=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.intervals.tree_noise", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--replicas", type=int, default=60, help="default: %(default)s")
    replicas = parser.parse_args(arguments).replicas
    world = draw_world(1, 2, 3_000)
    params = replace(MemberParams(), forest=ForestParams(trees=TREES))
    config = TrainingConfig(bootstrap_samples=replicas, fits=1, folds=3, replica_members=params)
    ensemble = train_ensemble(world.train, config)
    if ensemble.replicas is None:
        raise ValueError("trained without replicas")
    values = world.test.X.to_numpy(np.float64)
    both = np.concatenate([values, ensemble.plan(values)])
    few = replace(ensemble.replicas, random_forest=fewer_trees(ensemble.replicas.random_forest))
    for name, wide, narrow in zip(
        ("width at 95%", "standard deviation"),
        widths(few, both, ensemble.weights),
        widths(ensemble.replicas, both, ensemble.weights),
        strict=True,
    ):
        ratio = wide / narrow
        low, middle, high = np.quantile(ratio, (0.05, 0.5, 0.95))
        print(
            f"{name}, {FEWER} trees against {TREES}, {len(ratio):,} fights, {replicas} replicas: "
            f"mean {ratio.mean():.3f}, median {middle:.3f}, 90% of fights {low:.3f} to {high:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
