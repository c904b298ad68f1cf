"""A job that allocates memory in steps and releases it at its end."""

from __future__ import annotations

import time

STEPS = 20


def fill(megabytes: float, seconds: float) -> float:
    """Allocate `megabytes` in the first half of `seconds`, hold them in the second half, and return `megabytes`."""
    taken = []
    for _ in range(STEPS):
        taken.append(b"x" * round(megabytes * 2**20 / STEPS))
        time.sleep(seconds / 2 / STEPS)
    time.sleep(seconds / 2)
    return megabytes
