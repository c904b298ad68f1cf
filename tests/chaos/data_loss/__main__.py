"""`python -m tests.chaos.data_loss failovers` or `power-cuts`: what servers lose in each mode, counted.

It ends with 1 if anything was lost or replaced that was to survive.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from tests.chaos.data_loss import failovers, power_cuts
from tests.chaos.data_loss.runs import Plan

MIN_EVERY_SECONDS = 10.0
"""Before a shorter time has passed, the server is back, but callers and pools may not be: no job is ever submitted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.data_loss", description=__doc__)
    parser.add_argument("what", choices=("failovers", "power-cuts"))
    parser.add_argument("--modes", help="side by side: none, disk, replica; by default all")
    parser.add_argument("--jobs", type=int, default=Plan(mode="none").jobs)
    parser.add_argument("--rate", type=float, default=Plan(mode="none").jobs_per_second, help="jobs a second")
    parser.add_argument(
        "--every", type=_interval, default=60.0, help=f"seconds between two failures, at least {MIN_EVERY_SECONDS:g}"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--folder", type=Path, help="where logs stay; by default a new one")
    given = parser.parse_args(arguments)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="cornerman-loss-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say(f"logs in {folder}")
    modes = (given.modes or ("none,disk,replica" if given.what == "failovers" else "none,disk")).split(",")
    plans = [Plan(mode=mode, jobs=given.jobs, jobs_per_second=given.rate, every_seconds=given.every) for mode in modes]
    runs: list[Callable[[], failovers.FailoverResult | power_cuts.PowerCutResult]] = []
    for plan in plans:
        if given.what == "failovers":
            runs.append(partial(failovers.run, plan, folder / plan.mode, _say))
            continue
        for policy in power_cuts.POLICIES:
            home = folder / f"{plan.mode}-{policy}"
            home.mkdir(parents=True)
            runs.append(partial(power_cuts.run, plan, policy, home, _say))
    with ThreadPoolExecutor(len(runs)) as threads:
        results = [one.result() for one in [threads.submit(each) for each in runs]]
    sys.stdout.write(_json(results) if given.json else _table(results))
    return 0 if all(result.kept for result in results) else 1


def _interval(text: str) -> float:
    seconds = float(text)
    if not seconds >= MIN_EVERY_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text} is too short: a server and its callers need at least {MIN_EVERY_SECONDS:g} s after a failure"
        )
    return seconds


def _json(results: Sequence[failovers.FailoverResult | power_cuts.PowerCutResult]) -> str:
    return msgspec.json.format(msgspec.json.encode(results)).decode() + "\n"


def _table(results: Sequence[failovers.FailoverResult | power_cuts.PowerCutResult]) -> str:
    lines = ["mode               failures  submitted    lost     seen  replaced  gone  unanswered  seconds"]
    for result in results:
        lost = result.losses
        lines.append(
            f"{result.name:<18} {result.failures:>8}  {lost.submitted:>9,} {lost.lost:>7,} {lost.seen:>8,}"
            f" {lost.replaced:>9,} {lost.gone:>5,} {lost.unanswered:>11,} {result.took_seconds:>8}"
        )
    return "\n".join(lines) + "\n"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
