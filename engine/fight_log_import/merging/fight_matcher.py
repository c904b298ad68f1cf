"""Matching: which fight of the log is meant by each of the source's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from engine.fight_log_import.merging.source_merge import SourceMerge
from engine.fight_log_import.name_index import FightIndex
from engine.fight_log_import.source_tables import is_missing, same

MANY_IDS = ("scores",)
"""Sources that may have several ids for one fight: feeds replace theirs, and there may be more than one feed."""


class FightMatcher:
    """Links the source's fights to those of the log, by links, ids of the fighters, or names and day."""

    def __init__(self, merge: SourceMerge) -> None:
        self._merge = merge
        source = merge.source_name
        self._linked = {
            link.log_id
            for link in merge.links
            if link.kind == "fight" and link.source == source and source not in MANY_IDS
        }

    def list_missing(self) -> None:
        """List linked fights that the source no longer has, between its first day and its last."""
        days = [fight["date"] for fight in self._merge.source.fights.values()]
        if not days or self._merge.source_name in MANY_IDS:
            return  # feeds drop their events after some days
        for link in self._merge.links:
            if (
                link.kind != "fight"
                or link.source != self._merge.source_name
                or link.source_id in self._merge.source.fights
            ):
                continue
            fight = self._merge.records.fights.get(link.log_id)
            if fight is not None and min(days) <= fight["date"] <= max(days):
                self._merge.add_case(
                    "missing", link.source_id, f"{self._merge.describe(link.log_id)} is no longer in the source"
                )

    def match(self) -> dict[str, str | None]:
        """Return the log's fight of each fight that it has, or None for one that is ambiguous."""
        matched: dict[str, str | None] = {}
        index = FightIndex(self._merge.records.fights, self._merge.names)
        claims: dict[str, list[str]] = {}
        for fight_id in self._merge.fights:
            log_id = self._merge.log_id("fight", fight_id)
            if log_id is not None:
                matched[fight_id] = log_id
            elif self._merge.is_declared_new("fight", fight_id):
                continue
            elif found := self._find(index, fight_id):
                claims[fight_id] = found
            elif found := index.find_sharing(
                self._merge.fights[fight_id]["date"], self._merge.pair(fight_id), self._linked
            ):
                matched[fight_id] = None
                self._ambiguous(fight_id, found)
        claimed: dict[str, list[str]] = defaultdict(list)
        for fight_id, found in claims.items():
            for log_id in found:
                claimed[log_id].append(fight_id)
        for fight_id, found in claims.items():
            contested = len(found) > 1 or (len(claimed[found[0]]) > 1 and self._merge.source_name not in MANY_IDS)
            alike = [log_id for log_id in found if self._ends_alike(fight_id, log_id)] if contested else found
            if len(alike) == 1 and sum(self._ends_alike(other, alike[0]) for other in claimed[alike[0]]) <= 1:
                matched[fight_id] = alike[0]
                self._merge.add_link("fight", fight_id, alike[0], "names_and_day")
                self._linked.add(alike[0])
            else:
                matched[fight_id] = None
                self._ambiguous(fight_id, found)
        return matched

    def _find(self, index: FightIndex, fight_id: str) -> list[str]:
        """Return the log's fights of both fighters within a day: by their links, or else by their names."""
        day = self._merge.fights[fight_id]["date"]
        red, blue = self._merge.known_fighters(fight_id)
        return index.find_by_ids(day, (red, blue), self._linked) or index.find(
            day, self._merge.pair(fight_id), self._linked
        )

    def _ambiguous(self, fight_id: str, found: Sequence[str]) -> None:
        listed = "; ".join(map(self._merge.describe, found))
        self._merge.add_case(
            "ambiguous",
            fight_id,
            f"{self._merge.describe_source(fight_id)} may be {listed}; choose with "
            f"--link fight:{self._merge.source_name}:{fight_id}=ID, or =new for another fight",
        )

    def _ends_alike(self, fight_id: str, log_id: str) -> bool:
        """Return True if winner and time, as far as the source has them, are those of the log's fight."""
        ours, theirs = self._merge.records.fights[log_id], self._merge.oriented(fight_id, log_id)
        if theirs is None:
            return False
        named = [name for name in ("winner", "end_time_seconds") if not is_missing(theirs[name])]
        return bool(named) and all(same(theirs[name], ours[name]) for name in named)
