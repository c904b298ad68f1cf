"""Compilation of inner loops by numba, on their first call.

The machine code is cached next to the file of the loop, or in the user's cache folder if the file's folder is
read-only, or not at all. No loop is parallel inside and none holds the interpreter lock, so callers may use threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on its first call, and cache the machine code if a folder is writable."""
    try:
        compiled: Callable[P, R] = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # a read-only installation without a home folder: each process compiles
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into each kernel that calls it."""
    compiled: Callable[P, R] = numba.njit(nogil=True, inline="always", error_model="numpy")(function)
    return compiled


def part_of_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function for the kernels that call it, into which LLVM inlines it.

    Unlike `inline_kernel`, each kernel's types are inferred without it, which takes seconds less if it is long or is
    called often. A literal among the arguments is no literal inside.
    """
    compiled: Callable[P, R] = numba.njit(nogil=True, forceinline=True, error_model="numpy")(function)
    return compiled
