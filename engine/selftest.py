"""Self-tests of the sampler and the manager on a small model: `python -m engine.selftest bootstrap|ensemble`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import Floats
from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config
from engine.data.feature_matrix import mirror
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import BootstrapError, BundleCorruptError, EngineError, MemoryLimitError, ValidationError
from engine.market.simultaneous_kelly import KellyBet, simultaneous_kelly
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.model.trained_ensemble import Ensemble, save_ensemble
from engine.simulation.league import LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble


def train_small_ensemble() -> tuple[Ensemble, pd.DataFrame]:
    """Train on 400 simulated fights, with 20 replicas; return the model and the rows of the last 24 fights."""
    matrix = build_matrix(simulate_league(LeagueConfig(fights=400, seed=1)).log)
    matrix = matrix.select(MODEL_COLUMNS)
    members = MemberParams(forest=ForestParams(trees=10))
    config = TrainingConfig(bootstrap_samples=20, fits=2, folds=4, members=members, replica_members=members)
    return train_ensemble(matrix, config), matrix.X.tail(24).reset_index(drop=True)


def raises_error(kind: type[EngineError], call: Callable[[], Any]) -> bool:
    """Return True if the call raises exactly this error."""
    try:
        call()
    except kind:
        return True
    return False


def print_facts(facts: Mapping[str, bool]) -> int:
    """Print a line for each fact; return the exit code, 1 if one does not hold."""
    for fact, holds in facts.items():
        sys.stdout.write(f"{'verified' if holds else 'FAILED'}: {fact}\n")
    return 0 if all(facts.values()) else 1


def bootstrap_facts() -> dict[str, bool]:
    """Return facts about the sampler on a small trained model, and whether they hold."""
    ensemble, X = train_small_ensemble()
    assert ensemble.replicas is not None  # noqa: S101 - trained with 20
    models = ensemble.replicas.by_name()

    def sample(rows: pd.DataFrame, **options: float) -> Floats:
        config = create_bootstrap_config(**{"n_bootstrap": 20, "n_jobs": 1} | options)  # type: ignore[arg-type]
        return ThreadSafeBootstrapSampler(config).sample_bootstrap_predictions(models, rows, ensemble.weights)

    before = _global_state()
    expected = sample(X)
    alone = np.column_stack([sample(X.iloc[[row]])[:, 0] for row in range(len(X))])
    plain = dict.fromkeys(models, object())
    return {
        "1, 2 and 4 threads give the same bits": all(
            np.array_equal(expected, sample(X, n_jobs=jobs)) for jobs in (1, 2, 4)
        ),
        "batches of 1, 7 and 25 replicas give the same bits": all(
            np.array_equal(expected, sample(X, batch_size=size)) for size in (1, 7, 25)
        ),
        "one row at a time or all at once give the same bits": np.array_equal(expected, alone),
        "rows in any order give the same bits": np.array_equal(expected, sample(X.iloc[::-1])[:, ::-1]),
        "replicas differ from each other": bool((expected.std(axis=0) > 0).all()),
        "the global random state is left alone": _global_state() == before,
        "a model without replicas is a BootstrapError": raises_error(
            BootstrapError,
            lambda: ThreadSafeBootstrapSampler(create_bootstrap_config()).sample_bootstrap_predictions(
                plain,  # type: ignore[arg-type]
                X,
                ensemble.weights,
            ),
        ),
        "a memory limit of 1 MB is a MemoryLimitError": raises_error(
            MemoryLimitError, lambda: sample(X, max_memory_mb=1.0)
        ),
    }


def _global_state() -> str:
    """Return the global random state of numpy, which must not change."""
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002 - to show just that


def ensemble_facts() -> dict[str, bool]:
    """Return facts about saving, loading and predicting with a small trained model, and whether they hold."""
    with tempfile.TemporaryDirectory() as folder:
        ensemble, X = train_small_ensemble()
        path = save_ensemble(ensemble, Path(folder)).folder
        manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=20, max_memory_mb=4096))
        manager.load_models(path)
        pairs = [(f"A{row}", f"B{row}") for row in range(len(X))]
        answers = manager.predict_fights(X, pairs)
        swapped = manager.predict_fights(mirror(X), [(b, a) for a, b in pairs])
        single = manager.with_config(replace(manager.config, n_jobs=1)).predict_fights(X, pairs)
        off = manager.with_config(replace(manager.config, bootstrap_samples=0)).predict_fights(X, pairs)
        small = manager.with_config(replace(manager.config, max_memory_mb=1.0))
        facts = {
            "a loaded model gives the bits of its reference predictions": manager.check_reference_predictions() == 0.0,
            "every probability lies inside its interval": all(
                answer.intervals[0.95][0] < answer.probability < answer.intervals[0.95][1] for answer in answers
            ),
            "one thread and all threads give the same bits": single == answers,
            "swapped fighters get exactly 1 - p": all(
                other.probability == 1.0 - answer.probability for answer, other in zip(answers, swapped, strict=True)
            ),
            "bootstrap off: no sampling interval, and the reason": off[0].sampling_interval is None
            and off[0].sampling_reason == "bootstrap_off",
            "empty input is a ValidationError": raises_error(
                ValidationError, lambda: manager.predict_fights(X.iloc[:0], [])
            ),
            "infinite input is a ValidationError": raises_error(
                ValidationError, lambda: manager.predict_fights(X.assign(diff_elo=np.inf), pairs)
            ),
            "two even bets at once have the stakes that Kelly's theory gives": np.allclose(
                simultaneous_kelly([KellyBet(0.6, 2.0)] * 2), 0.2 / 1.04, rtol=0.0, atol=1e-12
            ),
            "a memory limit of 1 MB is a MemoryLimitError": raises_error(
                MemoryLimitError, lambda: small.predict_fights(X, pairs)
            ),
        }
        manifest = path / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b"0.35", b"0.36"))
        facts["an altered bundle is a BundleCorruptError"] = raises_error(
            BundleCorruptError, lambda: manager.load_models(path)
        )
        return facts


FACTS = {"bootstrap": bootstrap_facts, "ensemble": ensemble_facts}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the self-test of one module; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.selftest", description="Verify an installed engine.")
    parser.add_argument("module", choices=sorted(FACTS), help="the module to verify")
    return print_facts(FACTS[parser.parse_args(arguments).module]())


if __name__ == "__main__":
    sys.exit(main())
