"""A command that believes to be on a terminal, and what it shows there."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class Terminal:
    """The terminal of one command; everything it has shown since `forget` was called last stands in `seen`."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.seen = b""

    def shows(self, text: bytes) -> bool:
        """Read what there is more to see, and say whether a text was among all of it."""
        self.seen += os.read(self._descriptor, 65_536)
        return text in self.seen

    def forget(self) -> None:
        self.seen = b""


@contextmanager
def on_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Start a command on a terminal of its own. At the end of the block, kill it if it still runs."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)
