"""Scaling of time and memory with rows, replicas, children and queue length, as tables and plots.

    python -m benchmarks.engine.scaling [--plots docs/plots] [--json]

The model is a small one of the benchmark world, with its replicas repeated to the wanted number, since the cost of a
replica does not depend on its values. Memory is the growth of the process at its peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.intervals.simulated_worlds import draw_world
from benchmarks.queue.queue_throughput import Backlog, throughput_by_children, throughput_by_length
from engine.members.member_stack import stack_members
from engine.model.trained_ensemble import save_ensemble
from engine.training.train import TrainingConfig, train_ensemble

COMMAND = "python -m benchmarks.engine.scaling"
ROWS = (12, 100, 1_000, 10_000, 100_000)
REPLICAS = (10, 30, 100, 300, 1_000)
FIXED_ROWS, FIXED_REPLICAS = 12, 100
_TRAINED = 10

_PREDICTION = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd, psutil
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
folder, rows, replicas = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
manager = ProductionEnsembleManager(
    create_production_ensemble_config(bootstrap_samples=replicas, max_memory_mb=16384, n_jobs=1)
)
manager.load_models(folder)
def predict(n):
    known = manager.ensemble.reference_predictions[0]
    X = pd.DataFrame(known[np.arange(n) % 4], columns=list(manager.ensemble.columns))
    pairs = [("a", "b")] * n
    started = time.perf_counter()
    manager.predict_fights(X, pairs)
    return time.perf_counter() - started
predict(12)
before = psutil.Process().memory_info().rss
Path("/proc/self/clear_refs").write_text("5")  # reset the peak
seconds = sorted(predict(rows) for _ in range(5 if rows * replicas < 200_000 else 1))
status = Path("/proc/self/status").read_text()
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
print(seconds[len(seconds) // 2], max(0, peak - before) / 2**20)
"""


@dataclass(frozen=True)
class Prediction:
    """The cost of a prediction; `grown_mb` is relative to a process that has predicted a card before."""

    rows: int
    replicas: int
    seconds: float
    grown_mb: float

    @property
    def nanoseconds(self) -> float:
        """Nanoseconds for one row and one replica."""
        return 1e9 * self.seconds / self.rows / self.replicas


def predictions(folder: Path) -> tuple[list[Prediction], list[Prediction]]:
    """Return the costs by number of rows and by number of replicas."""
    world = draw_world(1, 0, 1_500)
    ensemble = train_ensemble(world.train, TrainingConfig(bootstrap_samples=_TRAINED, fits=1, folds=3))
    if ensemble.replicas is None:
        raise ValueError("trained without replicas")
    stack = ensemble.replicas
    bundles = {
        count: save_ensemble(replace(ensemble, replicas=stack_members([stack] * (count // _TRAINED))), folder).folder
        for count in REPLICAS
    }
    by_rows = [_predict(bundles[FIXED_REPLICAS], rows, FIXED_REPLICAS) for rows in ROWS]
    by_replicas = [_predict(bundles[count], FIXED_ROWS, count) for count in REPLICAS]
    return by_rows, by_replicas


def _predict(bundle: Path, rows: int, replicas: int) -> Prediction:
    started = time.monotonic()
    command = [sys.executable, "-c", _PREDICTION, str(bundle), str(rows), str(replicas)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    print(f"{rows} rows, {replicas} replicas: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return Prediction(rows, replicas, float(printed[0]), float(printed[1]))


def table(by_rows: Sequence[Prediction], by_replicas: Sequence[Prediction], queue: Sequence[Backlog]) -> str:
    """Return the three tables as Markdown."""
    lines = ["| rows | replicas | ms | ns a row and replica | MB |", "|---|---|---|---|---|"]
    for one in (*by_rows, *by_replicas):
        figures = f"{1e3 * one.seconds:,.1f} | {one.nanoseconds:,.0f} | {one.grown_mb:.0f}"
        lines.append(f"| {one.rows:,} | {one.replicas:,} | {figures} |")
    lines += ["", "| backlog | children | jobs/s | server, us a job | MB |", "|---|---|---|---|---|"]
    for backlog in queue:
        lines.append(
            f"| {backlog.jobs:,} | {backlog.children} | {backlog.jobs_per_second:,.0f} | {backlog.server_cpu_us:.0f} "
            f"| {backlog.server_mb:.1f} |"
        )
    return "\n".join(lines)


def plot(
    by_rows: Sequence[Prediction],
    by_replicas: Sequence[Prediction],
    by_length: Sequence[Backlog],
    by_children: Sequence[Backlog],
    file: Path,
) -> None:
    """Draw time and memory by rows and replicas, and throughput by queue length and children."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    for axis, found, x in ((axes[0, 0], by_rows, "rows"), (axes[0, 1], by_replicas, "replicas")):
        places = [getattr(one, x) for one in found]
        axis.loglog(places, [1e3 * one.seconds for one in found], "o-", label="time, ms")
        axis.loglog(places, [max(one.grown_mb, 0.1) for one in found], "s--", label="memory at the peak, MB")
        first = found[0]
        axis.loglog(places, [1e3 * first.seconds * place / places[0] for place in places], ":", label="linear in time")
        fixed = f"{FIXED_REPLICAS} replicas" if x == "rows" else f"{FIXED_ROWS} fights"
        axis.set(title=f"One prediction of {fixed}", xlabel="fights" if x == "rows" else x, ylabel="ms, or MB")
        axis.grid(which="major", alpha=0.3)
        axis.legend()
    throughput = (
        (axes[1, 0], "jobs that wait, 2 children", [one.jobs for one in by_length], by_length),
        (axes[1, 1], "children of the pool, 2 cores", [one.children for one in by_children], by_children),
    )
    for axis, grows, places, found_jobs in throughput:
        axis.plot(places, [one.jobs_per_second for one in found_jobs], "o-")
        axis.set(title="Small jobs of a backlog", xlabel=grows, ylabel="jobs a second")
        axis.set_ylim(0, 1.1 * max(one.jobs_per_second for one in found_jobs))
        axis.grid(which="major", alpha=0.3)
    axes[1, 0].set_xscale("log")
    axes[1, 1].set_xticks(throughput[1][2])
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; draw if a folder is given."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.split("\n")[0])
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write scaling.png into this folder")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        by_rows, by_replicas = predictions(Path(folder))
    by_length, by_children = throughput_by_length(), throughput_by_children()
    if options.json:
        named: dict[str, Sequence[Prediction] | Sequence[Backlog]] = {
            "rows": by_rows,
            "replicas": by_replicas,
            "backlog": by_length,
            "children": by_children,
        }
        print(json.dumps({name: [asdict(one) for one in found] for name, found in named.items()}))
    else:
        print(table(by_rows, by_replicas, [*by_length, *by_children]))
    if options.plots:
        plot(by_rows, by_replicas, by_length, by_children, options.plots / "scaling.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
