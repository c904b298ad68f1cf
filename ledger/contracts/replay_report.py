"""The report of a replay: the comparison of a recomputed outcome with the stored one."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from ledger.contracts.jobs import current_schema_version
from ledger.contracts.provenance import RuntimeEnvironment

NUMBER_TOLERANCE = 1e-12
"""Largest difference of numbers computed on another processor or library version; relative for values above 1."""

ReplayVerdict = Literal["same", "close", "differs", "not_replayable"]
NotReplayableReason = Literal[
    "no_outcome",  # the job is queued or running
    "no_origin",  # no worker produced the outcome, or it did not store the provenance
    "expired",  # the clock decided
    "cancelled",  # the caller decided
    "worker_lost",  # the process died
    "time_limit_exceeded",  # the machine's speed decided
    "memory_limit_exceeded",  # the machine's memory decided
    "model_not_found",  # depends on the files at the time
    "model_corrupt",
    "itself_a_replay",
    "changes_things",  # recomputing would repeat its side effects
    "results_decided",  # depends on the fight results known at the time
    "part_of_another",  # recomputed with the job that it belongs to
]


class FieldDifference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field that differs, such as `fights[0].fighters[1].probability`, and both values as JSON.

    A value that exists in the other outcome only is absent.
    """

    field: str
    kept: str | None = None
    again: str | None = None


class ReplayReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="replay_report"):
    """The report of a `Replay` or a `ReproduceTraining`.

    `verdict` is `same` (equal bits), `close` (equal text, and all numbers within the tolerance; that is agreement only
    if the environments differ), `differs`, or `not_replayable` (nothing was recomputed; `obstacle` is the reason).
    `first_difference` is absent if everything is equal; `largest_difference` is over the numbers of both outcomes.
    """

    schema_version: int = field(default_factory=current_schema_version)
    job_id: str
    job_kind: str
    verdict: ReplayVerdict
    agrees: bool
    obstacle: NotReplayableReason | None = None
    first_difference: FieldDifference | None = None
    largest_difference: float | None = None
    models: dict[str, str] = {}
    made_in: RuntimeEnvironment | None = None
    replayed_in: RuntimeEnvironment | None = None
