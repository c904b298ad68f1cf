"""Attribution of memory: to the current job, or to memory left over from earlier jobs."""

from __future__ import annotations

from workers.pool.scoreboard import ChildSlot

_RESPONSIBLE_FRACTION = 0.9
"""A job that takes this fraction of the memory above a fresh child's baseline has caused the excess itself."""


def job_caused_excess(slot: ChildSlot, used_mb: float) -> bool:
    """Return True if the current job, not memory left over from earlier jobs, took its child above its ceiling.

    A fresh child would exceed the ceiling with this job too, or nearly. If even a fresh child's baseline is above the
    ceiling, no job is responsible.
    """
    return used_mb - slot.job_start_mb > _RESPONSIBLE_FRACTION * (slot.ceiling_mb - slot.baseline_mb) > 0


def started_near_baseline(slot: ChildSlot) -> bool:
    """Return True if the child started this job near its baseline memory, so the job itself needs too much."""
    leftover_mb = slot.job_start_mb - slot.baseline_mb
    growth_mb = slot.ceiling_mb - slot.baseline_mb
    return leftover_mb <= (1 - _RESPONSIBLE_FRACTION) * growth_mb or not slot.ceiling_mb
