"""New fights: those of the source that the log does not have, with their fighters."""

from __future__ import annotations

from collections import defaultdict

from engine.data.fight_log_tables import FIGHTS_TABLE
from engine.data.fighter_names import fighter_name_key
from engine.fight_log_import.links import SEVERAL
from engine.fight_log_import.merging.source_merge import OWN, SIDES, SourceMerge
from engine.fight_log_import.source_rows import fault_at
from engine.fight_log_import.source_tables import PARTIAL, is_missing, same

_FIGHT_COLUMNS = tuple(column.name for column in FIGHTS_TABLE)
_NEEDED = tuple(column.name for column in FIGHTS_TABLE if not column.blank)


class NewFights:
    """Adds fights and fighters to the log; lists those that are incomplete or ambiguous."""

    def __init__(self, merge: SourceMerge) -> None:
        self._merge = merge
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for fighter_id, name in merge.names.items():
            self._by_name[fighter_name_key(name)].append(fighter_id)

    def add(self, fight_id: str) -> None:
        """Add a fight with its fighters and statistics; list what it lacks, or who may be meant."""
        fight = self._merge.fights[fight_id]
        fight = fight | {"event": fight["event"] or fight["new_event"]}
        lacking = [name for name in _NEEDED if is_missing(fight[name])]
        if lacking:
            if self._merge.source_name in PARTIAL:
                fault = f"is not in the log, and the source has no {', '.join(lacking)}"
                self._merge.add_case("incomplete", fight_id, f"{self._merge.describe_source(fight_id)} {fault}")
            else:
                place = self._merge.source.places[fight_id]
                self._merge.found.faults += [
                    fault_at(place, self._merge.source.columns.get(name, name), "", "is blank: fill in the empty cell")
                    for name in lacking
                ]
            return
        sides = [self._fighter_of_new_fight(fight_id, fight[f"{side}_id"]) for side in SIDES]
        if None in sides or sides[0] == sides[1]:
            return
        log_id = fight_id if fight_id not in self._merge.records.fights else f"{self._merge.source_name}/{fight_id}"
        known_at = fight["known_at"] or self._merge.known_at
        self._merge.records.fights[log_id] = {name: fight[name] for name in _FIGHT_COLUMNS} | {
            "fight_id": log_id,
            "red_id": sides[0],
            "blue_id": sides[1],
            "known_at": known_at,
        }
        self._merge.add_link("fight", fight_id, log_id, "added")
        lines = self._merge.source.stat_lines.get(fight_id, {})
        self._merge.is_seen("fight", fight_id, log_id, self._merge.digest(fight_id))
        for side, name in enumerate(SIDES):
            line = lines.get(fight[f"{name}_id"])
            if line is not None:
                fighter_id = str(sides[side])
                self._merge.records.stat_lines[log_id, fighter_id] = line | {
                    "fight_id": log_id,
                    "fighter_id": fighter_id,
                }
        self._merge.found.added_fights.append(log_id)
        self._merge.found.touched[log_id] = fight_id

    def _fighter_of_new_fight(self, fight_id: str, source_id: str) -> str | None:
        """Return the log's fighter, who is added if need be; None, with an open case, if that is ambiguous."""
        log_id = self._merge.log_id("fighter", source_id)
        if log_id is not None:
            return log_id
        link = self._merge.links.get("fighter", self._merge.source_name, source_id)
        theirs = self._merge.fighters[source_id]
        if link is not None and link.log_id == SEVERAL:
            text = f"{self._merge.describe_source(fight_id)}: the log has several fighters named {theirs['name']}"
            self._merge.add_case("ambiguous", fight_id, text)
            return None
        key = fighter_name_key(theirs["name"])
        others = [] if self._merge.is_declared_new("fighter", source_id) else self._namesakes(key)
        born = theirs["date_of_birth"]
        days = {one: self._merge.records.fighters[one]["date_of_birth"] for one in others}
        alike = [one for one in others if not is_missing(born) and same(days[one], born)]
        if len(alike) == 1:
            self._merge.add_link("fighter", source_id, alike[0], "name_and_birth")
            return alike[0]
        unclear = [one for one in others if is_missing(born) or is_missing(days[one])]
        if alike or unclear:
            listed = ", ".join(sorted(alike or unclear))
            text = (
                f"{self._merge.describe_source(fight_id)}: {theirs['name']} ({source_id}) may be the log's {listed}; "
                f"choose with --link fighter:{self._merge.source_name}:{source_id}=ID, or =new for another person"
            )
            self._merge.add_case("ambiguous", fight_id, text)
            return None
        return self._add_fighter(source_id)

    def _namesakes(self, key: str) -> list[str]:
        """Return the log's fighters of a name who may be the source's: those whom it does not know by another id."""
        own = self._merge.source_name == OWN
        return [
            one
            for one in self._by_name.get(key, ())
            if not self._merge.from_source[one] and (one in self._merge.fighter_ranks or not own)
        ]

    def _add_fighter(self, source_id: str) -> str:
        theirs = self._merge.fighters[source_id]
        log_id = (
            source_id if source_id not in self._merge.records.fighters else f"{self._merge.source_name}/{source_id}"
        )
        ambiguous = 0.0 if is_missing(theirs["ambiguous_name"]) else theirs["ambiguous_name"]
        self._merge.records.fighters[log_id] = theirs | {"fighter_id": log_id, "ambiguous_name": ambiguous}
        self._merge.names[log_id] = theirs["name"]
        self._by_name[fighter_name_key(theirs["name"])].append(log_id)
        self._merge.add_link("fighter", source_id, log_id, "added")
        self._merge.found.added_fighters.append(log_id)
        return log_id
