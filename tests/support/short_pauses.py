"""Shorter pauses in the pools that tests fork; those that are new interpreters have the pauses of production.

A child of a Celery pool sleeps for a second between its last message and its exit, and the main process for up to half
a second in the thread that fires its timers until the children have exited. Messages stay readable after the exit.
The poster of alerts pauses before it posts again what was refused, and the scheduler of a monitoring pool between looks
at the schedules.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

from billiard import pool
from celery.concurrency import prefork

from workers.alerts import webhook
from workers.scheduling import scheduler

MAX_SECONDS = 0.02


def sleep(seconds: float) -> None:
    """Sleep for the time given, up to the limit."""
    time.sleep(min(seconds, MAX_SECONDS))


pool.time = prefork.time = SimpleNamespace(sleep=sleep)
webhook.PAUSES_SECONDS = (0.1, 0.2)
scheduler.LOOK_SECONDS = 1.0
