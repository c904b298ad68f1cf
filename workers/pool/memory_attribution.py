"""Whether a job or its child accounts for used memory."""

from __future__ import annotations

from workers.pool.scoreboard import Activity

_BLAMED_FRACTION = 0.9


def blamed(activity: Activity, used_mb: float) -> bool:
    """Whether it is the job at hand that took its child above its ceiling, and not what the child kept of others.

    A fresh child would be there with it too, or nearly. Where no child could ever be below, no job is to blame.
    """
    return used_mb - activity.begun_mb > _BLAMED_FRACTION * (activity.ceiling_mb - activity.born_mb) > 0


def fair(activity: Activity) -> bool:
    """Whether a child without the memory for its job says so of the job: it began with all that a fresh one has."""
    kept_mb = activity.begun_mb - activity.born_mb
    return kept_mb <= (1 - _BLAMED_FRACTION) * (activity.ceiling_mb - activity.born_mb) or not activity.ceiling_mb
