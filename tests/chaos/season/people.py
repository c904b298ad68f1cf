"""Everybody who works in a season, as real processes that a supervisor starts again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos.fleet import Pool


class Member(Pool):
    """One process of the service, through all of its incarnations: a pool, a feed runner or a follower."""

    def __init__(self, name: str, folder: Path, variables: Mapping[str, str], command: Sequence[str]) -> None:
        super().__init__(name, folder, variables, concurrency=1)
        self.name = name
        self._command = [sys.executable, "-m", *command]
        self._variables = {**variables, "CORNERMAN_NODE": name}

    @property
    def number(self) -> int:
        """Process number of the incarnation that runs now."""
        return self._process.pid


def pool(name: str, kind: str, folder: Path, variables: Mapping[str, str]) -> Member:
    """Return a pool with one child."""
    return Member(name, folder, variables, ["workers", "--pool", kind, "--concurrency", "1"])


def command(name: str, folder: Path, variables: Mapping[str, str], *words: str) -> Member:
    """Return a command of `cornerman` that runs until it is stopped."""
    return Member(name, folder, variables, ["producer.cli.main", *words])
