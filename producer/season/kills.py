"""Kills of a season: processes of the service that end by SIGKILL in the middle of it, without notice."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from producer.service.service_process import ServiceProcess

if TYPE_CHECKING:
    import psutil


class Kill(StrEnum):
    """What is killed. The values are the words of the notes and the table."""

    FEED_LEADER = "the feed runner that leads"
    PREDICT_CHILD = "a child of the predict pool"
    MONITOR_POOL = "the whole monitor pool"
    FOLLOWER = "the follower that places bets"
    PREDICT_POOL = "the whole predict pool"


@dataclass(frozen=True)
class Targets:
    """Who can be killed: the pools of the process `up`, and the runners and the follower next to it."""

    up: int
    runners: Sequence[ServiceProcess]
    follower: ServiceProcess

    def strike(self, kill: Kill, leader: str | None) -> int | None:
        """Kill a process and return its number; None if it is not there at the moment.

        Parameters
        ----------
        kill
            What is killed.
        leader
            Name of the feed runner that leads, which ends with its process number.
        """
        if kill is Kill.FEED_LEADER:
            numbers = [runner.process.pid for runner in self.runners if runner.process is not None]
            return _killed(next((number for number in numbers if leader and str(number) in leader), None))
        if kill is Kill.FOLLOWER:
            return _killed(self.follower.process.pid if self.follower.process is not None else None)
        pool = self._pool("monitor" if kill is Kill.MONITOR_POOL else "predict")
        if pool is None:
            return None
        if kill is Kill.PREDICT_CHILD:
            children = pool.children()
            return _killed(children[0].pid if children else None)
        with suppress(ProcessLookupError):
            os.killpg(pool.pid, signal.SIGKILL)  # a pool leads a group of its own
        return pool.pid

    def _pool(self, name: str) -> psutil.Process | None:
        import psutil

        for child in psutil.Process(self.up).children():
            with suppress(psutil.Error):
                words = child.cmdline()
                if "--pool" in words and words[words.index("--pool") + 1] == name:
                    return child
        return None


def _killed(number: int | None) -> int | None:
    if number is not None:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return number
