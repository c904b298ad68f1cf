"""Importing the fights of one truth in any parts and any order, also repeated, gives the same log."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.fight_log import FightLog
from engine.fight_log_import.detection import detect
from engine.fight_log_import.links import LinkTable, write_links
from engine.fight_log_import.merging.merge_records import LogRecords
from engine.fight_log_import.merging.merge_source import merge_source
from engine.fight_log_import.source_tables import CleanSource, as_cell, clean_source
from tests.support.fight_exports import as_exported, write_ufcstats
from tests.support.small_models import small_league

FIGHTS = 30


@cache
def whole() -> CleanSource:
    log = small_league(700).log
    fights = log.fights.iloc[-FIGHTS:]
    events = fights["event"] + fights["date"].dt.strftime(" %Y-%m-%d")
    rounds, seconds = fights["scheduled_rounds"].fillna(3), fights["end_time_seconds"].round().clip(1)
    fights = fights.assign(event=events, scheduled_rounds=rounds, end_time_seconds=seconds)
    lines = log.stat_lines[log.stat_lines["fight_id"].isin(fights["fight_id"])]
    part = as_exported(FightLog(fights, lines.assign(control_seconds=lines["control_seconds"].round()), log.fighters))
    with TemporaryDirectory() as folder:
        (found,) = detect(write_ufcstats(part, Path(folder)))
        source = clean_source(found.read())
    assert source.faults == []
    return source


def part_of(source: CleanSource, fights: set[str]) -> CleanSource:
    kept = {name: fight for name, fight in source.fights.items() if name in fights}
    used = {fight[side] for fight in kept.values() for side in ("red_id", "blue_id")}
    return CleanSource(
        source=source.source,
        fights=kept,
        stat_lines={name: pair for name, pair in source.stat_lines.items() if name in fights},
        fighters={name: fighter for name, fighter in source.fighters.items() if name in used},
        places=source.places,
        columns=source.columns,
        faults=[],
        notes=[],
    )


def imported(parts: list[set[str]]) -> tuple[str, str]:
    """The rows of the log and the links after importing parts of the whole, one after the other."""
    records, links = LogRecords.from_log(None), LinkTable()
    for fights in parts:
        found = merge_source(records, links, part_of(whole(), fights), "")
        assert [case for case in found.cases if case.case != "missing"] == []
        assert found.changes == []
    tables = (records.fights, records.stat_lines, records.fighters)
    cells = [
        sorted([str(key), *(f"{name}={as_cell(row[name])}" for name in sorted(row))] for key, row in table.items())
        for table in tables
    ]
    return json.dumps(cells), write_links(links)


@cache
def at_once() -> tuple[str, str]:
    return imported([set(whole().fights)])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sets(st.integers(0, FIGHTS - 1)), max_size=6), st.randoms(use_true_random=False))
def test_any_parts_in_any_order_give_the_same_log(chosen: list[set[int]], random: object) -> None:
    ids = sorted(whole().fights)
    parts = [{ids[number] for number in numbers} for numbers in chosen if numbers]
    rest = set(ids).difference(*parts)
    parts += [rest] if rest else []
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert imported(parts) == at_once()
