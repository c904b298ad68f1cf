"""Imports into a log: increments, corrections, links by ids and names, other sources, and the log of a moment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.data.fight_log import FightLog, read_fight_log, write_fight_log
from engine.errors import ValidationError
from engine.fight_log_import.changes import read_log_known_before
from engine.fight_log_import.import_sources import (
    FaultyImportError,
    ImportOptions,
    ImportResult,
    import_sources,
    read_log_state,
)
from engine.fight_log_import.links import Link
from engine.fight_log_import.score_feed import FeedResult, from_feed_results
from tests.support.fight_exports import as_exported, write_kaggle_raw, write_ufcstats, write_ultimate
from tests.support.small_models import small_league

pytestmark = pytest.mark.slow  # each writes exports and imports them several times

FIRST, SECOND, THIRD = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))


@pytest.fixture(scope="module")
def league() -> FightLog:
    """Sixty fights, whose events and fighters have names of their own."""
    log = small_league(700).log
    fights = log.fights.iloc[-60:]
    events = fights["event"] + fights["date"].dt.strftime(" %Y-%m-%d")
    rounds = fights["scheduled_rounds"].fillna(3)
    seconds = fights["end_time_seconds"].round().clip(1)
    fights = fights.assign(event=events, scheduled_rounds=rounds, end_time_seconds=seconds)
    lines = log.stat_lines[log.stat_lines["fight_id"].isin(fights["fight_id"])]
    lines = lines.assign(control_seconds=lines["control_seconds"].round())
    heights = {name: ((log.fighters[name] / 2.54).round() * 2.54).round(2) for name in ("height_cm", "reach_cm")}
    return as_exported(FightLog(fights, lines, log.fighters.assign(**heights)))


def changed(log: FightLog, fight_id: str, **cells: object) -> FightLog:
    fights = plain(log.fights)
    for name, value in cells.items():
        fights.loc[fights["fight_id"] == fight_id, name] = value
    return FightLog(fights, log.stat_lines, log.fighters)


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose cells may be set to anything, with flags as numbers."""
    flags = {name: int for name, kind in table.dtypes.items() if kind == np.bool_}
    return table.astype(flags).astype(object)


def of(log: FightLog, fight_id: str) -> pd.Series:
    return log.fights.set_index("fight_id").loc[fight_id]


def import_into(folder: Path, *paths: Path, at: datetime | None = None, skip: bool = False) -> ImportResult:
    return import_sources(folder, paths, ImportOptions(known_at=at, skip_faulty=skip))


def a_win(log: FightLog) -> str:
    return str(log.fights.loc[log.fights["winner"] == "red", "fight_id"].iloc[5])


def listed(result: ImportResult, case: str) -> list[str]:
    return [one.source_id for one in result.cases if one.case == case]


def test_an_export_gives_the_log_that_it_was_written_from(league: FightLog, tmp_path: Path) -> None:
    result = import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "export"))
    assert result.faults == []
    assert read_fight_log(tmp_path / "log").digest() == league.digest()


def test_the_same_again_changes_nothing(league: FightLog, tmp_path: Path) -> None:
    export = write_ufcstats(league, tmp_path / "export")
    import_into(tmp_path / "log", export)
    before = {path.name: path.read_bytes() for path in (tmp_path / "log" / "current").iterdir()}
    again = import_into(tmp_path / "log", export, at=FIRST)
    assert not again.changed
    assert (again.added_fights, again.changes, again.cases) == ([], [], [])
    assert {path.name: path.read_bytes() for path in (tmp_path / "log" / "current").iterdir()} == before
    assert len(list((tmp_path / "log" / "versions").iterdir())) == 1


