"""A limit of one thread for linear algebra libraries.

The last bits of a large matrix product depend on the number of threads that compute it. That number is one setting of
the whole process, so callers in several threads share the limit: the first one sets it, the last one restores it.
Threadpoolctl lets only the thread that set the limit restore it; if another thread is last, the limit stays at one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
    """The shared limit, and the number of callers that hold it."""

    def __init__(self) -> None:
        self._libraries = ThreadpoolController()
        self._lock = threading.Lock()
        self._holders = 0
        self._limiter: Any = None

    def acquire(self) -> None:
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                self._limiter = self._libraries.limit(limits=1, user_api="blas")
                self._limiter.__enter__()  # marks this thread as the one that may restore the setting

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limiter.__exit__(None, None, None)


@cache
def _limit() -> _Limit:
    """Return the process's limit, created on first use: finding the libraries takes milliseconds."""
    return _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit linear algebra to one thread in this process; safe to use from several threads at once."""
    limit = _limit()
    limit.acquire()
    try:
        yield
    finally:
        limit.release()
