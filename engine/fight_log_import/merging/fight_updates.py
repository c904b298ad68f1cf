"""Updates: what a source has changed of fights and fighters that the log has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.data.fight_log_tables import FIGHTS_TABLE, STAT_LINES_TABLE
from engine.fight_log_import.changes import WHOLE_LINE, CellChange, ChangeKind
from engine.fight_log_import.links import NAME_KEY, SEVERAL
from engine.fight_log_import.merging.source_merge import BIOGRAPHY, ODDS_BY_SIDE, OWN, SIDES, SourceMerge
from engine.fight_log_import.source_tables import UNLINKED_RANK, Record, as_cell, digest_of, is_missing, same

_NOT_REPLACED = {"fight_id", "red_id", "blue_id", "corner_reliable", "known_at", "announced_winner", *ODDS_BY_SIDE}
_FIGHT_COLUMNS = tuple(column.name for column in FIGHTS_TABLE)
_COUNTS = tuple(column.name for column in STAT_LINES_TABLE if column.kind != "text")


class FightUpdates:
    """Changes the log's cells, if the source has changed its values and its rank allows it."""

    def __init__(self, merge: SourceMerge) -> None:
        self._merge = merge

    def update(self, fight_id: str, log_id: str) -> None:
        """Change a fight, its statistics and the links of its fighters."""
        link = self._merge.links.get("fight", self._merge.source_name, fight_id)
        if link is not None and link.seen == self._merge.digest(fight_id):
            return
        theirs, ours = self._merge.oriented(fight_id, log_id), self._merge.records.fights[log_id]
        if theirs is None:
            pair = self._merge.describe_source(fight_id), self._merge.describe(log_id)
            self._merge.add_case("ambiguous", fight_id, f"{pair[0]} is linked to {pair[1]}, whose fighters are others")
            return
        fight = self._merge.fights[fight_id]
        first = self._merge.side(fight_id, log_id) or 0
        for side, name in enumerate(SIDES):
            self._link_in_fight(fight[f"{name}_id"], ours[f"{SIDES[first if side == 0 else 1 - first]}_id"])
        if self._merge.is_seen("fight", fight_id, log_id, self._merge.digest(fight_id)):
            return
        before = len(self._merge.found.changes)
        may_replace = self._merge.source.rank >= self._merge.fight_ranks.get(log_id, UNLINKED_RANK)
        for name in _FIGHT_COLUMNS:
            if name not in _NOT_REPLACED and name != "winner":
                self._change("fights", ours, name, theirs[name], may_replace, fight_id)
        self._change_winner(ours, theirs, may_replace, fight_id)
        for name in ODDS_BY_SIDE:
            if self._merge.source_name == OWN or is_missing(ours[name]):
                self._change("fights", ours, name, theirs[name], True, fight_id)
        self._update_lines(fight_id, log_id, may_replace)
        if len(self._merge.found.changes) > before:
            self._merge.found.touched[log_id] = fight_id

    def _link_in_fight(self, source_id: str, log_id: str) -> None:
        link = self._merge.links.get("fighter", self._merge.source_name, source_id)
        if link is None or link.log_id not in (*self._merge.records.fighters, SEVERAL):
            self._merge.add_link("fighter", source_id, log_id, "in_fight")
        elif source_id.startswith(NAME_KEY) and link.log_id not in (log_id, SEVERAL):
            self._merge.links.set(replace(link, log_id=SEVERAL))

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
        ours = self._merge.records.fights[log_id]
        ids = [ours["red_id"], ours["blue_id"]]
        red = self._merge.fights[fight_id]["red_id"]
        first = self._merge.side(fight_id, log_id) or 0
        for source_id, line in self._merge.source.stat_lines.get(fight_id, {}).items():
            fighter_id = ids[first if source_id == red else 1 - first]
            known = self._merge.records.stat_lines.get((log_id, fighter_id))
            if known is None:
                self._merge.records.stat_lines[log_id, fighter_id] = line | {
                    "fight_id": log_id,
                    "fighter_id": fighter_id,
                }
                change = self._cell_change("filled", "stat_lines", log_id, fighter_id, WHOLE_LINE)
                self._merge.found.changes.append(change)
                continue
            for name in _COUNTS:
                self._change("stat_lines", known, name, line[name], may_replace, fight_id)

    def update_fighter(self, source_id: str, log_id: str) -> None:
        """Change the biography of a fighter who is one person without doubt."""
        ours, theirs = self._merge.records.fighters[log_id], self._merge.fighters[source_id]
        if ours["ambiguous_name"] or len(set(self._merge.from_source[log_id])) > 1:
            return  # of which of the people is it?
        if self._merge.is_seen("fighter", source_id, log_id, digest_of(theirs)):
            return
        may_replace = self._merge.source.rank >= self._merge.fighter_ranks.get(log_id, UNLINKED_RANK)
        before = len(self._merge.found.changes)
        for name in BIOGRAPHY:
            self._change("fighters", ours, name, theirs[name], may_replace, "")
        if len(self._merge.found.changes) > before:
            self._merge.found.touched_fighters[log_id] = source_id

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
            where = (
                self._merge.describe(ours["fight_id"]) if "fight_id" in ours else self._merge.names[ours["fighter_id"]]
            )
            text = f"{where}: {name} is {as_cell(ours[name])!r} in the log and {as_cell(value)!r} in the source"
            self._merge.add_case("disagrees", fight_id or ours["fighter_id"], text)
            return False
        ids = ours.get("fight_id", ""), ours.get("fighter_id", "")
        texts = as_cell(ours[name]), as_cell(value)
        self._merge.found.changes.append(self._cell_change("filled" if blank else kind, table, *ids, name, *texts))
        ours[name] = value
        return True

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
        source = self._merge.source_name
        return CellChange(self._merge.known_at, change, table, fight_id, fighter_id, column, before, after, source)