def test_a_newer_export_adds_what_is_new(league: FightLog, tmp_path: Path) -> None:
    ids = list(league.fights["fight_id"])
    import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "first", ids[:40]))
    second = import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "second"), at=FIRST)
    assert set(second.added_fights) == set(ids[40:])
    log = read_fight_log(tmp_path / "log")
    assert (log.fights["known_at"] != "").sum() == 20
    blank = FightLog(log.fights.assign(known_at=""), log.stat_lines, log.fighters)
    assert blank.digest() == league.digest()


def test_an_overturned_result_keeps_the_announced_winner(league: FightLog, tmp_path: Path) -> None:
    fight = a_win(league)
    import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "first"))
    later = changed(league, fight, winner="nc", method="Overturned")
    result = import_into(tmp_path / "log", write_ufcstats(later, tmp_path / "second"), at=FIRST)
    assert [(one.change, one.column, one.before, one.after) for one in result.changes] == [
        ("corrected", "method", of(league, fight)["method"], "Overturned"),
        ("overturned", "winner", "red", "nc"),
        ("filled", "announced_winner", "", "red"),
    ]
    log = read_fight_log(tmp_path / "log")
    assert (of(log, fight)["winner"], of(log, fight)["announced_winner"]) == ("nc", "red")
    back = import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "third"), at=SECOND)
    assert ("corrected", "announced_winner", "red", "") in [
        (one.change, one.column, one.before, one.after) for one in back.changes
    ]
    assert read_fight_log(tmp_path / "log").digest() == league.digest()


def test_what_was_learnt_later_is_not_known_before(league: FightLog, tmp_path: Path) -> None:
    ids, fight = list(league.fights["fight_id"]), a_win(league)
    folder = tmp_path / "log"
    import_into(folder, write_ufcstats(league, tmp_path / "first", ids[:50]))
    import_into(folder, write_ufcstats(league, tmp_path / "second", ids[:55]), at=FIRST)
    overturned = changed(league, fight, winner="nc", method="Overturned")
    lines = overturned.stat_lines.copy()
    lines.loc[lines["fight_id"] == ids[0], "knockdowns"] += 1
    third = FightLog(overturned.fights, lines, league.fighters)
    import_into(folder, write_ufcstats(third, tmp_path / "third"), at=THIRD)
    before, between, after = (
        read_log_known_before(folder, moment) for moment in (FIRST, SECOND, datetime(2027, 1, 1, tzinfo=UTC))
    )
    assert [len(log.fights) for log in (before, between, after)] == [50, 55, 60]
    for log in (before, between):
        assert (of(log, fight)["winner"], of(log, fight)["method"]) == ("red", of(league, fight)["method"])
        assert of(log, fight)["announced_winner"] == ""
        assert log.stat_lines["knockdowns"].sum() == log_of(league, log).stat_lines["knockdowns"].sum()
    assert (of(after, fight)["winner"], of(after, fight)["announced_winner"]) == ("nc", "red")
    with pytest.raises(ValidationError, match="offset from UTC"):
        read_log_known_before(folder, datetime(2026, 5, 1))


def log_of(league: FightLog, part: FightLog) -> FightLog:
    fights = league.fights[league.fights["fight_id"].isin(part.fights["fight_id"])]
    lines = league.stat_lines[league.stat_lines["fight_id"].isin(fights["fight_id"])]
    return FightLog(fights, lines, league.fighters)


def test_corrected_statistics_are_reported_with_old_and_new(league: FightLog, tmp_path: Path) -> None:
    import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "first"))
    lines = league.stat_lines.copy()
    row = lines.index[3]
    lines.loc[row, "significant_strikes_attempted"] += 2
    later = FightLog(league.fights, lines, league.fighters)
    (change,) = import_into(tmp_path / "log", write_ufcstats(later, tmp_path / "second"), at=FIRST).changes
    assert (change.table, change.fighter_id) == ("stat_lines", league.stat_lines.loc[row, "fighter_id"])
    assert float(change.after) == float(change.before) + 2
    assert read_fight_log(tmp_path / "log").digest() == later.digest()


