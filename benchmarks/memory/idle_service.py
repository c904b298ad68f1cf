"""Memory of a service at rest: three pools, their children, the server and what runs them, against plain Celery.

    python -m benchmarks.memory.idle_service [--json]

Ours is `cornerman up` with two children that predict, one that trains and one that monitors, and a model that was
opened before the fork. Naive are three Celery workers with as many children, each of which loads the same model when it
starts (`naive_model.py`). Ours has answered nothing yet; each
naive child has, as nothing else shows that it is ready. Memory is the proportional set size (PSS) of all processes, and
the own pages (USS) of a child that predicts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import joblib
import numpy as np
import psutil

from benchmarks.memory import naive_model
from benchmarks.memory.large_model import large_model
from benchmarks.queue import competitors
from benchmarks.queue.competitors import ROOT, wait_until
from benchmarks.results import Row, run_command
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer

COMMAND = "python -m benchmarks.memory.idle_service"
MODEL_MB = 20.0
CHILDREN = {"predict": 2, "train": 1, "monitor": 1}
TIMEOUT_SECONDS = 120.0
REST_SECONDS = 3.0  # after the last child was there

_Memory = tuple[float, float]  # PSS of the service and USS of a child that predicts, in MiB


def measure(*, repeats: int = 3) -> list[Row]:
    """Measure both services alternately."""
    naive, ours = [], []
    with TemporaryDirectory() as name, EmbeddedServer(Path(name, "server")) as server:
        folder = Path(name)
        model = large_model(folder / "models", MODEL_MB)
        joblib_file = folder / "model.joblib"
        joblib.dump({item: np.array(model.bundle.array(item)) for item in model.bundle.array_names}, joblib_file)
        with closing(Ledger.connect(LedgerSettings(redis_url=server.url))) as ledger:
            ledger.models.register(model.bundle.digest, {})
            ledger.aliases.set("champion", model.bundle.digest)
            for _ in range(repeats):
                naive.append(_naive(server.url, folder, joblib_file))
                ours.append(_ours(ledger, server.url, folder))
    services = tuple(each[0] for each in naive), tuple(each[0] for each in ours)
    children = tuple(each[1] for each in naive), tuple(each[1] for each in ours)
    return [
        Row("memory of an idle service of three pools (PSS)", "MB", *services, None, False, COMMAND),
        Row("own pages of an idle child that predicts (USS)", "MB", *children, None, False, COMMAND),
    ]


def _ours(ledger: Ledger, redis_url: str, folder: Path) -> _Memory:
    variables = {"CORNERMAN_REDIS_URL": redis_url, "CORNERMAN_DATA": str(folder), "PYTHONPATH": str(ROOT)}
    counts = [part for queue, count in CHILDREN.items() for part in (f"--{queue}", str(count))]
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cli.main", "up", *counts, "--until-stdin-closes"],
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        service = psutil.Process(process.pid)
        wait_until(lambda: _pools(ledger, service).keys() == CHILDREN.keys(), "our service")
        time.sleep(REST_SECONDS)
        return _read([service, *service.children(recursive=True)], _pools(ledger, service)["predict"].children())
    finally:
        process.communicate(timeout=TIMEOUT_SECONDS)  # closes its input, which ends it


def _pools(ledger: Ledger, service: psutil.Process) -> dict[str, psutil.Process]:
    """Return the main processes of the service's pools by queue, of those whose children are all there."""
    mains = {process.pid: process for process in service.children()}
    announced = {pool["queues"][0]: pool for pool in ledger.pools.alive() if pool["pid"] in mains}
    return {queue: mains[pool["pid"]] for queue, pool in announced.items() if pool["children"] == CHILDREN[queue]}


def _naive(redis_url: str, folder: Path, model: Path) -> _Memory:
    url = competitors.database(redis_url, 1)
    variables = {naive_model.URL_VARIABLE: url, naive_model.MODEL_VARIABLE: str(model)}
    with ExitStack() as stack:
        workers = {}
        for queue, children in CHILDREN.items():
            command = [sys.executable, "-m", "celery", "-A", "benchmarks.memory.naive_model", "worker"]
            command += ["-c", str(children), "-Q", queue, "-n", queue]
            workers[queue] = stack.enter_context(competitors.run_workers(command, folder / "naive.log", variables))
        wait_until(
            lambda: all(len(workers[queue].processes()) > children for queue, children in CHILDREN.items()),
            "the naive service",
        )
        touch = naive_model.create_app(url).tasks["touch"]
        for queue, children in CHILDREN.items():  # a child is ready after its first answer
            for result in [touch.apply_async(queue=queue) for _ in range(children)]:
                result.get(timeout=TIMEOUT_SECONDS)
        time.sleep(REST_SECONDS)
        processes = [process for each in workers.values() for process in each.processes()]
        return _read(processes, workers["predict"].processes()[1:])


def _read(processes: list[psutil.Process], predicting: list[psutil.Process]) -> _Memory:
    pss = sum(process.memory_full_info().pss for process in processes)
    return pss / 2**20, fmean(process.memory_full_info().uss for process in predicting) / 2**20


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
