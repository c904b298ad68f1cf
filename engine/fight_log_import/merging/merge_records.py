"""What merging changes, and what it finds: the log's rows by id, changes, open cases."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.data.fight_log import FightLog
from engine.fight_log_import.changes import CellChange
from engine.fight_log_import.links import Link
from engine.fight_log_import.source_rows import ImportFault
from engine.fight_log_import.source_tables import Record, to_records


@dataclass
class LogRecords:
    """The rows of a log by id, to be changed."""

    fights: dict[str, Record]
    stat_lines: dict[tuple[str, str], Record]
    fighters: dict[str, Record]

    @classmethod
    def from_log(cls, log: FightLog | None) -> LogRecords:
        """Return copies of a log's rows; none of None."""
        if log is None:
            return cls({}, {}, {})
        return cls(
            {row["fight_id"]: row for row in to_records(log.fights)},
            {(row["fight_id"], row["fighter_id"]): row for row in to_records(log.stat_lines)},
            {row["fighter_id"]: row for row in to_records(log.fighters)},
        )


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A fight that was not linked or added, or a value that was not taken, with the reason.

    Attributes
    ----------
    case
        `ambiguous`: several fights or fighters may be meant. `incomplete`: the log has no such fight, and the source
        has too little to add it. `missing`: the source had this fight before. `disagrees`: a source of higher rank has
        another value.
    """

    case: str
    source: str
    source_id: str
    text: str


@dataclass
class Merged:
    """What merging found.

    Attributes
    ----------
    touched
        Source ids of the log's fights that were added or changed.
    touched_fighters
        Source ids of the log's fighters whose biography was changed.
    """

    changes: list[CellChange] = field(default_factory=list)
    added_fights: list[str] = field(default_factory=list)
    added_fighters: list[str] = field(default_factory=list)
    proposals: list[Link] = field(default_factory=list)
    cases: list[OpenCase] = field(default_factory=list)
    faults: list[ImportFault] = field(default_factory=list)
    touched: dict[str, str] = field(default_factory=dict)
    touched_fighters: dict[str, str] = field(default_factory=dict)
