"""Overhead of a training distributed over two workers, compared with one process with two threads.

    python -m benchmarks.pools.fan_out [--replicas 100] [--repeats 3] [--json]

Both train the same model on the same simulated fights, alternately; the digests must be equal. Measured are the times
from submit to outcome, and from the call to the bundle, in processes that have imported the engine and trained before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.pools.autoscaling import process, wait_for
from benchmarks.results import Row, document, table
from engine.data.fight_log import write_fight_log
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.jobs import TrainEnsemble
from ledger.contracts.reports import TrainingReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

COMMAND = "python -m benchmarks.pools.fan_out"
FIGHTS = 3000
_PATIENCE_SECONDS = 3600.0
_ONE_PROCESS = """
import sys, time, pathlib, tempfile, msgspec
from ledger.contracts.jobs import TrainEnsemble
from workers.handlers.training.train_ensemble import train_in_process
for line in sys.stdin:
    job = msgspec.json.decode(line, type=TrainEnsemble)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        digest = train_in_process(job, pathlib.Path(folder), lambda *step: None, float("inf"), 2).digest
        print(time.perf_counter() - began, digest, flush=True)
"""


def measure(*, replicas: int, repeats: int) -> list[Row]:
    """Train both ways alternately. Raises ValueError if the models differ."""
    alone, shared = [], []
    with TemporaryDirectory() as name, EmbeddedServer(Path(name, "server")) as server:
        log = Path(name, "log")
        log.mkdir()
        write_fight_log(simulate_league(LeagueConfig(fights=FIGHTS, seed=7)).log, log)
        settings = LedgerSettings(redis_url=server.url)
        ledger = Ledger.connect(settings)
        variables = {
            "CORNERMAN_REDIS_URL": str(server.url),
            "CORNERMAN_NAMESPACE": settings.namespace,
            "CORNERMAN_DATA": str(Path(name, "data")),
            "CORNERMAN_CONCURRENCY": "2",
        }
        pool = process([sys.executable, "-m", "workers", "--pool", "train"], variables, Path(name, "pool.log"))
        one = subprocess.Popen(
            [sys.executable, "-c", _ONE_PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with pool, one:
            wait_for(lambda: bool(ledger.pools.alive()))
            for turn in range(repeats + 1):  # the first is the warm-up
                job = TrainEnsemble(data=str(log), seed=turn, alias=None, bootstrap_samples=replicas if turn else 10)
                seconds, digest = _alone(one, job)
                began = time.perf_counter()
                outcome = ledger.wait(ledger.submit(job).job_id, _PATIENCE_SECONDS)
                took = time.perf_counter() - began
                if not isinstance(outcome.report, TrainingReport) or outcome.report.model != digest:
                    raise ValueError(f"the models differ: {digest} and {outcome}")
                if turn:
                    alone.append(seconds)
                    shared.append(took)
                    print(f"{seconds:.1f} s in one process, {took:.1f} s shared out", file=sys.stderr, flush=True)
            one.terminate()
        ledger.close()
    note = f"'naive' is one process with 2 threads; {FIGHTS:,} fights, {replicas} replicas, the same digests; {COMMAND}"
    return [Row("train shared out over 2 workers", "s", tuple(alone), tuple(shared), 1 / 1.1, False, note)]


def _alone(one: subprocess.Popen[str], job: TrainEnsemble) -> tuple[float, str]:
    if one.stdin is None or one.stdout is None:
        raise RuntimeError("the process has no pipes")
    one.stdin.write(msgspec.json.encode(job).decode() + "\n")
    one.stdin.flush()
    seconds, digest = one.stdout.readline().split()
    return float(seconds), digest


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the document; return 1 if the overhead exceeds a tenth."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.split("\n")[0])
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    rows = measure(replicas=options.replicas, repeats=options.repeats)
    print(json.dumps(document(rows)) if options.json else table(rows))
    return 0 if all(row.ratio >= (row.wanted_ratio or 0) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
