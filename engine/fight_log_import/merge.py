"""Merging of one source into a fight log: new fights, corrections, statistics and biographies, by links.

A fight is known by its link. One without a link is looked up by both names and its day; exactly one such fight of the
log is linked, several are listed, and without any the fight is new. A fighter is known by his link, or as a fighter of
a linked fight. A new fight of a fighter without a link, whose name the log has already, needs the same day of birth;
otherwise the fight is listed, because two people may share a name.

Only a source that has changed its values since its last import changes those of a fight that the log has. A value then
replaces the log's if the source's rank allows it (`source_tables.RANKS`); otherwise the difference is listed.
Prices are only filled in. A changed winner leaves the first one in `announced_winner`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.data.fight_log import FightLog
from engine.data.fight_log_tables import FIGHTERS_TABLE, FIGHTS_TABLE, STAT_LINES_TABLE
from engine.data.fighter_names import fighter_name_key
from engine.fight_log_import.changes import WHOLE_LINE, CellChange, ChangeKind
from engine.fight_log_import.links import NAME_KEY, NEW, SEVERAL, How, Kind, Link, LinkTable
from engine.fight_log_import.name_index import FightIndex, first_side
from engine.fight_log_import.source_rows import ImportFault, fault_at
from engine.fight_log_import.source_tables import (
    PARTIAL,
    RANKS,
    UNLINKED_RANK,
    CleanSource,
    Record,
    as_cell,
    digest_of,
    is_missing,
    same,
    to_records,
)

SIDES = ("red", "blue")
OWN = "tables"
"""The source whose ids are the log's own."""
_BY_SIDE = (*("red_decimal_odds", "blue_decimal_odds"), *("red_early_decimal_odds", "blue_early_decimal_odds"))
_NOT_REPLACED = {"fight_id", "red_id", "blue_id", "corner_reliable", "known_at", "announced_winner", *_BY_SIDE}
_FIGHT_COLUMNS = tuple(column.name for column in FIGHTS_TABLE)
_NEEDED = tuple(column.name for column in FIGHTS_TABLE if not column.blank)
_BIOGRAPHY = tuple(
    column.name for column in FIGHTERS_TABLE if column.name not in ("fighter_id", "name", "ambiguous_name")
)
_COUNTS = tuple(column.name for column in STAT_LINES_TABLE if column.kind != "text")
MANY_IDS = ("scores",)
"""Sources that may have several ids for one fight: feeds replace theirs, and there may be more than one feed."""
_SWAPPED = {"red": "blue", "blue": "red"}


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


def merge_source(
    records: LogRecords,
    links: LinkTable,
    source: CleanSource,
    known_at: str,
    leave_out: Collection[str] = (),
    keep_biographies: Collection[str] = (),
) -> Merged:
    """Merge a source into `records` and `links`, and return what changed.

    Parameters
    ----------
    records, links
        The log; both are changed.
    source
        What an importer has read.
    known_at
        The moment of this import in canonical form; "" for none.
    leave_out
        Source ids of fights that are left out.
    keep_biographies
        Source ids of fighters of whom only the name is taken.
    """
    return _Merging(records, links, source, known_at, set(leave_out), set(keep_biographies)).run()


