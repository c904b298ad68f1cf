"""Load test for `cornerman preflight`: measure the memory and time of concurrent predictions, and hash the answers.

The process does nothing else, so its peak memory is that of the load.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import read_fight_log
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.model.prediction import FightPrediction
from engine.resources.memory_guard import resident_bytes
from ledger.contracts.local_protocol import LoadTest, LoadTestReport
from workers.logs.setup import peak_memory_mb

SEED = 0  # selects the rows


def run_load_test(request: LoadTest) -> LoadTestReport:
    """Run the load test. Raises EngineError; MemoryLimitError if the limit is too low."""
    config = create_production_ensemble_config(
        bootstrap_samples=request.replicas, max_memory_mb=request.max_memory_mb, n_jobs=request.threads
    )
    manager = ProductionEnsembleManager(config)
    manager.load_models(request.model)
    X = _rows(Path(request.data), request.rows)
    pairs = [(f"first {row}", f"second {row}") for row in range(len(X))]
    own_memory_mb = resident_bytes() / 2**20
    started_seconds = time.monotonic()
    with ThreadPoolExecutor(request.callers) as callers:
        asked = [callers.submit(manager.predict_fights, X, pairs, levels=(0.8, 0.95)) for _ in range(request.callers)]
        digests = tuple(_digest(answers.result()) for answers in asked)
    return LoadTestReport(
        digests=digests,
        own_memory_mb=round(own_memory_mb, 1),
        peak_memory_mb=peak_memory_mb(),
        seconds=round(time.monotonic() - started_seconds, 3),
    )


def _rows(data: Path, rows: int) -> pd.DataFrame:
    """Draw fights of the log, the same ones in each run."""
    X = build_matrix(read_fight_log(data)).select(MODEL_COLUMNS).X
    drawn = np.random.default_rng(SEED).integers(0, len(X), size=rows)
    return X.iloc[drawn].reset_index(drop=True)


def _digest(answers: Sequence[FightPrediction]) -> str:
    digest = hashlib.sha256()
    for answer in answers:
        bounds = [end for level in sorted(answer.intervals) for end in answer.intervals[level]]
        sampled = [] if answer.sampling_interval is None else [*answer.sampling_interval, answer.sampling_error]
        members = [answer.members[name] for name in sorted(answer.members)]
        digest.update(np.array([answer.probability, *bounds, *sampled, *members], dtype=np.float64).tobytes())
    return digest.hexdigest()
