"""How many threads the numeric libraries of a pool use: one each, pinned before a child computes anything.

A child is one unit of concurrency. Where training may use more cores, it does so with Python threads of its own, each
of which calls the libraries with one: their bits do not depend on it, and a forked child cannot hang. A parent that
has ever computed with two threads of OpenMP leaves its children a pool of threads that did not survive the fork; a
child that asks for two then waits for ever.
"""

from __future__ import annotations

import os
import sys
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Read by the numeric libraries when they are loaded."""


def pin_environment() -> None:
    """Hold libraries that this process and its children have yet to load to one thread."""
    os.environ.update(dict.fromkeys(THREADS, "1"))


def pin_libraries() -> None:
    """Hold the libraries that this process has loaded to one thread, whatever was set when they were."""
    if "numpy" in sys.modules:
        import threadpoolctl  # not before there is anything to hold

        threadpoolctl.threadpool_limits(limits=1)  # for as long as the process lives


def pinned() -> dict[str, int]:
    """Return the threads of each kind of numeric library that is loaded, such as {"openblas": 1, "openmp": 1}."""
    import threadpoolctl

    found: dict[str, int] = {}
    libraries: list[dict[str, Any]] = threadpoolctl.threadpool_info()
    for library in libraries:
        name = str(library["internal_api"])
        found[name] = max(found.get(name, 0), int(library["num_threads"]))
    return dict(sorted(found.items()))
