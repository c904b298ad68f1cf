"""Contest of job queues: `python -m benchmarks.peers [--json]`.

Each queue has two worker processes, keeps its results, and is configured as its own documentation advises
(`benchmarks.peers.queues`); its versions are pinned in `requirements`. Each round starts for every queue a new server
of the same binary, first all at once for the processor time at rest, then one after the other. Figures are medians of
the rounds with minimum and maximum. It takes a quarter of an hour, and needs a package index for its first run.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from benchmarks.peers.contest import Sizes, measure_idle, measure_work, running
from benchmarks.peers.environments import bin_folder, default_folder
from benchmarks.peers.queues import OURS, QUEUES, RAW_LIST, Queue
from benchmarks.results import Spread

HIGHER_IS_BETTER = {
    "backlog": True,
    "round trip p50": False,
    "round trip p99": False,
    "processor": False,
    "idle": False,
    "enqueued one by one": True,
    "enqueued in bulk": True,
}
HEADINGS = {
    "backlog": "backlog, jobs/s",
    "round trip p50": "round trip p50, ms",
    "round trip p99": "p99, ms",
    "processor": "processor, us a job",
    "idle": "processor idle, %",
    "enqueued one by one": "enqueued one by one, jobs/s",
    "enqueued in bulk": "in bulk, jobs/s",
}

Figures = dict[str, dict[str, list[float]]]
"""The repeats of each figure of each queue."""


def measure(queues: Sequence[Queue], folder: Path, *, rounds: int, sizes: Sizes) -> Figures:
    """Measure the queues in turns, in an order that moves on with each round."""
    found: Figures = {queue.name: {} for queue in queues}
    bins = {queue.name: bin_folder(queue.requirements, folder) for queue in queues}
    for number in range(rounds):
        with ExitStack() as stack:
            services = [stack.enter_context(running(queue, bins[queue.name])) for queue in queues]
            for name, percent in measure_idle(services, sizes.idle_seconds).items():
                found[name].setdefault("idle", []).append(percent)
        for queue in (*queues[number % len(queues) :], *queues[: number % len(queues)]):
            print(f"round {number + 1} of {rounds}: {queue.name}", file=sys.stderr, flush=True)
            with running(queue, bins[queue.name]) as service:
                for figure, value in measure_work(service, sizes).items():
                    found[queue.name].setdefault(figure, []).append(value)
    return found


def table(found: Figures) -> str:
    """Return the figures as a Markdown table."""
    lines = [f"| queue | {' | '.join(HEADINGS.values())} |", "|---" * (len(HEADINGS) + 1) + "|"]
    for name, figures in found.items():
        cells = (str(Spread.from_values(tuple(figures[key]))) if figures.get(key) else "no call" for key in HEADINGS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratios(found: Figures) -> dict[str, dict[str, str | float]]:
    """Return by figure the best of the others, and the factor by which ours is better than it and the raw list."""
    if OURS not in found:
        return {}
    compared: dict[str, dict[str, str | float]] = {}
    for figure, higher in HIGHER_IS_BETTER.items():
        medians = {
            name: Spread.from_values(tuple(held[figure])).median for name, held in found.items() if figure in held
        }
        ours, raw = medians.pop(OURS, None), medians.pop(RAW_LIST, None)
        if ours is None or not medians:
            continue
        best = (max if higher else min)(medians, key=lambda name: medians[name])
        compared[figure] = {"best": best, "ratio": ours / medians[best] if higher else medians[best] / ours}
        if raw:
            compared[figure]["ratio to a raw list"] = ours / raw if higher else raw / ours
    return compared


def document(found: Figures, compared: Mapping[str, Mapping[str, str | float]]) -> dict[str, object]:
    """Return the results as JSON values."""
    queues = {
        name: {
            figure: {**Spread.from_values(tuple(values))._asdict(), "repeats": values}
            for figure, values in figures.items()
        }
        for name, figures in found.items()
    }
    return {"units": HEADINGS, "queues": queues, "ours against the best of the others": compared}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=Sizes.jobs, help="jobs of a backlog")
    parser.add_argument("--questions", type=int, default=Sizes.questions, help="round trips a round")
    parser.add_argument("--idle-seconds", type=float, default=Sizes.idle_seconds)
    parser.add_argument("--queue", action="append", choices=[queue.name for queue in QUEUES], help="repeatable")
    parser.add_argument("--environments", type=Path, default=default_folder(), help="folder of the environments")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _exit)
    queues = [queue for queue in QUEUES if options.queue is None or queue.name in options.queue]
    for requirements in sorted({queue.requirements for queue in queues if queue.requirements}):
        try:
            bin_folder(requirements, options.environments)
        except subprocess.CalledProcessError:
            queues = [queue for queue in queues if queue.requirements != requirements]
            print(f"left out: what requirements/{requirements}.txt needs cannot be installed", file=sys.stderr)
    sizes = Sizes(options.jobs, options.questions, options.idle_seconds)
    found = measure(queues, options.environments, rounds=options.rounds, sizes=sizes)
    compared = ratios(found)
    if options.json:
        print(json.dumps(document(found, compared), indent=1))
        return 0
    print(table(found))
    for figure, values in compared.items():
        raw = values.get("ratio to a raw list")
        print(
            f"{HEADINGS[figure]}: {values['ratio']:.3g} times as good as {values['best']}"
            + (f", {raw:.3g} times as good as the raw list" if raw else "")
        )
    return 0


def _exit(number: int, _frame: FrameType | None) -> None:
    """End by an exception, so that the workers, which have process groups of their own, are ended on the way."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
