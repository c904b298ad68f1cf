"""The state of one merge: log, links, what the source says, and how the fights of both correspond."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from engine.data.fight_log_tables import FIGHTERS_TABLE
from engine.fight_log_import.links import NAME_KEY, NEW, How, Kind, Link, LinkTable
from engine.fight_log_import.merging.merge_records import LogRecords, Merged, OpenCase
from engine.fight_log_import.name_index import first_side
from engine.fight_log_import.source_tables import RANKS, CleanSource, Record, digest_of

SIDES = ("red", "blue")
OWN = "tables"
"""The source whose ids are the log's own."""
ODDS_BY_SIDE = (*("red_decimal_odds", "blue_decimal_odds"), *("red_early_decimal_odds", "blue_early_decimal_odds"))
BIOGRAPHY = tuple(
    column.name for column in FIGHTERS_TABLE if column.name not in ("fighter_id", "name", "ambiguous_name")
)
_SWAPPED = {"red": "blue", "blue": "red"}


class SourceMerge:
    """The log, the links and a source while they are merged; see `merge_source` for the parameters."""

    def __init__(
        self,
        records: LogRecords,
        links: LinkTable,
        source: CleanSource,
        known_at: str,
        leave_out: Collection[str],
        keep_biographies: Collection[str],
    ) -> None:
        self.records, self.links, self.source, self.known_at = records, links, source, known_at
        self.source_name = source.source
        self.fights = {name: fight for name, fight in source.fights.items() if name not in leave_out}
        blank = {column.name: "" if column.kind == "text" else float("nan") for column in FIGHTERS_TABLE}
        self.fighters = {
            fighter_id: fighter | {name: blank[name] for name in BIOGRAPHY}
            if fighter_id in keep_biographies
            else fighter
            for fighter_id, fighter in source.fighters.items()
        }
        self.names = {fighter_id: fighter["name"] for fighter_id, fighter in records.fighters.items()}
        self.fight_ranks = _ranks(links, "fight")
        self.fighter_ranks = _ranks(links, "fighter")
        self.from_source: dict[str, list[str]] = defaultdict(list)
        for link in links:
            if link.kind == "fighter" and link.source == source.source:
                self.from_source[link.log_id].append(link.source_id)
        self.found = Merged()

    def order(self, fight_id: str) -> tuple[Any, str]:
        """Return the key by which the source's fights are sorted."""
        return self.fights[fight_id]["date"], fight_id

    def log_id(self, kind: Kind, source_id: str) -> str | None:
        """Return the log's id of a fight or fighter of the source; None if it has none."""
        link = self.links.get(kind, self.source_name, source_id)
        rows: dict[str, Record] = self.records.fights if kind == "fight" else self.records.fighters
        if link is None:
            return source_id if self.source_name == OWN and source_id in rows else None
        return link.log_id if link.log_id in rows else None

    def is_declared_new(self, kind: Kind, source_id: str) -> bool:
        """Return True if a link says that the log has no such fight or fighter."""
        link = self.links.get(kind, self.source_name, source_id)
        return link is not None and link.log_id == NEW

    def is_seen(self, kind: Kind, source_id: str, log_id: str, seen: str) -> bool:
        """Return True if the source had these values at its last import; note them for the next."""
        link = self.links.get(kind, self.source_name, source_id)
        if link is not None and link.seen == seen:
            return True
        if link is not None:
            self.links.set(replace(link, seen=seen))
        elif self.source_name == OWN:
            self.links.set(Link(kind, OWN, source_id, log_id, "added", seen))
        return False

    def add_link(self, kind: Kind, source_id: str, log_id: str, how: How) -> None:
        """Link a fight or fighter of the source; list it as a proposal if it was found by names."""
        link = Link(kind, self.source_name, source_id, log_id, how)
        self.links.set(link)
        ranks = self.fight_ranks if kind == "fight" else self.fighter_ranks
        ranks[log_id] = max(ranks.get(log_id, 0), self.source.rank)
        if kind == "fighter":
            self.from_source[log_id].append(source_id)
        if how not in ("added", "in_fight"):
            self.found.proposals.append(link)

    def add_case(self, case: str, source_id: str, text: str) -> None:
        """List an open case."""
        self.found.cases.append(OpenCase(case, self.source_name, source_id, text))

    def known_fighters(self, fight_id: str) -> list[str | None]:
        """Return the log's ids of a fight's fighters, None for each that has no link but by his name."""
        ids = [self.fights[fight_id][f"{side}_id"] for side in SIDES]
        return [None if one.startswith(NAME_KEY) else self.log_id("fighter", one) for one in ids]

    def pair(self, fight_id: str) -> tuple[str, str]:
        """Return the source's names of a fight's fighters, red and blue."""
        fight = self.fights[fight_id]
        return self.fighters[fight["red_id"]]["name"], self.fighters[fight["blue_id"]]["name"]

    def side(self, fight_id: str, log_id: str) -> int | None:
        """Return the log's side of the source's red fighter, by links or else by names; None if they contradict."""
        ours, known = self.records.fights[log_id], self.known_fighters(fight_id)
        sides = [ours["red_id"], ours["blue_id"]]
        if any(one is not None and one not in sides for one in known):
            return None
        if known[0] is not None:
            return sides.index(known[0])
        if known[1] is not None:
            return 1 - sides.index(known[1])
        return first_side((self.names[sides[0]], self.names[sides[1]]), self.pair(fight_id))

    def oriented(self, fight_id: str, log_id: str) -> Record | None:
        """Return the source's fight with the log's red and blue; None if its fighters are others."""
        side = self.side(fight_id, log_id)
        if side is None:
            return None
        fight = dict(self.fights[fight_id])
        if side == 1:
            for name in ("winner", "announced_winner"):
                fight[name] = _SWAPPED.get(fight[name], fight[name])
            for red, blue in zip(ODDS_BY_SIDE[::2], ODDS_BY_SIDE[1::2], strict=True):
                fight[red], fight[blue] = fight[blue], fight[red]
        return fight

    def digest(self, fight_id: str) -> str:
        """Return the digest of what the source says of a fight."""
        lines = self.source.stat_lines.get(fight_id, {})
        return digest_of(self.fights[fight_id], *(lines[name] for name in sorted(lines)))

    def describe(self, log_id: str) -> str:
        """Return a fight of the log in words."""
        fight = self.records.fights[log_id]
        names = f"{self.names[fight['red_id']]} v {self.names[fight['blue_id']]}"
        return f"{names} on {fight['date']:%Y-%m-%d} ({log_id})"

    def describe_source(self, fight_id: str) -> str:
        """Return a fight of the source in words."""
        return f"{' v '.join(self.pair(fight_id))} on {self.fights[fight_id]['date']:%Y-%m-%d} ({fight_id})"


def _ranks(links: LinkTable, kind: Kind) -> dict[str, int]:
    """Return the highest rank of the sources of each fight or fighter of the log."""
    found: dict[str, int] = {}
    for link in links:
        if link.kind == kind:
            found[link.log_id] = max(found.get(link.log_id, 0), RANKS.get(link.source, 0))
    return found
