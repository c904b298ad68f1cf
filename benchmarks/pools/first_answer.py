"""Time from a fresh clone to the first answer of `make demo`, and the size of what it installs.

    python -m benchmarks.pools.first_answer [--json]

Clones this repository as it is committed into a temporary folder and runs `make demo` there, with the caches that pip
has on this machine, until the first card is answered. For each step the seconds, and the processor time of all
processes, which depends less on what else the machine does. It takes minutes, so `make bench` does not run it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.queue.competitors import ROOT

STEPS = {
    "Installing what the demo needs": "making the environment",
    "Simulating a league": "installing",
    "Starting an embedded": "simulating a league",
    "Training, job": "starting the service",
    "Predicting": "training",
}
"""The steps: the line with which each ends."""


Seconds = tuple[float, float]  # elapsed, and of the processor


def measure(folder: Path) -> tuple[dict[str, Seconds], float]:
    """Return the seconds of each step and in total, and the MB of the environment, hard links counted once.

    Raises RuntimeError with the end of the output if the demo ends before the first answer.
    """
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)  # noqa: S607 - the one of the PATH
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the reader's Python keeps what it has compiled
    started = time.monotonic()
    process = subprocess.Popen(
        ["make", "demo", f"PYTHON={sys.executable}"],  # noqa: S607 - as a reader types it
        cwd=clone,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    found: dict[str, Seconds] = {}
    before: Seconds = (0.0, 0.0)
    expected = list(STEPS.items())
    lines: list[str] = []
    try:
        for line in process.stdout or ():
            lines.append(line)
            if expected and not line.startswith(expected[0][0]):
                continue
            now = time.monotonic() - started, _processor_seconds(process.pid)
            step = expected.pop(0)[1] if len(found) < len(STEPS) else "the first answer"
            found[step], before = (now[0] - before[0], now[1] - before[1]), now
            if len(found) > len(STEPS):  # this line follows the first card
                found["in total"] = now
                return found, _size_mb(clone / ".venv")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
    raise RuntimeError(f"the demo ended before its first answer:\n{''.join(lines[-20:])}")


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process, of those that it started, and of theirs, also of those that ended."""
    seconds = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _size_mb(folder: Path) -> float:
    blocks = {status.st_ino: status.st_blocks for status in (path.lstat() for path in folder.rglob("*"))}
    return sum(blocks.values()) * 512 / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        steps, megabytes = measure(Path(name))
    if options.json:
        print(json.dumps({"seconds": steps, "MB": megabytes}))
        return
    print(f"{'':24} {'seconds':>8} {'of the processor':>18}")
    print("\n".join(f"{step:24} {elapsed:8.1f} {processor:18.1f}" for step, (elapsed, processor) in steps.items()))
    print(f"{megabytes:.0f} MB")


if __name__ == "__main__":
    main()
