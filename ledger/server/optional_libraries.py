"""Libraries that other libraries import wherever they are installed, kept out of processes that use nothing of them.

redis-py imports the SDK of OpenTelemetry for metrics of its own, structlog imports rich for tracebacks in colour,
billiard imports cffi for one call of the kernel, which it otherwise makes through ctypes, kombu imports yaml, numba
imports coverage, and pandas imports pyarrow. Each of them takes time and memory in every process of a service. Only
processes of our own hide them: in a caller's process the caller may use them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Let imports in the block find none of these libraries, as if they were not installed.

    A library that is imported already stays visible. After the block all can be imported.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: the import raises ModuleNotFoundError
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