def test_a_fight_that_disappears_is_reported_and_stays(league: FightLog, tmp_path: Path) -> None:
    ids = list(league.fights["fight_id"])
    import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "first"))
    rest = [one for one in ids if one != ids[30]]
    result = import_into(tmp_path / "log", write_ufcstats(league, tmp_path / "second", rest), at=FIRST)
    assert listed(result, "missing") == [ids[30]]
    assert not result.changed


def with_other_ids(log: FightLog) -> FightLog:
    fights = log.fights.assign(**{name: "own-" + log.fights[name] for name in ("fight_id", "red_id", "blue_id")})
    lines = log.stat_lines.assign(**{name: "own-" + log.stat_lines[name] for name in ("fight_id", "fighter_id")})
    return FightLog(fights, lines, log.fighters.assign(fighter_id="own-" + log.fighters["fighter_id"]))


def test_a_log_of_other_ids_is_linked_by_names_and_day(league: FightLog, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    ids = list(league.fights["fight_id"])
    own = with_other_ids(league)
    write_fight_log(
        FightLog(
            own.fights.iloc[:50],
            own.stat_lines[own.stat_lines["fight_id"].isin(own.fights["fight_id"].iloc[:50])],
            own.fighters,
        ),
        folder,
    )
    shifted = league.fights.assign(date=league.fights["date"] + pd.Timedelta(days=1))  # the night passed midnight
    export = write_ufcstats(FightLog(shifted, league.stat_lines, league.fighters), tmp_path / "export")
    first = import_into(folder, export, at=FIRST)
    linked = {link.source_id: link.log_id for link in first.proposals if link.kind == "fight"}
    assert linked == {one: f"own-{one}" for one in ids[:50]}
    assert {link.how for link in first.proposals} <= {"names_and_day", "name_and_birth"}
    log, links, _ = read_log_state(folder)
    assert log is not None
    assert len(log.fights) == 60, "only new fights were added"
    assert {link.log_id for link in links if link.kind == "fighter"} <= set(log.fighters["fighter_id"])
    # From now on the ids count: no name is looked at any more.
    names = league.fighters.assign(name="X " + league.fighters["name"])
    renamed = write_ufcstats(FightLog(shifted, league.stat_lines, names), tmp_path / "renamed")
    again = import_into(folder, renamed, at=SECOND)
    assert (again.added_fights, again.proposals) == ([], [])


def test_a_fight_that_may_be_either_of_two_is_listed(league: FightLog, tmp_path: Path) -> None:
    first = league.fights.iloc[0]
    fights = pd.concat([plain(league.fights).iloc[:20], plain(league.fights).iloc[:1]], ignore_index=True)
    fights.loc[20, ["fight_id", "winner", "end_time_seconds"]] = ["twice", "nc", 5.0]
    fights.loc[[0, 20], "method"] = "Other"
    write_fight_log(FightLog(fights, league.stat_lines.iloc[:0], league.fighters), tmp_path / "own", ".csv")
    import_into(tmp_path / "log", tmp_path / "own")
    neither = changed(league, first["fight_id"], winner="draw", method="Draw", end_time_seconds=300.0)
    export = write_ufcstats(neither, tmp_path / "export", [first["fight_id"]])
    assert listed(import_into(tmp_path / "log", export, at=FIRST), "ambiguous") == [first["fight_id"]]
    ended_alike = write_ufcstats(league, tmp_path / "second", [first["fight_id"]])
    result = import_into(tmp_path / "log", ended_alike, at=FIRST)
    assert [link.log_id for link in result.proposals if link.kind == "fight"] == [first["fight_id"]]


def test_a_namesake_is_not_taken_for_a_fighter_of_the_log(league: FightLog, tmp_path: Path) -> None:
    folder, ids = tmp_path / "log", list(league.fights["fight_id"])
    known = with_other_ids(
        log_of(league, FightLog(league.fights.iloc[:40], league.stat_lines.iloc[:0], league.fighters))
    )
    write_fight_log(known, folder)
    newest = league.fights.iloc[-1]
    name = known.fighters.set_index("fighter_id").loc[known.fights["red_id"].iloc[0], "name"]
    fighters = plain(league.fighters)
    is_red = fighters["fighter_id"] == newest["red_id"]
    fighters.loc[is_red, ["name", "date_of_birth"]] = [name, None]
    export = write_ufcstats(FightLog(league.fights, league.stat_lines, fighters), tmp_path / "export", [ids[-1]])
    result = import_into(folder, export, at=FIRST)
    assert result.added_fights == []
    (case,) = [one for one in result.cases if one.case == "ambiguous"]
    assert "--link fighter:ufcstats:" in case.text
    for wrong in (("ufcstats", "nobody-has-it"), ("elsewhere", "new")):
        unknown = Link("fighter", wrong[0], str(newest["red_id"]), wrong[1], "chosen")
        with pytest.raises(ValidationError, match=r"there is no source|the log has no fighter"):
            import_sources(folder, [export], ImportOptions(choices=[unknown]))
    choice = Link("fighter", "ufcstats", str(newest["red_id"]), "new", "chosen")
    options = ImportOptions(known_at=FIRST, choices=[choice])
    chosen = import_sources(folder, [export], options)
    assert chosen.added_fights == [ids[-1]]
    assert of(read_fight_log(folder), ids[-1])["red_id"] == newest["red_id"]


def test_the_public_tables_link_and_fill_in(league: FightLog, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    import_into(folder, write_ufcstats(league, tmp_path / "export"))
    prices = {"red_decimal_odds": 1.5, "blue_decimal_odds": 2.75}
    priced = FightLog(league.fights.assign(**prices), league.stat_lines, league.fighters)
    result = import_into(folder, write_ultimate(priced, tmp_path / "ufc-master.csv"), at=FIRST)
    assert result.faults == []
    assert len(result.changes) == 120
    log = read_fight_log(folder)
    assert log.fights["red_decimal_odds"].tolist() == [1.5] * 60
    other = FightLog(
        league.fights.assign(red_decimal_odds=1.6, blue_decimal_odds=2.6), league.stat_lines, league.fighters
    )
    again = import_into(folder, write_ultimate(other, tmp_path / "ufc-master.csv"), at=SECOND)
    assert again.changes == [], "given prices are not overwritten"
    raw = import_into(folder, write_kaggle_raw(league, tmp_path / "raw.csv"), at=SECOND)
    assert (raw.sources[0].found.split(":")[0], raw.changes, raw.faults) == ("kaggle raw", [], [])


def test_a_public_table_alone_makes_a_log(league: FightLog, tmp_path: Path) -> None:
    import_into(tmp_path / "log", write_kaggle_raw(league, tmp_path / "raw.csv"))
    log = read_fight_log(tmp_path / "log")
    for name in ("winner", "method", "end_time_seconds", "weight_class", "women"):
        assert sorted(log.fights[name]) == sorted(league.fights[name])
    assert log.stat_lines["significant_strikes_landed"].sum() == league.stat_lines["significant_strikes_landed"].sum()
    assert log.fights["red_id"].str.startswith("name/").all()


def test_a_source_of_lower_rank_is_only_reported(league: FightLog, tmp_path: Path) -> None:
    folder, fight = tmp_path / "log", a_win(league)
    import_into(folder, write_ufcstats(league, tmp_path / "export"))
    other = changed(league, fight, winner="blue")
    result = import_into(folder, write_ultimate(other, tmp_path / "ufc-master.csv"), at=FIRST)
    (case,) = result.cases
    assert case.case == "disagrees"
    assert not result.changed
    again = import_into(folder, tmp_path / "ufc-master.csv", at=SECOND)
    assert again.cases == [], "a source that has not changed its mind is not heard twice"


def test_two_sources_do_not_take_turns(league: FightLog, tmp_path: Path) -> None:
    folder, fight = tmp_path / "log", a_win(league)
    export = write_ufcstats(league, tmp_path / "export")
    import_into(folder, export)
    write_fight_log(changed(league, fight, method="DQ"), tmp_path / "own")
    assert import_into(folder, tmp_path / "own", at=FIRST).changed
    assert not import_into(folder, export, at=SECOND).changed
    assert of(read_fight_log(folder), fight)["method"] == "DQ"


def test_closes_are_attached_to_their_fights(league: FightLog, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    import_into(folder, write_ufcstats(league, tmp_path / "export"))
    names = dict(zip(league.fighters["fighter_id"], league.fighters["name"], strict=True))
    last, other = league.fights.iloc[-1], league.fights.iloc[-2]
    pair = (names[last["blue_id"]], names[last["red_id"]])
    feed = [FeedResult("event-1", last["date"].date(), pair), FeedResult("event-2", other["date"].date(), ("A", "B"))]
    prices = {"event-1": {pair[0]: 3.0, pair[1]: 1.5}, "event-2": {"A": 2.0, "B": 2.0}}
    extra = [from_feed_results(feed)]
    options = ImportOptions(known_at=FIRST)
    result = import_sources(folder, [], options, extra, prices.get)
    assert [(one.column, one.after, one.source) for one in result.changes] == [
        ("red_decimal_odds", "1.5", "prices"),
        ("blue_decimal_odds", "3", "prices"),
    ]
    assert listed(result, "incomplete") == ["event-2"]
    assert import_sources(folder, [], options, extra, {"event-1": {pair[0]: 2.0, pair[1]: 2.0}}.get).changes == []


def test_faults_refuse_everything_or_are_skipped(league: FightLog, tmp_path: Path) -> None:
    export = write_ufcstats(league, tmp_path / "export")
    results = export / "ufc_fight_results.csv"
    lines = results.read_text().splitlines()
    lines[3] = lines[3].replace("W/L", "?/?").replace("L/W", "?/?").replace("D/D", "?/?").replace("NC/NC", "?/?")
    lines[7] = lines[7].replace("Bout", "Bout").replace(",", ";", 1)
    results.write_text("\n".join(lines) + "\n")
    folder = tmp_path / "log"
    with pytest.raises(FaultyImportError) as refused:
        import_into(folder, export)
    assert [(fault.file, fault.line) for fault in refused.value.faults][:2] == [
        ("ufc_fight_results.csv", 8),
        ("ufc_fight_results.csv", 4),
    ]
    assert not (folder / "current").exists()
    report = json.loads((folder / "last-import.json").read_text())
    assert (report["refused"], len(report["faults"])) == (True, len(refused.value.faults))
    result = import_into(folder, export, skip=True)
    assert len(result.added_fights) == 58
    assert {fault.line for fault in result.faults} >= {4, 8}


def test_what_would_make_the_log_impossible_is_left_out(league: FightLog, tmp_path: Path) -> None:
    folder, ids = tmp_path / "log", list(league.fights["fight_id"])
    import_into(folder, write_ufcstats(league, tmp_path / "first", ids[:50]))
    bad = league.stat_lines.copy()
    bad.loc[bad["fight_id"] == ids[55], "control_seconds"] = 9000.0
    fights = league.fights.copy()
    log = object.__new__(FightLog)  # the constructor would refuse it
    for name, table in (("fights", fights), ("stat_lines", bad), ("fighters", league.fighters)):
        object.__setattr__(log, name, table)
    export = write_ufcstats(log, tmp_path / "second")
    result = import_into(folder, export, at=FIRST, skip=True)
    assert set(result.added_fights) == {*ids[50:55], *ids[56:]}
    assert {fault.remedy for fault in result.faults} == {"control cannot last longer than the fight"}
    read_fight_log(folder)


def test_scores_are_read_and_faulty_entries_named(league: FightLog, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    import_into(folder, write_ufcstats(league, tmp_path / "export"))
    names = dict(zip(league.fighters["fighter_id"], league.fighters["name"], strict=True))
    fight = league.fights.loc[league.fights["winner"] == "red"].iloc[-1]
    teams = {"home_team": names[fight["blue_id"]], "away_team": names[fight["red_id"]]}
    start = f"{fight['date']:%Y-%m-%d}T23:30:00Z"

    def entry(identity: str, scores: Sequence[int] | None, completed: bool = True) -> dict[str, object]:
        named = (
            None
            if scores is None
            else [{"name": name, "score": str(score)} for name, score in zip(teams.values(), scores, strict=True)]
        )
        return {"id": identity, "commence_time": start, "completed": completed, "scores": named, **teams}

    scores = tmp_path / "scores"
    scores.mkdir()
    odd = {**entry("s2", (0, 1)), "scores": [{"name": "Else", "score": "1"}]}
    first = [entry("s1", None), odd, entry("s3", None, completed=False), 5]
    (scores / "scores-2026-03-01.json").write_text(json.dumps(first))
    result = import_into(folder, scores, at=FIRST, skip=True)
    assert [(fault.file, fault.column) for fault in result.faults] == [
        ("scores-2026-03-01.json entry 2", "scores"),
        ("scores-2026-03-01.json entry 4", "entry"),
    ]
    assert [(link.source_id, link.log_id) for link in result.proposals] == [("s1", fight["fight_id"])]
    assert (result.cases, len(result.notes)) == ([], 1), "completed, and without scores"
    second = [entry("s1", (0, 1)), entry("s2", (1, 0))]
    (scores / "scores-2026-03-02.json").write_text(json.dumps(second))
    (scores / "scores-2026-03-01.json").write_text(json.dumps(first[:3]))
    later = import_into(folder, scores, at=SECOND)
    assert later.faults == [], "a later file has the entry"
    assert [(link.source_id, link.log_id) for link in later.proposals] == [("s2", fight["fight_id"])], (
        "feeds change ids"
    )
    assert listed(later, "disagrees") == ["s2"]


def test_an_impossible_biography_is_left_out_and_its_fights_are_not(league: FightLog, tmp_path: Path) -> None:
    folder, ids = tmp_path / "log", list(league.fights["fight_id"])
    import_into(folder, write_ufcstats(league, tmp_path / "first", ids[:50]))
    red = league.fights["red_id"].iloc[2]
    fighters = plain(league.fighters)
    fighters.loc[fighters["fighter_id"] == red, "date_of_birth"] = pd.Timestamp("2024-01-01")
    later = FightLog(league.fights, league.stat_lines, fighters)
    result = import_into(folder, write_ufcstats(later, tmp_path / "second"), at=FIRST, skip=True)
    assert set(result.added_fights) == set(ids[50:])
    assert [fault.column == "date_of_birth" for fault in result.faults] == [True]
    log = read_fight_log(folder)
    known = league.fighters.set_index("fighter_id")["date_of_birth"]
    assert log.fighters.set_index("fighter_id").loc[red, "date_of_birth"] == known[red]


def test_feeds_may_drop_their_events(league: FightLog, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    import_into(folder, write_ufcstats(league, tmp_path / "export"))
    names = dict(zip(league.fighters["fighter_id"], league.fighters["name"], strict=True))
    feed = [
        FeedResult(fight["fight_id"], fight["date"].date(), (names[fight["red_id"]], names[fight["blue_id"]]))
        for fight in league.fights.to_dict("records")
    ]
    options = ImportOptions(known_at=FIRST)
    import_sources(folder, [], options, [from_feed_results(feed)])
    assert import_sources(folder, [], options, [from_feed_results([feed[0], feed[-1]])]).cases == []
