"""What an operator's controls make of a job: the rollback switches of the migration guide, as pure functions.

A switch that changes an answer stands in its report, so that two reports of the same job are only held against each
other where both were made under the same switches. Threads and batch sizes change no bit, and leave no mark.
"""

from __future__ import annotations

import os

from msgspec import Struct

from ledger.contracts.controls import Controls

MODEL_ALARM = "model_alarm"
"""Why a fight's decision is to abstain where its model may not bet, because of an alarm."""

SWITCHED_OFF = "switched_off"
"""Why a fight has no sampling interval where the job asked for one and an operator has switched it off."""


def deciding(name: str) -> bool:
    """Whether a control, by its full name, can make an answer another one; those are kept with it."""
    return name in ("bootstrap", "max_replicas") or name.startswith("abstain.")


class Sampling(Struct, frozen=True):
    """How many replicas answer a card, and the switches that made it another number than was asked for."""

    replicas: int
    switches: tuple[str, ...] = ()


def sampling(controls: Controls, wanted: int | None, n_replicas: int) -> Sampling:
    """Return how a card is sampled that wants so many replicas (None: all) of a model that has `n_replicas`.

    A card that asks for more than there are gets what it would get without switches: the engine's error.
    """
    asked = n_replicas if wanted is None else wanted
    if asked == 0 or asked > n_replicas:
        return Sampling(asked)
    if not controls.flag("bootstrap"):
        return Sampling(0, ("bootstrap=off",))
    most = controls.number("max_replicas")
    if most is not None and most < asked:
        return Sampling(most, (f"max_replicas={most}",))
    return Sampling(asked)


def threads(controls: Controls, n_jobs: int) -> int:
    """Return the number of threads of a job that would have `n_jobs` (-1: one for each core this process may use)."""
    most = controls.number("max_threads")
    if most is None:
        return n_jobs
    return min(most, len(os.sched_getaffinity(0)) if n_jobs == -1 else n_jobs)


def batch_size(controls: Controls, default: int) -> int:
    """Return how many replicas a thread holds at once."""
    most = controls.number("max_batch_size")
    return default if most is None else min(most, default)
