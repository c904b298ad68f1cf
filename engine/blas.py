"""One thread for linear algebra: the last bits of a matrix product depend on how many threads share it.

The number of threads is one setting for the whole process. So callers in several threads hold it together: the first
one in lowers it, the last one out puts it back.
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

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limiter.restore_original_limits()


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
