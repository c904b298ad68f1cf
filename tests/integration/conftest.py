"""What tests of whole processes can ask for: pools of workers, started as in production."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.verification import MODEL_CHECKS
from tests.support.alert_receiver import Receiver
from tests.support.fork_server import ForkServer
from tests.support.pools import (
    CELERY_MODULES,
    ENGINE_MODULES,
    ROOT,
    START_SECONDS,
    STOP_SECONDS,
    PoolProcess,
    StartPool,
    start_program,
)


@pytest.fixture(scope="session")
def celery_server() -> Iterator[ForkServer]:
    """Forks pools with handlers of a test."""
    server = ForkServer("celery", CELERY_MODULES)
    yield server
    server.close()


@pytest.fixture(scope="session")
def engine_server() -> Iterator[ForkServer]:
    """Forks pools with the real handlers."""
    server = ForkServer("engine", ENGINE_MODULES)
    yield server
    server.close()


@pytest.fixture
def start_pool(
    request: pytest.FixtureRequest,
    ledger_settings: LedgerSettings,
    ledger: Ledger,
    tmp_path: Path,
    until: Callable[..., None],
) -> Iterator[StartPool]:
    """Start a pool and wait until it has announced itself: of `probe_worker.py` or another script, or the real one.

    It is forked by a server unless the test has the mark `new_interpreter`. Further settings are variables.
    """
    forked = request.node.get_closest_marker("new_interpreter") is None
    started: list[PoolProcess] = []

    def start(
        *,
        concurrency: int = 2,
        queue: str = "predict",
        real: bool = False,
        script: str = "probe_worker.py",
        **variables: str,
    ) -> PoolProcess:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CORNERMAN_REDIS_URL": str(ledger_settings.redis_url),
            "CORNERMAN_NAMESPACE": ledger_settings.namespace,
            "CORNERMAN_DATA": str(tmp_path),
            **variables,
        }
        log = tmp_path / f"pool-{len(started)}.log"
        program = ["-m", "workers"] if real else [str(ROOT / "tests/support" / script)]
        server = request.getfixturevalue("engine_server" if real else "celery_server") if forked else None
        program += ["--pool", queue, "--concurrency", str(concurrency)]
        pool = start_program(program, environment, log, server)
        started.append(pool)

        def announced() -> bool:  # by its own process id: one that was killed is listed for a while longer
            return (
                any(known.get("pid") == pool.pid for known in ledger.pools.alive()) or pool.process.poll() is not None
            )

        until(announced, START_SECONDS)
        assert pool.process.poll() is None, log.read_text()
        children = int(variables.get("CORNERMAN_MIN_CHILDREN", concurrency))
        until(lambda: len(pool.children()) == children, START_SECONDS)
        return pool

    yield start
    for pool in started:
        if pool.process.poll() is None:
            os.killpg(pool.pid, signal.SIGKILL)
            pool.process.wait(STOP_SECONDS)


@pytest.fixture
def prover(ledger_settings: LedgerSettings) -> Iterator[None]:
    """A worker that finds every model sound, whether or not there is one."""
    sound = tuple(HealthCheck(name=name, passed=True, detail="") for name in MODEL_CHECKS)
    over = threading.Event()

    def answer() -> None:
        ledger = Ledger.connect(ledger_settings)
        while not over.wait(0.01):
            for claim in ledger.claim("predict", "prover#1/1"):
                ledger.settle(claim, HealthReport(status="healthy", checks=sound, memory_mb=1.0))
        ledger.close()

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def command_environment(ledger_settings: LedgerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that run in this process use this test's ledger and a data folder of its own."""
    for name in [name for name in os.environ if name.startswith("CORNERMAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CORNERMAN_REDIS_URL", str(ledger_settings.redis_url))
    monkeypatch.setenv("CORNERMAN_NAMESPACE", ledger_settings.namespace)
    monkeypatch.setenv("CORNERMAN_DATA", str(tmp_path / "data"))


@pytest.fixture
def hasty(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    """The same ledger with leases that run out at once."""
    fields = {**ledger_settings.__dict__, "lease_seconds": 0.001}
    opened = Ledger.connect(LedgerSettings(**fields))
    yield opened
    opened.close()