class _Merging:
    def __init__(
        self,
        records: LogRecords,
        links: LinkTable,
        source: CleanSource,
        known_at: str,
        leave_out: set[str],
        keep_biographies: set[str],
    ) -> None:
        self._records, self._links, self._source, self._known_at = records, links, source, known_at
        self._fights = {name: fight for name, fight in source.fights.items() if name not in leave_out}
        blank = {column.name: "" if column.kind == "text" else float("nan") for column in FIGHTERS_TABLE}
        self._fighters = {
            fighter_id: fighter | {name: blank[name] for name in _BIOGRAPHY}
            if fighter_id in keep_biographies
            else fighter
            for fighter_id, fighter in source.fighters.items()
        }
        self._names = {fighter_id: fighter["name"] for fighter_id, fighter in records.fighters.items()}
        self._fight_ranks = _ranks(links, "fight")
        self._fighter_ranks = _ranks(links, "fighter")
        self._linked = {
            link.log_id
            for link in links
            if link.kind == "fight" and link.source == source.source and source.source not in MANY_IDS
        }
        self._by_key: dict[str, list[str]] = defaultdict(list)
        for fighter_id, name in self._names.items():
            self._by_key[fighter_name_key(name)].append(fighter_id)
        self._from_source: dict[str, list[str]] = defaultdict(list)
        for link in links:
            if link.kind == "fighter" and link.source == source.source:
                self._from_source[link.log_id].append(link.source_id)
        self.found = Merged()

    def run(self) -> Merged:
        """Link, update, then add."""
        self._list_missing()
        matched = self._match()
        for fight_id in sorted(matched, key=self._order):
            if matched[fight_id] is not None:
                self._update(fight_id, str(matched[fight_id]))
        for fight_id in sorted(self._fights, key=self._order):
            if fight_id not in matched:
                self._add(fight_id)
        for fighter_id in self._fighters:
            if (log_id := self._log_id("fighter", fighter_id)) is not None:
                self._update_fighter(fighter_id, log_id)
        return self.found

    def _order(self, fight_id: str) -> tuple[Any, str]:
        return self._fights[fight_id]["date"], fight_id

    def _log_id(self, kind: Kind, source_id: str) -> str | None:
        link = self._links.get(kind, self._source.source, source_id)
        rows: dict[str, Record] = self._records.fights if kind == "fight" else self._records.fighters
        if link is None:
            return source_id if self._source.source == OWN and source_id in rows else None
        return link.log_id if link.log_id in rows else None

    def _is_declared_new(self, kind: Kind, source_id: str) -> bool:
        link = self._links.get(kind, self._source.source, source_id)
        return link is not None and link.log_id == NEW

    def _is_seen(self, kind: Kind, source_id: str, log_id: str, seen: str) -> bool:
        """Return True if the source had these values at its last import; note them for the next."""
        link = self._links.get(kind, self._source.source, source_id)
        if link is not None and link.seen == seen:
            return True
        if link is not None:
            self._links.set(replace(link, seen=seen))
        elif self._source.source == OWN:
            self._links.set(Link(kind, OWN, source_id, log_id, "added", seen))
        return False

    def _link(self, kind: Kind, source_id: str, log_id: str, how: How) -> None:
        link = Link(kind, self._source.source, source_id, log_id, how)
        self._links.set(link)
        ranks = self._fight_ranks if kind == "fight" else self._fighter_ranks
        ranks[log_id] = max(ranks.get(log_id, 0), self._source.rank)
        if kind == "fighter":
            self._from_source[log_id].append(source_id)
        if how not in ("added", "in_fight"):
            self.found.proposals.append(link)

    def _case(self, case: str, source_id: str, text: str) -> None:
        self.found.cases.append(OpenCase(case, self._source.source, source_id, text))

    # Links of fights

    def _list_missing(self) -> None:
        """List linked fights that the source no longer has, between its first day and its last."""
        days = [fight["date"] for fight in self._source.fights.values()]
        if not days or self._source.source in MANY_IDS:
            return  # feeds drop their events after some days
        for link in self._links:
            if link.kind != "fight" or link.source != self._source.source or link.source_id in self._source.fights:
                continue
            fight = self._records.fights.get(link.log_id)
            if fight is not None and min(days) <= fight["date"] <= max(days):
                self._case("missing", link.source_id, f"{self._describe(link.log_id)} is no longer in the source")

    def _match(self) -> dict[str, str | None]:
        """Return the log's fight of each fight that it has, or None for one that is ambiguous."""
        matched: dict[str, str | None] = {}
        index = FightIndex(self._records.fights, self._names)
        claims: dict[str, list[str]] = {}
        for fight_id in self._fights:
            log_id = self._log_id("fight", fight_id)
            if log_id is not None:
                matched[fight_id] = log_id
            elif self._is_declared_new("fight", fight_id):
                continue
            elif found := self._find(index, fight_id):
                claims[fight_id] = found
            elif found := index.find_sharing(self._fights[fight_id]["date"], self._pair(fight_id), self._linked):
                matched[fight_id] = None
                self._ambiguous(fight_id, found)
        claimed: dict[str, list[str]] = defaultdict(list)
        for fight_id, found in claims.items():
            for log_id in found:
                claimed[log_id].append(fight_id)
        for fight_id, found in claims.items():
            contested = len(found) > 1 or (len(claimed[found[0]]) > 1 and self._source.source not in MANY_IDS)
            alike = [log_id for log_id in found if self._ends_alike(fight_id, log_id)] if contested else found
            if len(alike) == 1 and sum(self._ends_alike(other, alike[0]) for other in claimed[alike[0]]) <= 1:
                matched[fight_id] = alike[0]
                self._link("fight", fight_id, alike[0], "names_and_day")
                self._linked.add(alike[0])
            else:
                matched[fight_id] = None
                self._ambiguous(fight_id, found)
        return matched

    def _find(self, index: FightIndex, fight_id: str) -> list[str]:
        """Return the log's fights of both fighters within a day: by their links, or else by their names."""
        day = self._fights[fight_id]["date"]
        red, blue = self._known_fighters(fight_id)
        return index.find_by_ids(day, (red, blue), self._linked) or index.find(day, self._pair(fight_id), self._linked)

    def _known_fighters(self, fight_id: str) -> list[str | None]:
        """Return the log's ids of a fight's fighters, None for each that has no link but by his name."""
        ids = [self._fights[fight_id][f"{side}_id"] for side in SIDES]
        return [None if one.startswith(NAME_KEY) else self._log_id("fighter", one) for one in ids]

    def _ambiguous(self, fight_id: str, found: Sequence[str]) -> None:
        listed = "; ".join(map(self._describe, found))
        self._case(
            "ambiguous",
            fight_id,
            f"{self._describe_source(fight_id)} may be {listed}; choose with "
            f"--link fight:{self._source.source}:{fight_id}=ID, or =new for another fight",
        )

    def _ends_alike(self, fight_id: str, log_id: str) -> bool:
        """Return True if winner and time, as far as the source has them, are those of the log's fight."""
        ours, theirs = self._records.fights[log_id], self._oriented(fight_id, log_id)
        if theirs is None:
            return False
        named = [name for name in ("winner", "end_time_seconds") if not is_missing(theirs[name])]
        return bool(named) and all(same(theirs[name], ours[name]) for name in named)

    def _pair(self, fight_id: str) -> tuple[str, str]:
        fight = self._fights[fight_id]
        return self._fighters[fight["red_id"]]["name"], self._fighters[fight["blue_id"]]["name"]

    def _side(self, fight_id: str, log_id: str) -> int | None:
        """Return the log's side of the source's red fighter, by links or else by names; None if they contradict."""
        ours, known = self._records.fights[log_id], self._known_fighters(fight_id)
        sides = [ours["red_id"], ours["blue_id"]]
        if any(one is not None and one not in sides for one in known):
            return None
        if known[0] is not None:
            return sides.index(known[0])
        if known[1] is not None:
            return 1 - sides.index(known[1])
        return first_side((self._names[sides[0]], self._names[sides[1]]), self._pair(fight_id))

    def _oriented(self, fight_id: str, log_id: str) -> Record | None:
        """Return the source's fight with the log's red and blue; None if its fighters are others."""
        side = self._side(fight_id, log_id)
        if side is None:
            return None
        fight = dict(self._fights[fight_id])
        if side == 1:
            for name in ("winner", "announced_winner"):
                fight[name] = _SWAPPED.get(fight[name], fight[name])
            for red, blue in zip(_BY_SIDE[::2], _BY_SIDE[1::2], strict=True):
                fight[red], fight[blue] = fight[blue], fight[red]
        return fight

    # Fights that the log has

    def _update(self, fight_id: str, log_id: str) -> None:
        link = self._links.get("fight", self._source.source, fight_id)
        if link is not None and link.seen == self._digest(fight_id):
            return
        theirs, ours = self._oriented(fight_id, log_id), self._records.fights[log_id]
        if theirs is None:
            text = f"{self._describe_source(fight_id)} is linked to {self._describe(log_id)}, whose fighters are others"
            self._case("ambiguous", fight_id, text)
            return
        fight = self._fights[fight_id]
        first = self._side(fight_id, log_id) or 0
        for side, name in enumerate(SIDES):
            self._link_in_fight(fight[f"{name}_id"], ours[f"{SIDES[first if side == 0 else 1 - first]}_id"])
        if self._is_seen("fight", fight_id, log_id, self._digest(fight_id)):
            return
        before = len(self.found.changes)
        may_replace = self._source.rank >= self._fight_ranks.get(log_id, UNLINKED_RANK)
        for name in _FIGHT_COLUMNS:
            if name not in _NOT_REPLACED and name != "winner":
                self._change("fights", ours, name, theirs[name], may_replace, fight_id)
        self._change_winner(ours, theirs, may_replace, fight_id)
        for name in _BY_SIDE:
            if self._source.source == OWN or is_missing(ours[name]):
                self._change("fights", ours, name, theirs[name], True, fight_id)
        self._update_lines(fight_id, log_id, may_replace)
        if len(self.found.changes) > before:
            self.found.touched[log_id] = fight_id

    def _digest(self, fight_id: str) -> str:
        lines = self._source.stat_lines.get(fight_id, {})
        return digest_of(self._fights[fight_id], *(lines[name] for name in sorted(lines)))

    def _link_in_fight(self, source_id: str, log_id: str) -> None:
        link = self._links.get("fighter", self._source.source, source_id)
        if link is None or link.log_id not in (*self._records.fighters, SEVERAL):
            self._link("fighter", source_id, log_id, "in_fight")
        elif source_id.startswith(NAME_KEY) and link.log_id not in (log_id, SEVERAL):
            self._links.set(replace(link, log_id=SEVERAL))

    def _change_winner(self, ours: Record, theirs: Record, may_replace: bool, fight_id: str) -> None:
        announced = theirs["announced_winner"]
        before = ours["winner"]
        changed = self._change("fights", ours, "winner", theirs["winner"], may_replace, fight_id, "overturned")
        if not is_missing(announced) and may_replace:
            self._change("fights", ours, "announced_winner", announced, True, fight_id)
        elif changed:
            first = ours["announced_winner"] or before
            self._change("fights", ours, "announced_winner", "" if first == ours["winner"] else first, True, fight_id)

    def _update_lines(self, fight_id: str, log_id: str, may_replace: bool) -> None:
        ours = self._records.fights[log_id]
        ids = [ours["red_id"], ours["blue_id"]]
        red = self._fights[fight_id]["red_id"]
        first = self._side(fight_id, log_id) or 0
        for source_id, line in self._source.stat_lines.get(fight_id, {}).items():
            fighter_id = ids[first if source_id == red else 1 - first]
            known = self._records.stat_lines.get((log_id, fighter_id))
            if known is None:
                self._records.stat_lines[log_id, fighter_id] = line | {"fight_id": log_id, "fighter_id": fighter_id}
                change = self._cell_change("filled", "stat_lines", log_id, fighter_id, WHOLE_LINE)
                self.found.changes.append(change)
                continue
            for name in _COUNTS:
                self._change("stat_lines", known, name, line[name], may_replace, fight_id)

    def _cell_change(
        self,
        change: ChangeKind,
        table: str,
        fight_id: str,
        fighter_id: str,
        column: str,
        before: str = "",
        after: str = "",
    ) -> CellChange:
        source = self._source.source
        return CellChange(self._known_at, change, table, fight_id, fighter_id, column, before, after, source)

    def _update_fighter(self, source_id: str, log_id: str) -> None:
        ours, theirs = self._records.fighters[log_id], self._fighters[source_id]
        if ours["ambiguous_name"] or len(set(self._from_source[log_id])) > 1:
            return  # of which of the people is it?
        if self._is_seen("fighter", source_id, log_id, digest_of(theirs)):
            return
        may_replace = self._source.rank >= self._fighter_ranks.get(log_id, UNLINKED_RANK)
        before = len(self.found.changes)
        for name in _BIOGRAPHY:
            self._change("fighters", ours, name, theirs[name], may_replace, "")
        if len(self.found.changes) > before:
            self.found.touched_fighters[log_id] = source_id

    def _change(
        self,
        table: str,
        ours: Record,
        name: str,
        value: Any,
        may_replace: bool,
        fight_id: str,
        kind: ChangeKind = "corrected",
    ) -> bool:
        """Set a cell, if it differs and may be set; return True if it was set."""
        cleared = name == "announced_winner"
        if same(ours[name], value) or (is_missing(value) and not cleared):
            return False
        blank = is_missing(ours[name])
        if not (blank or may_replace):
            where = self._describe(ours["fight_id"]) if "fight_id" in ours else self._names[ours["fighter_id"]]
            text = f"{where}: {name} is {as_cell(ours[name])!r} in the log and {as_cell(value)!r} in the source"
            self._case("disagrees", fight_id or ours["fighter_id"], text)
            return False
        ids = ours.get("fight_id", ""), ours.get("fighter_id", "")
        texts = as_cell(ours[name]), as_cell(value)
        self.found.changes.append(self._cell_change("filled" if blank else kind, table, *ids, name, *texts))
        ours[name] = value
        return True

    # New fights

    def _add(self, fight_id: str) -> None:
        fight = self._fights[fight_id]
        fight = fight | {"event": fight["event"] or fight["new_event"]}
        lacking = [name for name in _NEEDED if is_missing(fight[name])]
        if lacking:
            if self._source.source in PARTIAL:
                text = (
                    f"{self._describe_source(fight_id)} is not in the log, and the source has no {', '.join(lacking)}"
                )
                self._case("incomplete", fight_id, text)
            else:
                place = self._source.places[fight_id]
                self.found.faults += [
                    fault_at(place, self._source.columns.get(name, name), "", "is blank: fill in the empty cell")
                    for name in lacking
                ]
            return
        sides = [self._fighter_of_new_fight(fight_id, fight[f"{side}_id"]) for side in SIDES]
        if None in sides or sides[0] == sides[1]:
            return
        log_id = fight_id if fight_id not in self._records.fights else f"{self._source.source}/{fight_id}"
        known_at = fight["known_at"] or self._known_at
        self._records.fights[log_id] = {name: fight[name] for name in _FIGHT_COLUMNS} | {
            "fight_id": log_id,
            "red_id": sides[0],
            "blue_id": sides[1],
            "known_at": known_at,
        }
        self._link("fight", fight_id, log_id, "added")
        lines = self._source.stat_lines.get(fight_id, {})
        self._is_seen("fight", fight_id, log_id, self._digest(fight_id))
        self._linked.add(log_id)
        for side, name in enumerate(SIDES):
            line = lines.get(fight[f"{name}_id"])
            if line is not None:
                fighter_id = str(sides[side])
                self._records.stat_lines[log_id, fighter_id] = line | {"fight_id": log_id, "fighter_id": fighter_id}
        self.found.added_fights.append(log_id)
        self.found.touched[log_id] = fight_id

    def _fighter_of_new_fight(self, fight_id: str, source_id: str) -> str | None:
        """Return the log's fighter, who is added if need be; None, with an open case, if that is ambiguous."""
        log_id = self._log_id("fighter", source_id)
        if log_id is not None:
            return log_id
        link = self._links.get("fighter", self._source.source, source_id)
        theirs = self._fighters[source_id]
        if link is not None and link.log_id == SEVERAL:
            text = f"{self._describe_source(fight_id)}: the log has several fighters named {theirs['name']}"
            self._case("ambiguous", fight_id, text)
            return None
        key = fighter_name_key(theirs["name"])
        others = [] if self._is_declared_new("fighter", source_id) else self._namesakes(key)
        born = theirs["date_of_birth"]
        days = {one: self._records.fighters[one]["date_of_birth"] for one in others}
        alike = [one for one in others if not is_missing(born) and same(days[one], born)]
        if len(alike) == 1:
            self._link("fighter", source_id, alike[0], "name_and_birth")
            return alike[0]
        unclear = [one for one in others if is_missing(born) or is_missing(days[one])]
        if alike or unclear:
            listed = ", ".join(sorted(alike or unclear))
            text = (
                f"{self._describe_source(fight_id)}: {theirs['name']} ({source_id}) may be the log's {listed}; choose "
                f"with --link fighter:{self._source.source}:{source_id}=ID, or =new for another person"
            )
            self._case("ambiguous", fight_id, text)
            return None
        return self._add_fighter(source_id)

    def _namesakes(self, key: str) -> list[str]:
        """Return the log's fighters of a name who may be the source's: those whom it does not know by another id."""
        own = self._source.source == OWN
        return [
            one
            for one in self._by_key.get(key, ())
            if not self._from_source[one] and (one in self._fighter_ranks or not own)
        ]

    def _add_fighter(self, source_id: str) -> str:
        theirs = self._fighters[source_id]
        log_id = source_id if source_id not in self._records.fighters else f"{self._source.source}/{source_id}"
        ambiguous = 0.0 if is_missing(theirs["ambiguous_name"]) else theirs["ambiguous_name"]
        self._records.fighters[log_id] = theirs | {"fighter_id": log_id, "ambiguous_name": ambiguous}
        self._names[log_id] = theirs["name"]
        self._by_key[fighter_name_key(theirs["name"])].append(log_id)
        self._link("fighter", source_id, log_id, "added")
        self.found.added_fighters.append(log_id)
        return log_id

    def _describe(self, log_id: str) -> str:
        fight = self._records.fights[log_id]
        names = f"{self._names[fight['red_id']]} v {self._names[fight['blue_id']]}"
        return f"{names} on {fight['date']:%Y-%m-%d} ({log_id})"

    def _describe_source(self, fight_id: str) -> str:
        return f"{' v '.join(self._pair(fight_id))} on {self._fights[fight_id]['date']:%Y-%m-%d} ({fight_id})"


def _ranks(links: LinkTable, kind: Kind) -> dict[str, int]:
    """Return the highest rank of the sources of each fight or fighter of the log."""
    found: dict[str, int] = {}
    for link in links:
        if link.kind == kind:
            found[link.log_id] = max(found.get(link.log_id, 0), RANKS.get(link.source, 0))
    return found
