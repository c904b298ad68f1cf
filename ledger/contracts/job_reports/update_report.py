"""The report of an update: a model of the same members with a newer state of the fighters, and the verdict on it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ledger.contracts.jobs import current_schema_version

UpdateReasonCode = Literal["too_few_known_pairs", "past_answers_differ", "answers_moved_far", "intervals_renewed"]


class FighterState(Struct, frozen=True, kw_only=True):
    """A state of the fighters: SHA-256 over its arrays, and the day of the last fight in it."""

    digest: str
    cutoff: date


class StateDifference(Struct, frozen=True, kw_only=True):
    """Answers from two states to the latest known pairs of fighters: absolute differences of the probabilities."""

    pairs: int
    mean: float
    largest: float


class MovedLevel(Struct, frozen=True, kw_only=True):
    """What a re-anchoring did to the intervals of one level.

    `inside` is the share of the newer closing odds that lay inside the intervals of before their event. The widths are
    means over these fights, as trained and re-anchored.
    """

    level: float
    inside: float
    width_before: float
    width_after: float


class Anchoring(Struct, frozen=True, kw_only=True):
    """A re-anchoring by `fights` with closing odds, up to `until`; logits are `slope_factor` times those as trained."""

    fights: int
    until: date
    slope_factor: float
    levels: Annotated[tuple[MovedLevel, ...], Meta(max_length=8)]


class UpdateReason(Struct, frozen=True, kw_only=True):
    """Why an update is not promoted: a code to switch on, and a sentence with the figures."""

    code: UpdateReasonCode
    message: str


class UpdateVerdict(Struct, frozen=True, kw_only=True):
    """Decision on the promotion of an update (`ledger.models.update_gate`), and every reason against it."""

    promote: bool
    reasons: Annotated[tuple[UpdateReason, ...], Meta(max_length=8)] = ()


class UpdateReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="update_report"):
    """The report of an `UpdateModel`.

    `model` has the members of `base`, and `state` where that has `base_state`; if the log brought nothing new,
    `changed` is false and `model` is the base itself. `data_digest` is that of the log. `corrected_fighters` are known
    fighters of whom the log gives another past. `past` compares the base's answers with those from the log's state on
    the base's last day, so it is the effect of these corrections; `change` compares them with the answers from the new
    state. `anchoring` is present if the model was re-anchored; it is then promoted like any challenger.
    """

    schema_version: int = field(default_factory=current_schema_version)
    model: str
    base: str
    changed: bool
    data_digest: str
    state: FighterState
    base_state: FighterState
    new_fights: int
    new_fighters: int
    corrected_fighters: int
    past: StateDifference
    change: StateDifference
    verdict: UpdateVerdict
    bundle_bytes: int
    anchoring: Anchoring | None = None
