"""Threads of the numeric libraries of a pool: one each, pinned before a child computes anything.

A child is one unit of concurrency. If training may use more cores, it uses Python threads of its own, each of which
calls the libraries with one thread: results do not depend on the number to the bit, and a forked child cannot hang. A
parent that has ever computed with two threads of OpenMP leaves its children a thread pool that did not survive the
fork; a child that then asks for two waits for ever.
"""

from __future__ import annotations

import os
import sys
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Read by the numeric libraries when they are loaded."""


def pin_environment() -> None:
    """Limit the libraries that this process and its children will load to one thread."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))


def pin_libraries() -> None:
    """Limit the libraries that this process has loaded to one thread, whatever was set when they were loaded."""
    if "numpy" in sys.modules:
        import threadpoolctl  # only if there is a library to limit

        threadpoolctl.threadpool_limits(limits=1)  # for as long as the process lives


def threads_by_library() -> dict[str, int]:
    """Return the threads of each kind of numeric library that is loaded, such as {"openblas": 1, "openmp": 1}."""
    import threadpoolctl

    found: dict[str, int] = {}
    libraries: list[dict[str, Any]] = threadpoolctl.threadpool_info()
    for library in libraries:
        name = str(library["internal_api"])
        found[name] = max(found.get(name, 0), int(library["num_threads"]))
    return dict(sorted(found.items()))
