"""Prediction, loading and size of a model with 100 replicas, compared with scikit-learn and joblib.

    python -m benchmarks.engine.predict --models FOLDER [--json]

FOLDER is the output of `python -m benchmarks.engine.train --out FOLDER`. Both ways run alternately in one process;
their predictions agree only roughly, because the models were trained separately.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks.engine import naive_engine
from benchmarks.engine.models import Models
from benchmarks.engine.subprocesses import REPLICAS
from benchmarks.results import Row, document, table
from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config

COMMAND = "python -m benchmarks.engine.predict"
CARD = 12
MANY = 10_000
PRECISE = 1_000

_ONE_PREDICTION = """
import sys
import numpy as np, pandas as pd, psutil
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
folder, replicas = sys.argv[1], int(sys.argv[2])
manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=replicas, max_memory_mb=4096))
manager.load_models(folder)
known = manager.ensemble.reference_predictions[0]
rows = pd.DataFrame(known[np.arange(12) % 4], columns=list(manager.ensemble.columns))
manager.predict_fights(rows, [(f"a{row}", f"b{row}") for row in range(12)])
print(psutil.Process().memory_info().rss / 2**20)
"""


def measure(models: Models, *, repeats: int = 5) -> list[Row]:
    """Measure everything that needs trained models."""
    return [*_speed(models, repeats), _opening(models, repeats), _size(models), _memory(models)]


def turns(
    naive: Callable[[], object], ours: Callable[[], object], repeats: int, inner: int = 1
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the milliseconds of both, measured alternately after a warm-up; ours are means of `inner` calls."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for call, count, into in ((naive, 1, times[0]), (ours, inner, times[1])):
            started = time.perf_counter()
            for _ in range(count):
                call()
            if turn:
                into.append(1e3 * (time.perf_counter() - started) / count)
    return tuple(times[0]), tuple(times[1])


def _speed(models: Models, repeats: int) -> list[Row]:
    naive, ensemble = models.naive(), models.ensemble()
    columns = list(ensemble.columns)
    members = ensemble.replica_set

    def sample(rows: pd.DataFrame, jobs: int) -> object:
        sampler = ThreadSafeBootstrapSampler(create_bootstrap_config(REPLICAS, n_jobs=jobs))
        return sampler.sample_bootstrap_predictions(members, rows, ensemble.weights)

    card, many = models.rows(CARD), models.rows(MANY)
    card_table, many_table = (pd.DataFrame(rows, columns=columns) for rows in (card, many))
    rows = [
        Row(
            f"predict {CARD} fights, {REPLICAS} replicas",
            "ms",
            *turns(lambda: naive_engine.predict(naive, card), lambda: sample(card_table, 1), repeats, 20),
            300.0,
            False,
            f"1 thread; {COMMAND}",
        ),
        Row(
            f"predict {MANY:,} rows, {REPLICAS} replicas",
            "ms",
            *turns(lambda: naive_engine.predict(naive, many), lambda: sample(many_table, 2), max(1, repeats // 2)),
            15.0,
            False,
            f"naive 1 thread, ours 2; {COMMAND}",
        ),
    ]
    manager = ProductionEnsembleManager.from_ensemble(
        ensemble, create_production_ensemble_config(bootstrap_samples=REPLICAS, n_jobs=1)
    )
    pairs = [(f"first {row}", f"second {row}") for row in range(CARD)]
    market = [0.5 + 0.01 * row for row in range(CARD)]
    summaries = manager.predict_unpriced(card_table)
    predicting, pricing = turns(
        lambda: manager.predict_fights(card_table, pairs, market_probability=market),
        lambda: manager.add_market(summaries, pairs, market),
        repeats,
        20,
    )
    rows.append(
        Row(
            f"the same {CARD} fights with moved odds",
            "ms",
            predicting,
            pricing,
            50.0,
            False,
            f"'naive' is our own full prediction of both sides; {COMMAND}",
        )
    )
    return rows


def _opening(models: Models, repeats: int) -> Row:
    card = models.rows(CARD)
    card_table = pd.DataFrame(card, columns=list(models.ensemble().columns))

    def ours() -> None:
        manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=REPLICAS, n_jobs=1))
        manager.load_models(models.bundle)
        manager.predict_fights(card_table, [(f"first {row}", f"second {row}") for row in range(CARD)])

    times = turns(lambda: naive_engine.predict(models.naive(), card), ours, max(1, repeats // 2), 5)
    note = f"imported and in the page cache; every hash checked; {COMMAND}"
    return Row("open a model, until the first answer", "ms", *times, 100.0, False, note)


def _size(models: Models) -> Row:
    files = [path.stat().st_size for path in models.folder.glob("*.joblib")]
    naive_mb = sum(files) / models.trained * REPLICAS / 1e6
    ours_mb = sum(path.stat().st_size for path in models.bundle.rglob("*.*")) / 1e6
    note = f"ours with its 5 point fits; joblib files without compression, {models.trained} measured; {COMMAND}"
    return Row("size on disk", "MB", (naive_mb,), (ours_mb,), 15.0, False, note)


def _memory(models: Models) -> Row:
    """Measure the resident memory of a process that predicts a card with 1,000 replicas; the limit is 1 GB."""
    with TemporaryDirectory() as folder:
        bundle = models.with_replicas(PRECISE, Path(folder))
        command = [sys.executable, "-c", _ONE_PREDICTION, str(bundle), str(PRECISE)]
        used_mb = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    note = f"'naive' is the limit of 1 GB; imports included; {COMMAND}"
    return Row(f"resident memory, {CARD} fights, {PRECISE:,} replicas", "MB", (1024.0,), (used_mb,), 1.0, False, note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the document."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="output folder of benchmarks.engine.train")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    about = json.loads((options.models / "models.json").read_text())
    rows = measure(Models(options.models, about["trained"], options.models / about["bundle"]))
    print(json.dumps(document(rows)) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
