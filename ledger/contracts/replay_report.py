"""The report of a replay: whether an outcome, made again from its job, its model and its origin, is the same."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from ledger.contracts.jobs import current_schema_version
from ledger.contracts.provenance import Surroundings

TOLERANCE = 1e-12
"""How far numbers may be apart where another processor or library made them; relative for those above 1."""

Verdict = Literal["same", "close", "differs", "not_replayable"]
Obstacle = Literal[
    "no_outcome",  # the job still waits or runs
    "no_origin",  # no worker made the outcome, or one that did not keep what it was made from
    "expired",  # the clock decided
    "cancelled",  # the caller decided
    "worker_lost",  # the process died
    "time_limit_exceeded",  # the machine's speed decided
    "memory_limit_exceeded",  # the machine's memory decided
    "model_not_found",  # the files that were there decided
    "model_corrupt",
    "itself_a_replay",
    "changes_things",  # done again, it would do again what it did
    "results_decided",  # what results had come by then decided
    "part_of_another",  # it is made again with the job that it belongs to
]


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field that is not the same, such as `fights[0].fighters[1].probability`, and both values as JSON.

    A value that is only there in the other outcome is absent.
    """

    field: str
    kept: str | None = None
    again: str | None = None


class ReplayReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="replay_report"):
    """The answer to a `Replay` or a `Retrain`.

    `same`: every bit. `close`: every word, and all numbers within `TOLERANCE`; that is agreement only where the
    surroundings are others than those of the outcome. `differs`: something else. `not_replayable`: nothing was made
    again, for the reason in `obstacle`. `first_difference` is there unless all is the same; `largest_difference` is
    that of the numbers that stand in both.
    """

    schema_version: int = field(default_factory=current_schema_version)
    job_id: str
    job_kind: str
    verdict: Verdict
    agrees: bool
    obstacle: Obstacle | None = None
    first_difference: Difference | None = None
    largest_difference: float | None = None
    models: dict[str, str] = {}
    made_in: Surroundings | None = None
    replayed_in: Surroundings | None = None
