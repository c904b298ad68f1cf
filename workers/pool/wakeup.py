"""Ends of waits between the processes of a pool: a pipe, created before the children are forked.

A thread that waits on it costs nothing until something happens. Whatever a pool looks at only while jobs run waits like
this while none runs.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from contextlib import suppress

_READ_BYTES = 2**16


class Wakeup:
    """A wait of one thread, which any thread, process or signal handler of the pool may end."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        # As files, so that they are closed when the pool is collected.
        self._reader, self._writer = os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb", 0)

    def wake(self) -> None:
        """End the wait, or the next one if the thread does not wait. Never blocks, never raises."""
        with suppress(OSError):  # the pipe is full, so the wait ends anyway
            os.write(self._writer.fileno(), b"!")

    def wait(self, within_seconds: float | None = None, descriptors: Iterable[int] = ()) -> frozenset[int]:
        """Wait for `wake`, for one of the file descriptors to become readable, or for the time to pass.

        Returns the readable ones of `descriptors`.
        """
        poll = select.poll()
        for descriptor in (self._reader.fileno(), *descriptors):
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if within_seconds is None else within_seconds * 1000)}
        if self._reader.fileno() in ready:
            with suppress(BlockingIOError):
                os.read(self._reader.fileno(), _READ_BYTES)
        return frozenset(ready - {self._reader.fileno()})
