"""A real training pool whose main process has trained with two threads before it forks; started by the fork tests.

`--fork-with N ...` does not start a pool: it forks a child that trains with N threads after the same past, for each N
one after the other, and prints its process id and, when it has ended, its exit code.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import xgboost as xgb
from threadpoolctl import threadpool_limits

from workers.__main__ import main


def train(threads: int) -> None:
    """Boost and multiply with so many threads of OpenMP and of BLAS."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 20))
    xgb.train({"nthread": threads, "verbosity": 0}, xgb.DMatrix(rows, rows[:, 0], nthread=threads), 5)
    with threadpool_limits(limits=threads):
        np.linalg.norm(rows.T @ rows)


if __name__ == "__main__":
    train(2)
    if sys.argv[1] != "--fork-with":
        sys.exit(main())
    for threads in sys.argv[2:]:
        pid = os.fork()
        if pid == 0:
            train(int(threads))
            os._exit(0)
        print(pid, flush=True)  # noqa: T201 - for the test
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201
