"""What every test folder can ask for: a real server of this test run, and a ledger of its own for each test."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from ledger.ledger import Ledger, LedgerSettings
from ledger.scratch_folders import ScratchFolder
from ledger.server.embedded_server import EmbeddedServer
from tests.support.machine_code import is_compiling, start_compiling_if_missing, wait_until_compiled
from tests.support.server_keys import unlisted_keys
from tests.support.shared_files import FOLDER, RUN_PROCESS, one_before_the_others

if TYPE_CHECKING:
    from engine.simulation.league import League

# A run starts hundreds of interpreters: without their byte code each would compile this tree for itself.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

COMPILATION = pytest.StashKey["subprocess.Popen[bytes] | None"]()
SCRATCH = pytest.StashKey[ScratchFolder]()

# How long an example takes says more about the machine than about the code.
settings.register_profile("cornerman", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cornerman")


def pytest_configure(config: pytest.Config) -> None:
    # In the background of a shell Ctrl-C is ignored, and would be by the commands that tests stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Threads of OpenMP that wait would otherwise keep the processors from the other tests.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if not hasattr(config, "workerinput"):
        config.stash[SCRATCH] = ScratchFolder("tests")
        os.environ[FOLDER] = str(config.stash[SCRATCH].path)
        os.environ["TMPDIR"] = os.environ[FOLDER]  # for the programs that tests start, many of which are killed
        os.environ[RUN_PROCESS] = str(os.getpid())
        if config.getoption("numprocesses", None):
            config.stash[COMPILATION] = start_compiling_if_missing()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        if compilation := config.stash.get(COMPILATION, None):
            compilation.terminate()
            compilation.wait()
        del os.environ[FOLDER]
        config.stash[SCRATCH].remove()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Keep what is imported and collected, which stays until the end, from every collection of garbage."""
    gc.disable()
    try:
        if not (hasattr(session.config, "workerinput") and is_compiling()):
            return (yield)
        with one_before_the_others("collection"):  # it caches the byte code of the tests for them
            collected = yield
        wait_until_compiled()
        return collected
    finally:
        gc.freeze()
        gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Run half as many again as there are processors: tests wait for other processes much of their time."""
    return max(2, 3 * len(os.sched_getaffinity(0)) // 2)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server
        assert unlisted_keys(server.url) == [], "see ledger/key_patterns.py"


@pytest.fixture
def ledger_settings(valkey: EmbeddedServer) -> LedgerSettings:
    return LedgerSettings(redis_url=valkey.url, namespace=f"test-{uuid.uuid4().hex}")


@pytest.fixture
def ledger_type() -> type[Ledger]:
    """The kind of ledger; files whose tests are also for the asyncio ledger give both."""
    return Ledger


@pytest.fixture
def ledger(ledger_settings: LedgerSettings, ledger_type: type[Ledger]) -> Iterator[Ledger]:
    opened = ledger_type.connect(ledger_settings)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def league() -> League:
    from tests.support.small_models import small_league  # the engine, which not all tests need

    return small_league()


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Ask again until it is true; each question is a round trip to a server, or looks at a process."""

    def ask(condition: Callable[[], object], timeout_seconds: float = 20.0) -> None:
        started_seconds = time.monotonic()
        while not condition():
            waited_seconds = time.monotonic() - started_seconds
            assert waited_seconds < timeout_seconds, "it did not come true in time"
            time.sleep(min(max(0.002, waited_seconds / 50), 0.01))  # the processor is for those who are waited for

    return ask
