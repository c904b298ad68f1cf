"""The report of an import into a fight log: what was added, changed, linked and left out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ledger.contracts.jobs import current_schema_version

MAX_LISTED = 500
"""Entries of each list in a report; `counts` has the numbers of all of them."""

CaseName = Literal["ambiguous", "incomplete", "missing", "disagrees"]
LinkedKind = Literal["fight", "fighter"]


class SourceFault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A wrong value, line or file of a source. `column` is null for a fault of a whole line or file."""

    file: str
    line: int | None = None
    column: str | None = None
    value: str = ""
    remedy: str


class ReadSource(Struct, frozen=True, kw_only=True):
    """A source that was read: its format, a sentence about what was found, and its fights without faults."""

    path: str
    format: str
    found: str
    fights: int


class LogChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A changed cell of the log, as text.

    `change`: `overturned` for another winner than announced, `corrected` for another value, `filled` for a value in
    place of a blank. `column` is `*` for a line of statistics that the fight did not have.
    """

    change: Literal["overturned", "corrected", "filled"]
    table: Literal["fights", "stat_lines", "fighters"]
    fight_id: str = ""
    fighter_id: str = ""
    column: str
    before: str = ""
    after: str = ""
    source: str


class ProposedLink(Struct, frozen=True, kw_only=True):
    """A link that was made because only one fight or fighter of the log can be meant, and `how` that was found."""

    kind: LinkedKind
    source: str
    source_id: str
    log_id: str
    how: str


class OpenCase(Struct, frozen=True, kw_only=True):
    """What was not imported, and why.

    `ambiguous`: several fights or fighters of the log may be meant. `incomplete`: the log has no such fight, and the
    source has too little to add it. `missing`: the source had this fight before; it stays in the log. `disagrees`: a
    source of higher rank has another value.
    """

    case: CaseName
    source: str
    source_id: str
    text: str


class FightLogReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="fight_log_report"):
    """The report of an `UpdateFightLog`.

    `digest_before` is null for a log that was made. Lists hold at most 500 entries each; `counts` has the number of all
    entries by the name of the list, and of each kind of change and case. The complete lists are in `last-import.json`
    in the folder of the log. `warnings` are what keeps the log from a training. `results` are the counts of results
    that the ledger got.
    """

    schema_version: int = field(default_factory=current_schema_version)
    log: str
    digest_before: str | None = None
    digest: str | None = None
    changed: bool
    dry_run: bool = False
    sources: tuple[ReadSource, ...] = ()
    counts: dict[str, int] = {}
    added_fights: Annotated[tuple[str, ...], Meta(max_length=MAX_LISTED)] = ()
    changes: Annotated[tuple[LogChange, ...], Meta(max_length=MAX_LISTED)] = ()
    proposals: Annotated[tuple[ProposedLink, ...], Meta(max_length=MAX_LISTED)] = ()
    cases: Annotated[tuple[OpenCase, ...], Meta(max_length=MAX_LISTED)] = ()
    faults: Annotated[tuple[SourceFault, ...], Meta(max_length=MAX_LISTED)] = ()
    notes: Annotated[tuple[str, ...], Meta(max_length=MAX_LISTED)] = ()
    warnings: tuple[str, ...] = ()
    results: dict[str, int] | None = None
