"""A temporary service: server and pools in a folder, stopped at the end of a `with` block.

The service is `cornerman up` as a child process that stops when its standard input closes. Nothing outlives the
parent process, because a killed parent closes that pipe too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.contracts.failures import LedgerUnavailableError, WaitTimeoutError
from ledger.contracts.job_state import Outcome, Progress
from ledger.ledger import Ledger
from ledger.server.embedded_server import find_running
from ledger.settings import LedgerSettings
from producer.client import Client
from producer.service.served_queues import served_queues
from producer.service.service_process import POOLS, stop_timeout_seconds
from producer.settings import DATA_VARIABLE

START_TIMEOUT_SECONDS = 120.0
POLL_SECONDS = 0.2
CHECK_SECONDS = 5.0
# Additional time in which `up` stops the server after its pools.
STOP_MARGIN_SECONDS = 10.0
LOG_LINES = 15
GATEWAY_START_SECONDS = 30.0
_ADDRESS = re.compile(r"^http://\S+$", re.MULTILINE)


@dataclass(frozen=True)
class TemporaryService:
    """A running temporary service: its client, process and log."""

    client: Client
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, job_id: str, on_progress: Callable[[Progress], None]) -> Outcome:
        """Wait for an outcome. Raises LedgerUnavailableError if the service ends."""
        while True:
            try:
                return self.client.wait(job_id, CHECK_SECONDS, on_progress=on_progress)
            except WaitTimeoutError:
                self.check_alive()
            except LedgerUnavailableError:  # the server of a busy machine may not answer for a while
                self.check_alive()
                time.sleep(POLL_SECONDS)

    def check_alive(self) -> None:
        """Check that the service runs. Raises LedgerUnavailableError with the end of its log."""
        _check_alive(self.process, self.log)


@contextmanager
def temporary_service(
    folder: Path, variables: Mapping[str, str] | None = None, *, http: bool = False
) -> Iterator[TemporaryService]:
    """Start a service in `folder`, wait for its pools, and stop it at the end of the block.

    `variables` are additional settings of the service. With `http` it has a gateway on a free port. Raises
    LedgerUnavailableError if it does not start; the message ends with the last lines of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "producer.cli.main", "up", "--until-stdin-closes", *(["--http"] if http else [])],
            env={**clean_environment(), "CORNERMAN_GATEWAY_PORT": "0", **(variables or {}), DATA_VARIABLE: str(folder)},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        with _connected(process, folder, log) as client:
            yield TemporaryService(client, process, log)
    finally:
        _stop(process)


def gateway_url(service: TemporaryService) -> str | None:
    """Wait for the gateway of a service with `http` and return its address; None if it does not start."""
    end = time.monotonic() + GATEWAY_START_SECONDS
    while time.monotonic() < end and service.process.poll() is None:
        if found := _ADDRESS.search(service.log.read_text(encoding="utf-8", errors="replace")):
            return found[0]
        time.sleep(POLL_SECONDS)
    return None


def clean_environment() -> dict[str, str]:
    """Return the environment without cornerman's settings, so that the service uses none of the caller's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}


def _connected(process: subprocess.Popen[bytes], folder: Path, log: Path) -> Client:
    end = time.monotonic() + START_TIMEOUT_SECONDS
    client: Client | None = None
    while client is None or not served_queues(client).issuperset(POOLS):
        _check_alive(process, log)
        if time.monotonic() > end:
            raise LedgerUnavailableError(
                f"the workers did not start within {START_TIMEOUT_SECONDS:g} s:\n{_end_of(log)}"
            )
        if client is None and (url := find_running(folder)):
            client = Client(Ledger.connect(LedgerSettings(redis_url=url)))
        time.sleep(POLL_SECONDS)
    return client


def _check_alive(process: subprocess.Popen[bytes], log: Path) -> None:
    if process.poll() is not None:
        raise LedgerUnavailableError(f"the service ended with {process.returncode}:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(stop_timeout_seconds() + STOP_MARGIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
