"""Links from a source's ids to those of a fight log, kept as `links.csv` in the folder of the log.

A link is found once and then stands: names are looked at only for an id that has none yet. An operator's choice
replaces it. A link keeps a digest of what the source had at the last import: a
source that has not changed its mind changes nothing in the log, so two sources that disagree do not take turns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

LINKS_FILE = "links.csv"
COLUMNS = ("kind", "source", "source_id", "log_id", "how", "seen")
NEW = "new"
"""In place of the log's id in an operator's choice: another fight, or another person."""
SEVERAL = "several"
"""In place of the log's id of a name under which the source has several of the log's fighters."""
NAME_KEY = "name/"
"""Begins the ids of fighters of whom a source has only the name; links of such ids are hints."""

Kind = Literal["fight", "fighter"]
How = Literal["added", "names_and_day", "in_fight", "name_and_birth", "chosen"]


@dataclass(frozen=True, slots=True)
class Link:
    """A link of one fight or fighter.

    Attributes
    ----------
    how
        `added`: the log has it from this source. `names_and_day`: the only fight of both names within a day.
        `in_fight`: a fighter of such a fight. `name_and_birth`: the only fighter of this name, born on the same day.
        `chosen`: by an operator.
    seen
        Digest of the values that the source had at the last import.
    """

    kind: Kind
    source: str
    source_id: str
    log_id: str
    how: How
    seen: str = ""


@dataclass
class LinkTable:
    """Links by source id."""

    _links: dict[tuple[str, str, str], Link] = field(default_factory=dict)

    @classmethod
    def from_links(cls, links: Iterable[Link]) -> LinkTable:
        """Return a table of these links; of two for one id the last counts."""
        table = cls()
        for link in links:
            table.set(link)
        return table

    def __iter__(self) -> Iterator[Link]:
        """Yield the links, sorted."""
        return iter(sorted(self._links.values(), key=lambda link: (link.kind, link.source, link.source_id)))

    def get(self, kind: Kind, source: str, source_id: str) -> Link | None:
        """Return the link of a source id; None without one."""
        return self._links.get((kind, source, source_id))

    def set(self, link: Link) -> None:
        """Add a link, or replace that of the same source id."""
        self._links[link.kind, link.source, link.source_id] = link

    def copy(self) -> LinkTable:
        """Return a copy."""
        return LinkTable(dict(self._links))


def write_links(table: LinkTable) -> str:
    """Return the table as CSV."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([getattr(link, name) for name in COLUMNS] for link in table)
    return text.getvalue()


def read_links(text: str) -> LinkTable:
    """Return the table of a CSV file. Raises ValueError for a file that is none."""
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{LINKS_FILE} needs the columns {list(COLUMNS)}, not {rows.fieldnames}")
    return LinkTable.from_links(Link(**{name: row[name] for name in COLUMNS}) for row in rows)  # type: ignore[arg-type]
