"""One thread for linear algebra: the last bits of a large matrix product depend on how many threads share it.

The number of threads is one setting for the whole process, so callers in several threads hold it down together: the
first one in lowers it, the last one out puts it back. Threadpoolctl lets only the thread that lowered it do that; when
another one is last, it stays at one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
    """The setting, and how many hold it down."""

    def __init__(self) -> None:
        self._libraries = ThreadpoolController()
        self._lock = threading.Lock()
        self._holders = 0
        self._limiter: Any = None

    def take(self) -> None:
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                self._limiter = self._libraries.limit(limits=1, user_api="blas")
                self._limiter.__enter__()  # marks this thread as the one that may put it back

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limiter.__exit__(None, None, None)


@cache
def _limit() -> _Limit:
    """Looking for the libraries costs milliseconds, so it is done once, and not at import."""
    return _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold linear algebra to one thread in this process, from whichever threads at once."""
    limit = _limit()
    limit.take()
    try:
        yield
    finally:
        limit.leave()
