"""The faults of a season, as an enumeration with one small injector each; see `tests.chaos.faults`."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import psutil

from producer.service.played_provider import PlayedProvider, ProviderFault
from tests.chaos.season.people import Member
from tests.chaos.server import Server
from tests.support.cutting_proxy import CuttingProxy

REPEATED = 3
"""So often a fault of the provider strikes in a row: once more than a poll tries again."""


class SeasonFault(StrEnum):
    """What can go wrong. The values are the names in the table."""

    LEADER_KILLED = "feed runner that leads killed"
    LEADER_STOPPED = "feed runner that leads frozen past its lease, then on"
    RUNNERS_KILLED = "all feed runners killed"
    FOLLOWERS_KILLED = "all followers killed"
    CHILD_KILLED = "child of a pool killed"
    POOL_KILLED = "whole pool killed"
    MONITORS_KILLED = "all monitoring pools killed"
    MONITOR_STOPPED = "monitoring pool frozen over some slots, then on"
    SERVER_KILLED = "server killed and restarted"
    SERVER_STOPPED = "server frozen (SIGSTOP)"
    CONNECTIONS_CUT = "all connections cut"
    REPLY_CUT = "connection of a feed runner cut before the reply"
    SCRIPTS_FORGOTTEN = "server forgets the scripts"
    CLOCK_FORWARD = "server's clock set 3 s forward, then back"
    CLOCK_BACK = "server's clock set 3 s back, then forward"
    PROVIDER_REFUSES = "provider refuses the key, the request, the rate"
    PROVIDER_FAILS = "provider fails, sends half, or no JSON"
    PROVIDER_SILENT = "provider does not answer"


OF_THE_CLOCK = (SeasonFault.CLOCK_FORWARD, SeasonFault.CLOCK_BACK)
CLOCK_SECONDS = 3


@dataclass(frozen=True)
class SeasonStage:
    """What an injector has at hand. `leader` asks who leads; `frozen_seconds` is longer than a lease."""

    runners: list[Member]
    followers: list[Member]
    predictors: list[Member]
    monitors: list[Member]
    server: Server
    provider: PlayedProvider
    proxy: CuttingProxy
    leader: Callable[[], str | None]
    rng: random.Random
    frozen_seconds: float
    outage_seconds: float

    def leading(self) -> Member:
        """Return the runner that leads, any if none does."""
        name = self.leader() or ""
        return next((runner for runner in self.runners if str(runner.number) in name), self.rng.choice(self.runners))


def _send(signum: int, members: list[Member]) -> None:
    for member in members:
        for process in member.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signum)


def _killed(chosen: Callable[[SeasonStage], list[Member]]) -> Callable[[SeasonStage], Iterator[float]]:
    def inject(stage: SeasonStage) -> Iterator[float]:
        _send(signal.SIGKILL, chosen(stage))
        yield from ()

    return inject


def _stopped(chosen: Callable[[SeasonStage], list[Member]]) -> Callable[[SeasonStage], Iterator[float]]:
    def inject(stage: SeasonStage) -> Iterator[float]:
        members = chosen(stage)
        _send(signal.SIGSTOP, members)
        yield stage.frozen_seconds
        _send(signal.SIGCONT, members)

    return inject


def _child_killed(stage: SeasonStage) -> Iterator[float]:
    children = [child for pool in (*stage.predictors, *stage.monitors) for child in pool.children()]
    for child in stage.rng.sample(children, min(1, len(children))):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    yield from ()


def _server_killed(stage: SeasonStage) -> Iterator[float]:
    stage.server.command("CONFIG", "SET", "appendfsync", "always")
    time.sleep(stage.rng.uniform(0.1, 0.3))  # some work under this policy comes first
    with stage.server.down():
        yield stage.outage_seconds


def _server_stopped(stage: SeasonStage) -> Iterator[float]:
    with stage.server.frozen():
        yield stage.outage_seconds


def _connections_cut(stage: SeasonStage) -> Iterator[float]:
    for kind in ("normal", "pubsub"):
        stage.server.command("CLIENT", "KILL", "TYPE", kind)
    yield from ()


def _reply_cut(stage: SeasonStage) -> Iterator[float]:
    stage.proxy.marker = b"EVALSHA"
    yield from ()


def _scripts_forgotten(stage: SeasonStage) -> Iterator[float]:
    stage.server.command("SCRIPT", "FLUSH")
    yield from ()


def _clock_set(seconds: int) -> Callable[[SeasonStage], Iterator[float]]:
    def inject(stage: SeasonStage) -> Iterator[float]:
        with stage.server.clock.set(seconds):
            yield stage.outage_seconds

    return inject


def _provider(*faults: ProviderFault, times: int = 1) -> Callable[[SeasonStage], Iterator[float]]:
    def inject(stage: SeasonStage) -> Iterator[float]:
        stage.provider.break_next(stage.rng.choice(faults), times)
        yield from ()

    return inject


SEASON_INJECTORS: dict[SeasonFault, Callable[[SeasonStage], Iterator[float]]] = {
    SeasonFault.LEADER_KILLED: _killed(lambda stage: [stage.leading()]),
    SeasonFault.LEADER_STOPPED: _stopped(lambda stage: [stage.leading()]),
    SeasonFault.RUNNERS_KILLED: _killed(lambda stage: stage.runners),
    SeasonFault.FOLLOWERS_KILLED: _killed(lambda stage: stage.followers),
    SeasonFault.CHILD_KILLED: _child_killed,
    SeasonFault.POOL_KILLED: _killed(lambda stage: [stage.rng.choice([*stage.predictors, *stage.monitors])]),
    SeasonFault.MONITORS_KILLED: _killed(lambda stage: stage.monitors),
    SeasonFault.MONITOR_STOPPED: _stopped(lambda stage: [stage.rng.choice(stage.monitors)]),
    SeasonFault.SERVER_KILLED: _server_killed,
    SeasonFault.SERVER_STOPPED: _server_stopped,
    SeasonFault.CONNECTIONS_CUT: _connections_cut,
    SeasonFault.REPLY_CUT: _reply_cut,
    SeasonFault.SCRIPTS_FORGOTTEN: _scripts_forgotten,
    SeasonFault.CLOCK_FORWARD: _clock_set(CLOCK_SECONDS),
    SeasonFault.CLOCK_BACK: _clock_set(-CLOCK_SECONDS),
    SeasonFault.PROVIDER_REFUSES: _provider(
        ProviderFault.KEY_REFUSED, ProviderFault.UNPROCESSABLE, ProviderFault.TOO_MANY
    ),
    SeasonFault.PROVIDER_FAILS: _provider(
        ProviderFault.SERVER_ERROR,
        ProviderFault.UNAVAILABLE,
        ProviderFault.HALF_BODY,
        ProviderFault.NOT_JSON,
        ProviderFault.CUT,
        times=REPEATED,
    ),
    SeasonFault.PROVIDER_SILENT: _provider(ProviderFault.SILENT),
}
