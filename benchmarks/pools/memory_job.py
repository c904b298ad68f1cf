"""A job that takes memory step by step, as work does, and gives it back at its end."""

from __future__ import annotations

import time

STEPS = 20


def fill(megabytes: float, seconds: float) -> float:
    """Take so many MB in half the seconds and hold them for the other half; return the MB."""
    taken = []
    for _ in range(STEPS):
        taken.append(b"x" * round(megabytes * 2**20 / STEPS))
        time.sleep(seconds / 2 / STEPS)
    time.sleep(seconds / 2)
    return megabytes
