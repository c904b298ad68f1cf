"""The operator's overrides of how a job is answered, as pure functions of the controls.

An override that changes an answer is listed in the report, so that two reports of one job are compared only if both
were made under the same overrides. Thread counts and batch sizes do not change an answer and are not listed.
"""

from __future__ import annotations

import os

from msgspec import Struct

from ledger.contracts.controls import Controls

MODEL_ALARM = "model_alarm"
"""Reason of a decision to abstain while a drift alarm forbids the model to bet."""

SWITCHED_OFF = "switched_off"
"""Reason of a missing sampling interval that the job asked for and an operator has switched off."""


def affects_answers(name: str) -> bool:
    """Return True if a control, by its full name, can change an answer and is therefore stored with it."""
    return name in ("bootstrap", "max_replicas") or name.startswith("abstain.")


class ReplicaSelection(Struct, frozen=True):
    """The number of bootstrap replicas that answer a card, and the overrides that changed it."""

    replicas: int
    switches: tuple[str, ...] = ()


def select_replicas(controls: Controls, wanted: int | None, n_replicas: int) -> ReplicaSelection:
    """Select the number of bootstrap replicas that answer a card.

    Parameters
    ----------
    controls : Controls
        The operator's controls at the time of the claim.
    wanted : int or None
        The number that the card asks for; None for all.
    n_replicas : int
        The number of replicas of the model.

    Notes
    -----
    A request for more replicas than the model has passes unchanged, so that the engine refuses it as usual.
    """
    asked = n_replicas if wanted is None else wanted
    if asked == 0 or asked > n_replicas:
        return ReplicaSelection(asked)
    if not controls.flag("bootstrap"):
        return ReplicaSelection(0, ("bootstrap=off",))
    maximum = controls.number("max_replicas")
    if maximum is not None and maximum < asked:
        return ReplicaSelection(maximum, (f"max_replicas={maximum}",))
    return ReplicaSelection(asked)


def limit_threads(controls: Controls, n_jobs: int) -> int:
    """Return `n_jobs` (-1: one thread for each usable core), lowered to the operator's maximum."""
    maximum = controls.number("max_threads")
    if maximum is None:
        return n_jobs
    return min(maximum, len(os.sched_getaffinity(0)) if n_jobs == -1 else n_jobs)


def limit_batch_size(controls: Controls, default: int) -> int:
    """Return the number of replicas that a thread holds at once, lowered to the operator's maximum."""
    maximum = controls.number("max_batch_size")
    return default if maximum is None else min(maximum, default)
