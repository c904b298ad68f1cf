"""CPU time and memory of training replicas of all three members, compared with scikit-learn and joblib.

    python -m benchmarks.engine.train --out FOLDER [--json]

Both ways train on the same fights, alternately, each in a process of its own; the processor time and the proportional
memory (PSS) of the process and its children are measured. The naive way is timed on a few replicas; its memory for 100
is the memory of the training plus that of the remaining replicas, which are loaded. The models stay in FOLDER for
`benchmarks.engine.predict`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.engine.models import Models
from benchmarks.engine.subprocesses import NAIVE_REPLICAS, REPLICAS
from benchmarks.results import Row, document, table

COMMAND = "python -m benchmarks.engine.train"
MORE = 400
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class ProcessCost:
    """The processor time and peak memory of a command with all its processes."""

    cpu_seconds: float
    peak_mb: float


def measure_process(command: Sequence[str]) -> ProcessCost:
    """Run a command and measure all its processes. Raises CalledProcessError if the command fails."""
    cpu_seconds: dict[tuple[int, float], float] = {}
    peak_mb = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        root = psutil.Process(child.pid)
        while child.poll() is None:
            total_mb = 0.0
            for process in [root, *_children(root)]:
                try:
                    times = process.cpu_times()
                    cpu_seconds[process.pid, process.create_time()] = times.user + times.system
                    total_mb += process.memory_full_info().pss / 2**20
                except psutil.Error:  # the process has just ended
                    continue
            peak_mb = max(peak_mb, total_mb)
            try:
                child.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, list(command))
    return ProcessCost(sum(cpu_seconds.values()), peak_mb)


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def measure(folder: Path, *, repeats: int = 3) -> tuple[list[Row], Models]:
    """Train both ways alternately; return the rows, and the models for other benchmarks."""
    folder.mkdir(parents=True, exist_ok=True)
    naive, ours = [], []
    for turn in range(repeats):
        naive.append(measure_process(_command("naive", folder, NAIVE_REPLICAS)))
        ours.append(measure_process(_command("ours", folder, REPLICAS)))
        print(f"training, turn {turn + 1} of {repeats}", file=sys.stderr, flush=True)
    [bundle] = [path for path in folder.iterdir() if path.is_dir()]
    (folder / "models.json").write_text(json.dumps({"trained": NAIVE_REPLICAS, "bundle": bundle.name}))
    models = Models(folder, NAIVE_REPLICAS, bundle)
    held_mb = (
        measure_process(_command("hold", folder, REPLICAS)).peak_mb
        - measure_process(_command("hold", folder, 0)).peak_mb
    )
    with TemporaryDirectory() as other:
        more = measure_process(_command("ours", Path(other), MORE))
    naive_mb = [cost.peak_mb + held_mb * (1 - NAIVE_REPLICAS / REPLICAS) for cost in naive]
    return [
        Row(
            "train a replica of all three members",
            "CPU s",
            tuple(cost.cpu_seconds / NAIVE_REPLICAS for cost in naive),
            tuple(cost.cpu_seconds / REPLICAS for cost in ours),
            4.0,
            False,
            f"start-up included; {NAIVE_REPLICAS} naive, {REPLICAS} of ours with 4 further fits; {COMMAND}",
        ),
        Row(
            f"peak memory of training {REPLICAS} replicas",
            "MB",
            tuple(naive_mb),
            tuple(cost.peak_mb for cost in ours),
            5.0,
            False,
            f"2 processes or 2 threads; {held_mb:.0f} MB of naive models loaded to be measured; {COMMAND}",
        ),
        Row(
            f"peak memory, {MORE} replicas against {REPLICAS}",
            "MB",
            tuple(cost.peak_mb for cost in ours),
            (more.peak_mb,),
            1 / 1.1,
            False,
            f"'naive' is ours with {REPLICAS}; {COMMAND}",
        ),
    ], models


def _command(way: str, folder: Path, replicas: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.engine.subprocesses", way, str(folder), str(replicas)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the document."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to store the models in")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    rows, _ = measure(options.out)
    print(json.dumps(document(rows)) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
