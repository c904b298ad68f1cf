"""Exports of UFC Stats: what is read, and the fault of each wrong line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import ValidationError
from engine.fight_log_import.detection import detect
from engine.fight_log_import.source_tables import CleanSource, clean_source
from engine.fight_log_import.ufcstats_export import FILES, weight_class_of

EVENTS = """EVENT,URL,DATE,LOCATION
Open One,http://x.example/event-details/e001,"March 06, 2026","Town, Land"
Old Night,http://x.example/event-details/e002,"March 06, 2004","Town, Land"
"""
RESULTS = """EVENT,BOUT,OUTCOME,WEIGHTCLASS,METHOD,ROUND,TIME,TIME FORMAT,REFEREE,DETAILS,URL
Open One ,Ana Reis  vs. Bea Olsen ,W/L,UFC Women's Flyweight Title Bout,Decision - Split ,5,5:00,5 Rnd (5-5-5-5-5),R,D,http://x.example/fight-details/f001
Open One ,Cy Lund  vs. Dan Roe ,L/W,Light Heavyweight Bout,KO/TKO ,2,1:07,3 Rnd (5-5-5),R,D,http://x.example/fight-details/f002
Open One ,Eli Fox  vs. Gus Hay ,D/D,Catch Weight Bout,Decision - Majority ,3,5:00,3 Rnd (5-5-5),R,D,http://x.example/fight-details/f003
Old Night ,Cy Lund  vs. Gus Hay ,NC/NC,Open Weight Bout,Overturned ,2,2:30,1 Rnd + OT (12-3),R,D,http://x.example/fight-details/f004
Renamed,Cy Lund vs. Dan Roe,L/W,Light Heavyweight Bout,KO/TKO,2,1:07,3 Rnd (5-5-5),R,D,http://x.example/fight-details/f002
"""
REST = ",0 of 0" * 6
STATISTICS = f"""{",".join(FILES["statistics"])}
Open One,Cy Lund vs. Dan Roe,Round 1,Cy Lund,0,10 of 20,50%,10 of 20,1 of 3,33%,1,0,1:05{REST}
Open One,Cy Lund vs. Dan Roe,Round 2,Cy Lund,0.0,2 of 5,50%,2 of 5,0 of 1,0%,0.0,0,0:10{REST}
Open One,Cy Lund vs. Dan Roe,Round 1,Dan Roe,1,7 of 9,50%,7 of 9,0 of 0,---,0,0,0:00{REST}
Open One,Cy Lund vs. Dan Roe,Round 2,Dan Roe,1,4 of 4,50%,4 of 4,0 of 0,---,0,0,--{REST}
Open One,Ana Reis vs. Bea Olsen,,,,,,,,,,,,,,,,,
Renamed,Cy Lund vs. Dan Roe,Round 1,Cy Lund,9,10 of 20,50%,10 of 20,1 of 3,33%,1,0,1:05{REST}
"""
FIGHTERS = """FIGHTER,HEIGHT,WEIGHT,REACH,STANCE,DOB,URL
Ana Reis,"5' 4\"\"",125 lbs.,"66\"\"",Southpaw,"Jul 13, 1994",http://x.example/fighter-details/p001
Bea Olsen,--,125 lbs.,--,,--,http://x.example/fighter-details/p002
Cy Lund,"6' 1\"\"",205 lbs.,--,Orthodox,"May 02, 1983",http://x.example/fighter-details/p003
Dan Roe,"6' 0\"\"",205 lbs.,--,,"Jan 05, 1999",http://x.example/fighter-details/p004
Dan Roe,"5' 6\"\"",145 lbs.,--,,"Jan 05, 1998",http://x.example/fighter-details/p005
Gus Hay,--,--,--,,--,http://x.example/fighter-details/p006
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("a", EVENTS), ("b", RESULTS), ("c", STATISTICS), ("d", FIGHTERS)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def read(folder: Path) -> CleanSource:
    (found,) = detect(folder)
    assert found.format == "ufcstats"
    return clean_source(found.read())


def edit(folder: Path, name: str, before: str, after: str) -> None:
    text = (folder / f"{name}.csv").read_text()
    assert before in text
    (folder / f"{name}.csv").write_text(text.replace(before, after, 1))


def test_what_is_read(folder: Path) -> None:
    source = read(folder)
    assert source.faults == []
    split, knock_out, draw, old = (source.fights[name] for name in ("f001", "f002", "f003", "f004"))
    assert (split["women"], split["title_bout"], split["scheduled_rounds"], split["end_time_seconds"]) == (
        1,
        1,
        5,
        1500,
    )
    assert (split["weight_class"], split["method"]) == ("Women's Flyweight", "Decision - Split")
    assert (knock_out["winner"], knock_out["weight_class"]) == ("blue", "Light Heavyweight")
    assert knock_out["end_time_seconds"] == 367
    assert (draw["winner"], old["winner"], old["method"]) == ("draw", "nc", "Overturned")
    assert old["end_time_seconds"] == 12 * 60 + 150, "the first round had twelve minutes"
    assert (old["corner_reliable"], split["corner_reliable"]) == (0, 1)
    assert old["date"] == pd.Timestamp("2004-03-06")
    ana = source.fighters["p001"]
    assert (ana["height_cm"], ana["reach_cm"], ana["stance"]) == (162.56, 167.64, "Southpaw")
    assert ana["date_of_birth"] == pd.Timestamp("1994-07-13")


