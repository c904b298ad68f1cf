"""Machine code of the engine's loops, compiled before the first job: `python -m engine.machine_code`.

numba compiles a loop on its first call and caches the machine code (`engine.compilation`), one loop after the other.
Here two processes at once call the loops of a training and of a prediction (`engine.loop_calls`). Not included are
contributions, which few cards ask for, and the loop of stakes, which a pool compiles as it starts. Nothing is loaded if
all is compiled.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterable
from pathlib import Path

SOURCES = (
    "members/kernels.py",
    "members/network_fit.py",
    "members/network_kernels.py",
    "members/tree_growth.py",
    "members/tree_kernels.py",
    "members/xgboost_fit.py",
    "ratings/filter_kernels.py",
    "ratings/skill_ratings.py",
)
"""The files of these loops, in the folder of the engine."""


def are_compiled(sources: Iterable[str]) -> bool:
    """Return True if there is cached machine code next to each file, and newer than it.

    False if the machine code is cached elsewhere: then only numba knows.
    """
    folder = Path(__file__).parent
    return "NUMBA_CACHE_DIR" not in os.environ and all(_is_compiled(folder / source) for source in sources)


def _is_compiled(source: Path) -> bool:
    cached = source.parent.joinpath("__pycache__").glob(f"{source.stem}.*.nbi")
    return any(index.stat().st_mtime > source.stat().st_mtime for index in cached)


def main() -> int:
    """Compile in two processes at the same time; return the exit code, 1 if one of them failed."""
    if are_compiled(SOURCES):
        return 0
    from engine.loop_calls import compile_members, compile_ratings

    fork = multiprocessing.get_context("fork")  # each has what was imported
    processes = [fork.Process(target=target) for target in (compile_ratings, compile_members)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return int(any(process.exitcode for process in processes))


if __name__ == "__main__":
    sys.exit(main())
