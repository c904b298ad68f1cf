"""What the processes of one pool share from before they are forked."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ledger.contracts.controls import Controls
from workers.jobs.registry import Registry
from workers.pool.event_pipe import Telemetry
from workers.pool.process_memory import PoolMemory
from workers.pool.scoreboard import Board
from workers.settings import WorkerSettings

START_SECONDS = 120.0
"""How long children may take to report for work: they import the engine first, which is slow on a busy machine."""


@dataclass
class Pool:
    """Settings, handlers, the board, and the incarnation by which claims are told apart.

    Process ids repeat in containers, and after a restart; the incarnation does not. `controls` is what the guard in the
    main process has read last; without an answer of the server it stays. A child has those of its claim. `memory` is
    what the guard has reckoned last, in the main process too. `preloaded` are models by digest, opened before the fork.
    """

    settings: WorkerSettings
    handlers: Registry
    board: Board = field(default_factory=Board)
    controls: Controls = field(default_factory=Controls)
    memory: PoolMemory = field(default_factory=PoolMemory)
    telemetry: Telemetry = field(default_factory=Telemetry)
    preloaded: dict[str, Any] = field(default_factory=dict)
    incarnation: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def name(self) -> str:
        """The pool's name, unique in the fleet and in time."""
        return f"{self.settings.node_name}#{self.incarnation}"

    @property
    def canary(self) -> str:
        """The queue whose doorbell only this pool hears."""
        return f"canary-{self.name}"

    def owner(self, pid: int) -> str:
        """Return the name under which a child of this pool claims."""
        return f"{self.name}/{pid}"


PREDICTS = "predict_card"


def predicts(pool: Pool, queues: Iterable[str]) -> bool:
    """Whether a pool answers cards: those of another kind have no model to test."""
    return "predict" in set(queues) and PREDICTS in pool.handlers