def test_rounds_are_added_up(folder: Path) -> None:
    lines = read(folder).stat_lines
    assert set(lines) == {"f002"}, "rows without a fighter are fights without statistics"
    cy, dan = lines["f002"]["p003"], lines["f002"]["p004"]
    assert (cy["significant_strikes_landed"], cy["significant_strikes_attempted"]) == (12, 25)
    assert (cy["takedowns_landed"], cy["takedowns_attempted"], cy["submission_attempts"]) == (1, 4, 1)
    assert (cy["control_seconds"], dan["knockdowns"]) == (75, 2)
    assert np.isnan(dan["control_seconds"]), "one round was not counted"


def test_two_fighters_of_one_name_are_told_apart_by_weight(folder: Path) -> None:
    source = read(folder)
    assert source.fights["f002"]["blue_id"] == "p004"
    assert any("p004" in note and "by age and weight" in note for note in source.notes)


def test_two_fighters_of_one_name_and_weight_are_a_fault(folder: Path) -> None:
    edit(folder, "d", "145 lbs.", "205 lbs.")
    source = read(folder)
    assert "f002" not in source.fights
    (fault,) = source.faults
    assert (fault.file, fault.line, fault.column) == ("b.csv", 3, "BOUT")
    assert "p004, p005" in fault.remedy


def test_a_fighter_who_is_not_listed_gets_an_id_of_his_name(folder: Path) -> None:
    source = read(folder)
    assert source.fights["f003"]["red_id"] == "name/elifox"
    assert any("'Eli Fox' is not in the list of fighters" in note for note in source.notes)


def test_of_a_renamed_event_the_listed_row_counts(folder: Path) -> None:
    source = read(folder)
    assert source.fights["f002"]["event"] == "Open One"
    assert source.stat_lines["f002"]["p003"]["knockdowns"] == 0


@pytest.mark.parametrize(
    ("file", "before", "after", "line", "column"),
    [
        ("a", "March 06, 2026", "Marsh 06, 2026", 2, "DATE"),
        ("b", "W/L", "W/W", 2, "OUTCOME"),
        ("b", "Ana Reis  vs. Bea Olsen", "Ana Reis and Bea Olsen", 2, "BOUT"),
        ("b", "2,1:07,3 Rnd (5-5-5)", "2,6:07,3 Rnd (5-5-5)", 3, "TIME FORMAT, ROUND, TIME"),
        ("b", "2,1:07,3 Rnd (5-5-5)", "4,1:07,3 Rnd (5-5-5)", 3, "TIME FORMAT, ROUND, TIME"),
        ("b", "Open One ,Eli", "Open Two ,Eli", 4, "EVENT"),
        ("b", "http://x.example/fight-details/f003", "", 4, "URL"),
        ("b", "Decision - Majority", "Coin", 4, "METHOD"),
        ("c", "10 of 20,50%", "30 of 20,50%", 2, "SIG.STR."),
        ("c", "Round 2,Cy Lund,0.0", "Round 2,Cy Lund,x", 3, "KD"),
        ("c", "Round 2,Dan Roe", "Round 2,Dan Doe", 5, "FIGHTER"),
        ("c", "Round 2,Dan Roe", "Round 1,Dan Roe", 5, "ROUND"),
        ("d", "5' 4", "5' 14", 2, "HEIGHT"),
        ("d", "Jul 13, 1994", "July", 2, "DOB"),
        ("d", "FIGHTER,HEIGHT", "FIGHTER,EYES,HEIGHT", 1, "EYES"),
    ],
)
def test_a_wrong_value_is_named(folder: Path, file: str, before: str, after: str, line: int, column: str) -> None:
    edit(folder, file, before, after)
    faults = read(folder).faults
    assert (f"{file}.csv", line, column) in {(fault.file, fault.line, fault.column) for fault in faults}


def test_every_malformed_line_is_named(folder: Path) -> None:
    edit(folder, "b", "D/D,", "D/D,,")
    edit(folder, "b", "NC/NC,", "NC/NC,,")
    source = read(folder)
    assert [(fault.line, fault.column) for fault in source.faults] == [(4, None), (5, None)]
    assert set(source.fights) == {"f001", "f002"}


def test_an_open_quote_ends_the_file(folder: Path) -> None:
    edit(folder, "b", "Eli Fox  vs.", '"Eli Fox  vs.')
    (fault,) = read(folder).faults
    assert (fault.file, fault.line) == ("b.csv", 4)


def test_a_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "b.csv").write_bytes(b"EVENT,BOUT\n\xff\xfe")
    with pytest.raises(ValidationError, match=r"b\.csv is not UTF-8 text in line 2"):
        detect(folder)


def test_what_a_folder_holds_is_in_the_error(folder: Path) -> None:
    (folder / "d.csv").unlink()
    with pytest.raises(ValidationError, match=r"a\.csv: events, b\.csv: results, c\.csv: statistics"):
        detect(folder)
    with pytest.raises(ValidationError, match="one file of an export of UFC Stats"):
        detect(folder / "b.csv")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("UFC Interim Light Heavyweight Title Bout", "Light Heavyweight"),
        ("Ultimate Fighter 28 Women's Featherweight Tournament Title Bout", "Women's Featherweight"),
        ("UFC 2 Tournament Title Bout", "Other"),
        ("Super Heavyweight Bout", "Super Heavyweight"),
    ],
)
def test_the_weight_class_of_a_title(title: str, expected: str) -> None:
    assert weight_class_of(title) == expected
