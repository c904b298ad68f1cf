"""The real fights, written as other people's files, come back as the log that they were written from."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from engine.data.fight_log import FightLog, write_fight_log
from engine.fight_log_import.import_sources import ImportOptions, import_sources
from tests.support.fight_exports import as_exported, write_ufcstats
from tests.support.real_fights import needs_real_fights, real_log

pytestmark = [pytest.mark.data, pytest.mark.slow, needs_real_fights]


EARLY = date(2011, 1, 1)


def exported() -> FightLog:
    """The real log as an export can have it: whole centimetres' hundredths, one line of statistics a pair and day."""
    log = as_exported(real_log())
    pairs = log.fights[["event"]].assign(
        first=np.minimum(log.fights["red_id"], log.fights["blue_id"]),
        second=np.maximum(log.fights["red_id"], log.fights["blue_id"]),
    )
    twice = log.fights.loc[pairs.duplicated(keep=False), "fight_id"]
    lines = log.stat_lines[~log.stat_lines["fight_id"].isin(twice)]
    return FightLog(log.fights, lines, log.fighters.round({"height_cm": 2, "reach_cm": 2}))


def test_an_export_of_the_early_years(tmp_path: Path) -> None:
    """With rounds of all lengths, tournaments, and winners listed first."""
    log = exported().before(EARLY)
    used = log.fighters["fighter_id"].isin({*log.fights["red_id"], *log.fights["blue_id"]})
    log = FightLog(log.fights, log.stat_lines, log.fighters[used])
    export = write_ufcstats(log, tmp_path / "export")
    result = import_sources(tmp_path / "log", [export], ImportOptions())
    assert (result.faults, result.cases, result.warnings) == ([], [], [])
    assert result.digest == log.digest()


def test_real_fights_under_other_ids_are_linked_to_themselves(tmp_path: Path) -> None:
    """The real log has one id for several people of a name; everyone else is linked by names and days."""
    log = exported()
    none = log.stat_lines.iloc[:0]
    own = FightLog(log.fights.assign(fight_id="own-" + log.fights["fight_id"]), none, log.fighters)
    write_fight_log(own, tmp_path / "log")
    export = write_ufcstats(FightLog(log.fights, none, log.fighters), tmp_path / "export")
    options = ImportOptions(known_at=datetime(2026, 3, 1, tzinfo=UTC), skip_faulty=True)
    result = import_sources(tmp_path / "log", [export], options)
    linked = {link.source_id: link.log_id for link in result.proposals if link.kind == "fight"}
    assert linked == {name: f"own-{name}" for name in log.fights["fight_id"]}
    assert (result.added_fights, [case for case in result.cases if case.case != "missing"]) == ([], [])
