"""The faults, as an enumeration with one small injector each.

An injector is a generator. It strikes, yields for how many seconds the fault is to last, and then heals; one whose
damage is done at once never yields. Several faults may be at work together.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from ledger.jobs.claims import RunningJob
from tests.chaos.fleet import Fleet
from tests.chaos.jobs import HARMFUL, Behaviour
from tests.chaos.server import Server
from tests.chaos.store import Disk, StoreServer
from tests.chaos.webhooks import Webhooks

DAY_SECONDS = 86_400
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.02
MOST_CLIENTS = 5
QUEUES = ("predict", "train")

_FORGED = {
    "body": "e30=",
    "headers": {"task": "celery.chord_unlock", "id": "x", "timelimit": [1e9, 1e9]},
    "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"},
    "content-type": "application/x-python-serialize",
}
ODD_DOORBELLS = (
    *(b"", b"\xff\xfe\x00", b"{", b"null", b"[1, 2]", b"x" * 9_000, b"cos\nsystem\n(S'false'\ntR."),
    *(b'{"method": "shutdown"}', json.dumps(_FORGED).encode()),
)
"""What no ledger has written: not JSON, not a message, or a message that wants more than to be a doorbell."""


class Fault(StrEnum):
    """What can go wrong. The values are the names in the table."""

    CHILDREN_KILLED = "children killed at random moments"
    RUNNING_CHILD_KILLED = "child killed in mid-job"
    CHILD_TERMINATED = "child told to stop in mid-job"
    CHILD_STOPPED = "child frozen past its lease, then on"
    CHILD_STOPPED_KILLED = "child frozen past its lease, then killed"
    MAIN_KILLED = "main process killed"
    MAIN_STOPPED = "main process frozen past the leases, then on"
    MAIN_STOPPED_KILLED = "main process frozen past the leases, then killed"
    POOL_STOPPED = "whole pool frozen past the leases, then on"
    POOL_STOPPED_KILLED = "whole pool frozen past the leases, then killed"
    POOL_KILLED = "whole pool killed"
    TERMINATED = "pool told to stop, as in a deploy"
    GROUP_TERMINATED = "all processes of a pool told to stop"
    TASK_HARMS = "task that dies, hangs or eats memory"
    SERVER_KILLED_EVERYSEC = "server killed and restarted, everysec"
    SERVER_KILLED_ALWAYS = "server killed and restarted, always"
    SERVER_PAUSED = "server paused (CLIENT PAUSE)"
    SERVER_STOPPED = "server frozen (SIGSTOP)"
    SERVER_SILENT = "server silent for longer than all retries"
    SERVER_FULL = "server out of memory (noeviction)"
    SERVER_READ_ONLY = "server made a replica, then a primary again"
    SERVER_WITHOUT_REPLICAS = "server that misses its replicas"
    CLIENTS_REFUSED = "connections cut and refused (maxclients)"
    CONNECTIONS_CUT = "all connections cut"
    SCRIPTS_FORGOTTEN = "server forgets the scripts"
    DOORBELLS_LOST = "doorbells lost"
    DOORBELLS_DOUBLED = "doorbells too many"
    DOORBELLS_ODD = "doorbells that are not doorbells"
    CLOCK_JUMPED = "clock of a pool a day off"
    SERVER_CLOCK_FORWARD = "server's clock set an hour forward, then back"
    SERVER_CLOCK_BACK = "server's clock set 10 minutes back, then forward"
    LOGS_LOST = "log folder not writable"
    PART_KILLED = "child killed in mid-refit"
    STORE_DOWN = "store killed and restarted"
    STORE_STOPPED = "store frozen (SIGSTOP)"
    STORE_SLOW = "store slow (stops half of the time)"
    STORE_FULL = "store and training machine out of disk"
    RELAY_KILLED = "relay of webhooks killed"
    RELAY_STOPPED = "relay frozen past its lease, then on"
    RECEIVER_FAILS = "receiver of webhooks down"


OF_THE_CLOCK = (Fault.SERVER_CLOCK_FORWARD, Fault.SERVER_CLOCK_BACK)
OF_TRAINING = (Fault.PART_KILLED, Fault.STORE_DOWN, Fault.STORE_STOPPED, Fault.STORE_SLOW, Fault.STORE_FULL)


@dataclass(frozen=True)
class Stage:
    """What an injector has at hand.

    `held` asks which jobs run now; `ask` submits an urgent job; `frozen_seconds` is longer than a lease, and
    `silent_seconds` longer than anybody tries again by itself.
    """

    fleet: Fleet
    server: Server
    namespace: str
    rng: random.Random
    running: list[RunningJob]
    held: Callable[[], list[RunningJob]]
    ask: Callable[[Behaviour], object]
    store: StoreServer
    disk: Disk
    logs: Path
    webhooks: Webhooks
    frozen_seconds: float
    outage_seconds: float
    silent_seconds: float

    def running_child(self) -> psutil.Process | None:
        """Return a child that holds a job, any child if none does."""
        return self._holder(self.running) or self.fleet.any_child(self.rng)

    def refitting_child(self) -> psutil.Process:
        """Wait for a child that works on a part of a training, and return it."""
        until_seconds = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until_seconds:
            child = self._holder([job for job in self.held() if job.kind == "train_part"])
            if child is not None:
                return child
            time.sleep(LOOK_SECONDS)
        raise TimeoutError("no child works on a part of a training")

    def _holder(self, jobs: list[RunningJob]) -> psutil.Process | None:
        holders = {int(job.owner.rpartition("/")[2]) for job in jobs}
        children = [child for pool in self.fleet.pools for child in pool.children() if child.pid in holders]
        return self.rng.choice(children) if children else None


def _send(signum: int, *processes: psutil.Process | None) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process is not None:
                process.send_signal(signum)


def _children_killed(stage: Stage) -> Iterator[float]:
    # Most jobs are short: a child is claiming or settling as often as running. Each loses its job once.
    children = [child for pool in stage.fleet.pools for child in pool.children()]
    _send(signal.SIGKILL, *stage.rng.sample(children, min(3, len(children))))
    yield from ()


def _running_child(signum: int) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        _send(signum, stage.running_child())
        yield from ()

    return inject


def _child_stopped(afterwards: int) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        child = stage.running_child()
        _send(signal.SIGSTOP, child)
        yield stage.frozen_seconds
        _send(afterwards, child)

    return inject


def _main_signalled(signum: int) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        stage.rng.choice(stage.fleet.pools).signal_main(signum)
        yield from ()

    return inject


def _main_stopped(afterwards: int) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        main = stage.rng.choice(stage.fleet.pools).processes()[:1]
        _send(signal.SIGSTOP, *main)
        yield stage.frozen_seconds
        _send(afterwards, *main)

    return inject


def _pool_signalled(signum: int) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        _send(signum, *stage.rng.choice(stage.fleet.pools).processes())
        yield from ()

    return inject


def _pool_stopped(afterwards: int) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        processes = stage.rng.choice(stage.fleet.pools).processes()
        _send(signal.SIGSTOP, *processes)
        yield stage.frozen_seconds
        _send(afterwards, *processes)

    return inject


def _task_harms(stage: Stage) -> Iterator[float]:
    stage.ask(stage.rng.choice(HARMFUL))
    yield from ()


def _server_killed(appendfsync: str) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        stage.server.command("CONFIG", "SET", "appendfsync", appendfsync)
        time.sleep(stage.rng.uniform(0.2, 0.8))  # some work under this policy comes first
        with stage.server.down():
            yield stage.rng.choice((stage.rng.uniform(0, 1.5), stage.outage_seconds))

    return inject


def _server_paused(stage: Stage) -> Iterator[float]:
    stage.server.command("CLIENT", "PAUSE", round(stage.outage_seconds * 1000), "ALL")
    yield stage.outage_seconds


def _server_stopped(stage: Stage) -> Iterator[float]:
    with stage.server.frozen():
        yield stage.outage_seconds


def _server_silent(stage: Stage) -> Iterator[float]:
    with stage.server.frozen():
        yield stage.silent_seconds


def _server_full(stage: Stage) -> Iterator[float]:
    stage.server.command("CONFIG", "SET", "maxmemory", 1)
    yield stage.rng.uniform(0.5, 2.5)
    stage.server.command("CONFIG", "SET", "maxmemory", 0)


def _server_read_only(stage: Stage) -> Iterator[float]:
    stage.server.command("REPLICAOF", "127.0.0.1", 1)  # where nobody is, so it keeps its data
    yield stage.outage_seconds
    stage.server.command("REPLICAOF", "NO", "ONE")


def _server_without_replicas(stage: Stage) -> Iterator[float]:
    stage.server.command("CONFIG", "SET", "min-replicas-to-write", 1)
    yield stage.outage_seconds
    stage.server.command("CONFIG", "SET", "min-replicas-to-write", 0)


def _clients_refused(stage: Stage) -> Iterator[float]:
    stage.server.command("CONFIG", "SET", "maxclients", MOST_CLIENTS)
    for kind in ("normal", "pubsub"):
        stage.server.command("CLIENT", "KILL", "TYPE", kind)
    yield stage.outage_seconds
    stage.server.command("CONFIG", "SET", "maxclients", 10_000)


def _connections_cut(stage: Stage) -> Iterator[float]:
    for _ in range(stage.rng.randint(1, 5)):
        for kind in ("normal", "pubsub"):
            stage.server.command("CLIENT", "KILL", "TYPE", kind)
        yield stage.rng.uniform(0, 0.3)


def _scripts_forgotten(stage: Stage) -> Iterator[float]:
    stage.server.command("SCRIPT", "FLUSH")
    yield from ()


def _doorbell(stage: Stage) -> str:
    return f"{stage.namespace}:doorbell:{stage.rng.choice(QUEUES)}"


def _doorbells_lost(stage: Stage) -> Iterator[float]:
    for _ in range(20):
        stage.server.command("DEL", _doorbell(stage))
        yield 0.05


def _doorbells_doubled(stage: Stage) -> Iterator[float]:
    stage.server.command("LPUSH", _doorbell(stage), *["!"] * 500)
    yield from ()


def _doorbells_odd(stage: Stage) -> Iterator[float]:
    stage.server.command("LPUSH", _doorbell(stage), *ODD_DOORBELLS)
    yield from ()


def _clock_jumped(stage: Stage) -> Iterator[float]:
    clock = stage.rng.choice(stage.fleet.pools).clock
    clock.write_text(str(stage.rng.choice((-DAY_SECONDS, DAY_SECONDS))))
    yield stage.outage_seconds
    clock.write_text("0")


def _server_clock(seconds: int) -> Callable[[Stage], Iterator[float]]:
    def inject(stage: Stage) -> Iterator[float]:
        with stage.server.clock.set(seconds):
            yield stage.outage_seconds

    return inject


def _logs_lost(stage: Stage) -> Iterator[float]:
    # A file in its place keeps root away too. A pool that has just missed the folder may be faster, and make another.
    while not stage.logs.is_file():
        stage.logs.mkdir(exist_ok=True)
        stage.logs.rename(stage.logs.with_name(f"logs-{time.monotonic_ns()}"))
        with suppress(IsADirectoryError):
            stage.logs.write_text("no folder")
    yield stage.outage_seconds
    stage.logs.unlink()


def _part_killed(stage: Stage) -> Iterator[float]:
    _send(signal.SIGKILL, stage.refitting_child())
    yield from ()


def _store_down(stage: Stage) -> Iterator[float]:
    stage.refitting_child()
    with stage.store.down():
        yield stage.outage_seconds


def _store_stopped(stage: Stage) -> Iterator[float]:
    stage.refitting_child()
    with stage.store.frozen():
        yield stage.outage_seconds


def _store_slow(stage: Stage) -> Iterator[float]:
    stage.refitting_child()
    until_seconds = time.monotonic() + stage.outage_seconds
    while time.monotonic() < until_seconds:
        with stage.store.frozen():
            yield stage.rng.uniform(0.1, 0.5)
        yield stage.rng.uniform(0.0, 0.5)


def _store_full(stage: Stage) -> Iterator[float]:
    stage.refitting_child()
    with stage.disk.full():
        yield stage.outage_seconds


def _relay_killed(stage: Stage) -> Iterator[float]:
    stage.webhooks.any_relay(stage.rng).kill()
    yield from ()


def _relay_stopped(stage: Stage) -> Iterator[float]:
    relay = stage.webhooks.any_relay(stage.rng)
    relay.send_signal(signal.SIGSTOP)
    yield stage.frozen_seconds
    relay.send_signal(signal.SIGCONT)


def _receiver_fails(stage: Stage) -> Iterator[float]:
    with stage.webhooks.broken():
        yield stage.outage_seconds


INJECTORS: dict[Fault, Callable[[Stage], Iterator[float]]] = {
    Fault.CHILDREN_KILLED: _children_killed,
    Fault.RUNNING_CHILD_KILLED: _running_child(signal.SIGKILL),
    Fault.CHILD_TERMINATED: _running_child(signal.SIGTERM),
    Fault.CHILD_STOPPED: _child_stopped(signal.SIGCONT),
    Fault.CHILD_STOPPED_KILLED: _child_stopped(signal.SIGKILL),
    Fault.MAIN_KILLED: _main_signalled(signal.SIGKILL),
    Fault.MAIN_STOPPED: _main_stopped(signal.SIGCONT),
    Fault.MAIN_STOPPED_KILLED: _main_stopped(signal.SIGKILL),
    Fault.POOL_STOPPED: _pool_stopped(signal.SIGCONT),
    Fault.POOL_STOPPED_KILLED: _pool_stopped(signal.SIGKILL),
    Fault.POOL_KILLED: _pool_signalled(signal.SIGKILL),
    Fault.TERMINATED: _main_signalled(signal.SIGTERM),
    Fault.GROUP_TERMINATED: _pool_signalled(signal.SIGTERM),
    Fault.TASK_HARMS: _task_harms,
    Fault.SERVER_KILLED_EVERYSEC: _server_killed("everysec"),
    Fault.SERVER_KILLED_ALWAYS: _server_killed("always"),
    Fault.SERVER_PAUSED: _server_paused,
    Fault.SERVER_STOPPED: _server_stopped,
    Fault.SERVER_SILENT: _server_silent,
    Fault.SERVER_FULL: _server_full,
    Fault.SERVER_READ_ONLY: _server_read_only,
    Fault.SERVER_WITHOUT_REPLICAS: _server_without_replicas,
    Fault.CLIENTS_REFUSED: _clients_refused,
    Fault.CONNECTIONS_CUT: _connections_cut,
    Fault.SCRIPTS_FORGOTTEN: _scripts_forgotten,
    Fault.DOORBELLS_LOST: _doorbells_lost,
    Fault.DOORBELLS_DOUBLED: _doorbells_doubled,
    Fault.DOORBELLS_ODD: _doorbells_odd,
    Fault.CLOCK_JUMPED: _clock_jumped,
    Fault.SERVER_CLOCK_FORWARD: _server_clock(3600),
    Fault.SERVER_CLOCK_BACK: _server_clock(-600),
    Fault.LOGS_LOST: _logs_lost,
    Fault.PART_KILLED: _part_killed,
    Fault.STORE_DOWN: _store_down,
    Fault.STORE_STOPPED: _store_stopped,
    Fault.STORE_SLOW: _store_slow,
    Fault.STORE_FULL: _store_full,
    Fault.RELAY_KILLED: _relay_killed,
    Fault.RELAY_STOPPED: _relay_stopped,
    Fault.RECEIVER_FAILS: _receiver_fails,
}
