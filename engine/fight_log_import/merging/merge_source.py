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

from collections.abc import Collection

from engine.fight_log_import.links import LinkTable
from engine.fight_log_import.merging.fight_matcher import FightMatcher
from engine.fight_log_import.merging.fight_updates import FightUpdates
from engine.fight_log_import.merging.merge_records import LogRecords, Merged
from engine.fight_log_import.merging.new_fights import NewFights
from engine.fight_log_import.merging.source_merge import SourceMerge
from engine.fight_log_import.source_tables import CleanSource


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
    merge = SourceMerge(records, links, source, known_at, set(leave_out), set(keep_biographies))
    matcher, updates, new_fights = FightMatcher(merge), FightUpdates(merge), NewFights(merge)
    matcher.list_missing()
    matched = matcher.match()
    for fight_id in sorted(matched, key=merge.order):
        if (log_id := matched[fight_id]) is not None:
            updates.update(fight_id, log_id)
    for fight_id in sorted(merge.fights, key=merge.order):
        if fight_id not in matched:
            new_fights.add(fight_id)
    for fighter_id in merge.fighters:
        if (log_id := merge.log_id("fighter", fighter_id)) is not None:
            updates.update_fighter(fighter_id, log_id)
    return merge.found
