"""A run in which the primary of a Sentinel group fails again and again, in a different way each time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ledger.ledger import LedgerSettings
from tests.chaos.data_loss.callers import Losses
from tests.chaos.data_loss.runs import Mode, Plan, play
from tests.support.sentinels import CONTINUE, STOP, SentinelGroup, ServerProcess, sentinel_group

HELD_SECONDS = 1.0
"""How long a primary stays cut off or stopped after another was promoted: its callers may still write to it."""


class FailoverResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has lost, and its failovers by kind."""

    mode: Mode
    losses: Losses
    failovers: list[str]
    took_seconds: float

    @property
    def name(self) -> str:
        """The mode."""
        return self.mode

    @property
    def failures(self) -> int:
        """Number of failovers."""
        return len(self.failovers)

    @property
    def kept(self) -> bool:
        """True if nothing was lost that was to survive."""
        return not self.losses.unanswered and (self.mode != "replica" or not self.losses.broken)


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> FailoverResult:
    """Run a plan; the logs stay in the folder."""
    started_seconds = time.monotonic()
    (folder / "servers").mkdir(parents=True)
    config = ("appendonly yes", "appendfsync everysec")
    with sentinel_group(folder / "servers", config=config, proxied=True) as group:
        settings = LedgerSettings(
            redis_url=group.url(),
            namespace="loss",
            lease_seconds=5.0,
            max_outcomes=10 * plan.jobs,
            durable_replicas=len(group.servers) - 1,
            replica_storage="memory",
        )
        losses, failed = play(plan, settings, folder, itertools.cycle(_failures(group)), say)
    return FailoverResult(
        mode=plan.mode, losses=losses, failovers=failed, took_seconds=round(time.monotonic() - started_seconds, 1)
    )


def _failures(group: SentinelGroup) -> list[Callable[[], str]]:
    def failure(name: str, fail: Callable[[SentinelGroup], None]) -> Callable[[], str]:
        def failed() -> str:
            fail(group)
            group.wait_until_whole()
            return name

        return failed

    ways = {"cut off": _cut_off, "killed": _killed, "ordered": _ordered, "stopped": _stopped}
    return [failure(name, fail) for name, fail in ways.items()]


def _primary(group: SentinelGroup) -> ServerProcess:
    group.wait_until_whole()
    return group.primary()


def _cut_off(group: SentinelGroup) -> None:
    """Part the primary from replicas and sentinels; callers and pools still reach it."""
    primary = _primary(group)
    assert primary.proxy is not None
    primary.proxy.cut_off("peers")
    group.wait_for_other(primary)
    time.sleep(HELD_SECONDS)
    primary.proxy.heal()


def _killed(group: SentinelGroup) -> None:
    """Kill the primary, and start it again after another was promoted."""
    primary = _primary(group)
    primary.kill()
    group.wait_for_other(primary)
    primary.start()


def _ordered(group: SentinelGroup) -> None:
    """Order a failover, as an operator does."""
    _primary(group)
    group.order_failover()


def _stopped(group: SentinelGroup) -> None:
    """Stop the primary by SIGSTOP until another was promoted."""
    primary = _primary(group)
    primary.signal(STOP)
    group.wait_for_other(primary)
    time.sleep(HELD_SECONDS)
    primary.signal(CONTINUE)
