"""The HTTP servers of the benchmarks: our gateway, and Flower on plain Celery."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.queue.competitors import ROOT, database, wait_until
from benchmarks.queue.naive_celery import URL_VARIABLE
from ledger.settings import LedgerSettings


class HttpServer(NamedTuple):
    """A server: its address and its process."""

    url: str
    pid: int


@contextmanager
def our_gateway(ledger: LedgerSettings, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[HttpServer]:
    """Run a gateway that logs warnings only, as Flower does; `more` are further variables of its environment."""
    port = _free_port()
    variables = {
        **(more or {}),
        "CORNERMAN_REDIS_URL": str(ledger.redis_url),
        "CORNERMAN_NAMESPACE": ledger.namespace,
        "CORNERMAN_GATEWAY_PORT": str(port),
        "CORNERMAN_GATEWAY_LOG_LEVEL": "warning",
    }
    with _run(["-m", "gateway"], variables, folder / "gateway.log", port, "/healthz") as server:
        yield server


@contextmanager
def flower(redis_url: str, folder: Path) -> Iterator[HttpServer]:
    """Run Flower for the plain Celery of `benchmarks.queue.competitors`."""
    port = _free_port()
    variables = {URL_VARIABLE: database(redis_url, 1), "FLOWER_UNAUTHENTICATED_API": "true"}
    command = ["-m", "celery", "-A", "benchmarks.queue.naive_celery", "flower"]
    options = ["--address=127.0.0.1", f"--port={port}", "--logging=warning"]
    with _run([*command, *options], variables, folder / "flower.log", port, "/healthcheck") as server:
        yield server


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _run(
    program: Sequence[str], variables: Mapping[str, str], log: Path, port: int, ready: str
) -> Iterator[HttpServer]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *program],
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url, ready), program[-1])
        yield HttpServer(url, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str, path: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
