"""Accuracy of the memory estimates of jobs, on a grid of sizes.

    python -m benchmarks.memory.estimate            print estimates and peaks
    python -m benchmarks.memory.estimate --fit      also print the best coefficients for the engine's memory estimate

Every size runs through the functions that a pool calls, in a fresh process that has imported what a pool's child does.
The peak is the kernel's VmHWM, reset before the work, minus the memory after the imports. Trainings read simulated
fight logs and matrices of random numbers; predictions use models of such trainings. Takes minutes on two cores. Linux
only. The exit code is 1 if an estimate differs from its peak by more than 25%.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from scipy.optimize import nnls

from engine.data.fight_log import write_fight_log
from engine.resources import memory_estimate
from engine.resources.memory_estimate import PredictionSize, TrainingSize
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import Fight, Fighter, IntervalOptions, MatrixColumns, PredictCard, TrainEnsemble
from ledger.ledger import Claim
from workers.child.memory_needs import answer_size, training_size
from workers.jobs.context import JobContext
from workers.models.model_cache import ModelCache
from workers.pool.library_threads import THREAD_VARIABLES
from workers.settings import WorkerSettings

TOLERANCE = 0.25
SEED = 7
NOW = datetime(2030, 1, 1, tzinfo=UTC)
# Fights of a log, or fights and columns of a matrix; replicas; threads.
TRAININGS: tuple[tuple[int, int | None, int, int], ...] = (
    (400, None, 20, 1),
    (400, None, 200, 2),
    (1500, None, 20, 1),
    (1500, None, 60, 2),
    (4000, None, 20, 2),
    (4000, None, 40, 1),
    (1000, 20, 40, 2),
    (1000, 200, 20, 1),
    (4000, 100, 20, 2),
    (8000, 100, 10, 1),
    (8000, 40, 10, 2),
)
MODELS = (20, 100, 200)  # replicas
CARDS = (1, 12, 64)  # fights


_CHILD = """
import sys
from workers.jobs.registry import HANDLERS, import_handler
import_handler(sys.argv[1], HANDLERS)
from benchmarks.memory.estimate import main
main(["--measure", sys.argv[2]])
"""


@dataclass(frozen=True)
class Measured:
    """One size, with its estimate and its peak in MiB."""

    size: TrainingSize | PredictionSize
    estimate_mb: float
    peak_mb: float

    @property
    def difference(self) -> float:
        """Error of the estimate as a share of the peak."""
        return self.estimate_mb / self.peak_mb - 1.0


def training(data: Path, columns: int | None, replicas: int) -> TrainEnsemble:
    """Return the training of one grid cell: default trees, and few fits and folds to save time."""
    matrix = None if columns is None else MatrixColumns(label="won", event="event", date="date")
    return TrainEnsemble(data=str(data), matrix=matrix, bootstrap_samples=replicas, fits=2, folds=3, alias=None)


def card(fights: int, columns: Sequence[str], replicas: int) -> PredictCard:
    """Return a card with inline features."""
    rng = np.random.default_rng(SEED)
    return PredictCard(
        card_id="grid",
        event_start=NOW,
        fights=tuple(
            Fight(
                id=str(number),
                fighters=(Fighter(name=f"first {number}"), Fighter(name=f"second {number}")),
                features=dict(zip(columns, rng.normal(size=len(columns)).tolist(), strict=True)),
            )
            for number in range(fights)
        ),
        intervals=IntervalOptions(bootstrap_samples=replicas),
    )


def write_matrix(path: Path, fights: int, columns: int) -> None:
    """Write a matrix of random numbers with ten fights an event; only the first column is informative."""
    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame(rng.normal(size=(fights, columns)), columns=[f"diff_{k}" for k in range(columns)])
    frame["won"] = (frame["diff_0"] + rng.normal(size=fights) > 0).astype(int)
    event = np.arange(fights) // 10
    frame["event"] = [f"event {number}" for number in event]
    frame["date"] = pd.Timestamp("2000-01-01") + pd.to_timedelta(event * 3, unit="D")
    frame.to_csv(path, index=False)


class PeakMemory:
    """Peak growth of this process since the object was created, in MiB."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the resident memory
        self._before_mb = self._read("VmRSS")

    @staticmethod
    def _read(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

    @property
    def growth_mb(self) -> float:
        """The peak growth so far."""
        return self._read("VmHWM") - self._before_mb


def run_in_process(request: dict[str, Any]) -> float:
    """Run a grid cell in this process and return its growth in MiB."""
    return _train_here(request) if request["what"] == "train" else _answer_here(request)


def _train_here(request: dict[str, Any]) -> float:
    from workers.handlers.training.train_ensemble import train_in_process

    job = training(Path(request["data"]), request["columns"], request["replicas"])
    peak = PeakMemory()
    train_in_process(job, Path(request["models"]), lambda stage, done, total: None, np.inf, request["threads"])
    return peak.growth_mb


def _answer_here(request: dict[str, Any]) -> float:
    from workers.handlers.prediction.predict_card import predict_card
    from workers.models.model_cache import ModelCache, load_manager
    from workers.models.model_store import Store

    folder = Path(request["models"])
    model = only_model(folder)
    columns = json.loads((model / "manifest.json").read_text())["about"]["columns"]
    job = msgspec.structs.replace(card(request["fights"], columns, request["replicas"]), model=model.name)
    models = ModelCache(Store(folder).fetch, lambda name: None, lambda path: load_manager(path, max_memory_mb=np.inf))
    peak = PeakMemory()
    predict_card(job, _context(models))
    return peak.growth_mb


def _context(models: ModelCache[Any]) -> JobContext:
    """Return what a handler is given in a pool, without a ledger."""
    claim = Claim(
        job_id="job",
        attempt=1,
        fence=1,
        queue="predict",
        kind="predict_card",
        payload=b"",
        time_limit_seconds=60.0,
        submitted_at=NOW,
        claimed_at=NOW,
        deadline=None,
        correlation_id=None,
    )
    ledger: Any = None
    return JobContext(claim, WorkerSettings(), ledger, models, 0.0)


def only_model(folder: Path) -> Path:
    """Return the one bundle in a folder of models."""
    (model,) = folder.glob("[0-9a-f]*")
    return model


def run_in_child(request: dict[str, Any]) -> float:
    """Run a grid cell in a fresh process and return its growth in MiB."""
    kind = "train_ensemble" if request["what"] == "train" else "predict_card"
    command = [sys.executable, "-c", _CHILD, kind, json.dumps(request)]
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def _compile(folder: Path) -> None:
    """Compile the kernels, which happens once a machine and takes additional memory."""
    data = folder / "data to compile with"
    write_fight_log(simulate_league(LeagueConfig(fights=300, seed=SEED)).log, data)
    models = folder / "models to compile with"
    _train(data, None, 10, 1, models)
    run_in_child({"what": "answer", "models": str(models), "fights": 1, "replicas": 10})


def measure_trainings(folder: Path) -> Iterator[Measured]:
    """Run the trainings of the grid."""
    for number, (fights, columns, replicas, threads) in enumerate(TRAININGS):
        data = folder / f"data {number}"
        if columns is None:
            write_fight_log(simulate_league(LeagueConfig(fights=fights, seed=SEED)).log, data)
        else:
            write_matrix(data.with_suffix(".csv"), fights, columns)
            data = data.with_suffix(".csv")
        yield _train(data, columns, replicas, threads, folder / f"models {number}")


def measure_answers(folder: Path) -> Iterator[Measured]:
    """Train the models of the grid and predict cards with them."""
    data = folder / "data of models"
    write_fight_log(simulate_league(LeagueConfig(fights=600, seed=SEED)).log, data)
    for replicas in MODELS:
        models = folder / f"models of {replicas}"
        _train(data, None, replicas, 2, models)
        model = only_model(models)
        for fights in CARDS:
            request = {"what": "answer", "models": str(models), "fights": fights, "replicas": replicas}
            size = answer_size(card(fights, ["diff_elo"], replicas), model, Controls())
            yield Measured(size, memory_estimate.prediction_mb(size), run_in_child(request))


def _train(data: Path, columns: int | None, replicas: int, threads: int, models: Path) -> Measured:
    size = training_size(training(data, columns, replicas), threads)
    models.mkdir()
    request = {
        "what": "train",
        "data": str(data),
        "columns": columns,
        "replicas": replicas,
        "threads": threads,
        "models": str(models),
    }
    return Measured(size, memory_estimate.training_mb(size), run_in_child(request))


def fit(
    found: Sequence[Measured], terms: Callable[..., tuple[float, ...]], present: Sequence[float]
) -> tuple[float, ...]:
    """Return the nonnegative coefficients that minimise the squared relative errors.

    A term that is the same for all sizes keeps its present coefficient: only its sum with the first could be fitted.
    """
    rows = np.array([terms(one.size) for one in found])
    peaks_mb = np.array([one.peak_mb for one in found])
    varies = (rows != rows[0]).any(axis=0)
    varies[0] = True
    coefficients = np.array(present)
    rest_mb = peaks_mb - rows[:, ~varies] @ coefficients[~varies]
    coefficients[varies], _ = nnls(rows[:, varies] / peaks_mb[:, None], rest_mb / peaks_mb)
    return tuple(float(f"{value:.3g}") for value in coefficients)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the grid and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory.estimate", description=__doc__.split("\n")[0])
    parser.add_argument("--fit", action="store_true", help="print the best coefficients")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.measure is not None:
        print(run_in_process(json.loads(given.measure)))
        return 0
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        _compile(Path(folder))
        for kind, measure, terms, present in (
            (
                "training",
                measure_trainings,
                memory_estimate.training_terms,
                memory_estimate.TRAINING_COEFFICIENTS,
            ),
            (
                "prediction",
                measure_answers,
                memory_estimate.prediction_terms,
                memory_estimate.PREDICTION_COEFFICIENTS,
            ),
        ):
            found = []
            for one in measure(Path(folder)):
                found.append(one)
                if not given.json:
                    print(_line(one), flush=True)
            report[kind] = {
                "grid": [asdict(one) | {"difference": one.difference} for one in found],
                "worst": max(abs(one.difference) for one in found),
                "coefficients": fit(found, terms, present),
            }
    if given.json:
        print(json.dumps(report, indent=2))
        return int(any(kind["worst"] > TOLERANCE for kind in report.values()))
    for kind, figures in report.items():
        print(f"{kind}: the largest error of an estimate is {figures['worst']:.0%} of the peak")
        if given.fit:
            print(f"{kind.upper()}_COEFFICIENTS = {figures['coefficients']}")
    return int(any(kind["worst"] > TOLERANCE for kind in report.values()))


def _line(one: Measured) -> str:
    sizes = ", ".join(f"{name} {value:g}" for name, value in asdict(one.size).items())
    return f"{sizes}: estimate {one.estimate_mb:.0f} MB, peak {one.peak_mb:.0f} MB, {one.difference:+.0%}"


if __name__ == "__main__":
    sys.exit(main())
