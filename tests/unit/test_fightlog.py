from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import ValidationError
from engine.fightlog import FightLog, read_fight_log, write_fight_log

FIGHTS = pd.DataFrame(
    {
        "fight_id": ["f1", "f2", "f3"],
        "date": ["2020-01-04", "2020-01-04", "2020-02-08"],
        "event": ["One", "One", "Two"],
        "weight_class": ["Lightweight", "Women's Flyweight", "Catch Weight"],
        "women": [0, 1, 0],
        "title_bout": [0, 1, 0],
        "scheduled_rounds": [3, 5, None],
        "red_id": ["a", "c", "b"],
        "blue_id": ["b", "d", "a"],
        "winner": ["red", "blue", "nc"],
        "method": ["KO/TKO", "Submission", "Overturned"],
        "end_time_seconds": [61, 700, 900],
        "corner_reliable": [1, 1, 0],
        "red_decimal_odds": [1.5, None, 2.125],
        "blue_decimal_odds": [2.7, None, 1.8],
    }
)
STAT_LINES = pd.DataFrame(
    {
        "fight_id": ["f1", "f1", "f3", "f3"],
        "fighter_id": ["a", "b", "a", "b"],
        "knockdowns": [1, 0, 0, 0],
        "submission_attempts": [0, 0, 1, 2],
        "takedowns_landed": [0, 1, 2, 0],
        "takedowns_attempted": [0, 3, 2, 1],
        "significant_strikes_landed": [12, 4, 50, 61],
        "significant_strikes_attempted": [20, 9, 90, 122],
        "control_seconds": [0.0, 20.5, None, None],
    }
)
FIGHTERS = pd.DataFrame(
    {
        "fighter_id": ["a", "b", "c", "d"],
        "name": ["Ann A", "Bé B", "Cy C", "Di D"],
        "date_of_birth": ["1990-05-01", None, "1985-01-31", "1999-12-31"],
        "height_cm": [170.18, 180, None, 160],
        "reach_cm": [None, 190.5, None, 161],
        "stance": ["Orthodox", "Southpaw", None, "Switch"],
        "ambiguous_name": [0, 0, 1, 0],
    }
)


def write(folder: Path, **tables: pd.DataFrame) -> Path:
    content = {"fights": FIGHTS, "stat_lines": STAT_LINES, "fighters": FIGHTERS} | tables
    for name, frame in content.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_cells_become_canonical(tmp_path: Path) -> None:
    log = read_fight_log(write(tmp_path))
    assert log.fights["title_bout"].tolist() == [False, True, False]
    assert np.isnan(log.fights["scheduled_rounds"].iloc[2])
    assert log.fights["red_early_decimal_odds"].isna().all()
    assert log.fighters["stance"].tolist() == ["Orthodox", "Southpaw", "", "Switch"]
    assert log.data_cutoff == date(2020, 2, 8)


def test_a_log_without_announced_winners_keeps_the_digest_that_it_had_before_there_were_any() -> None:
    digest = FightLog(FIGHTS, STAT_LINES, FIGHTERS).digest()
    assert digest == "eba5515adf81ee4948459a9dde5079ed1e450af03ff69e6491fafc2bd03e9092"
    assert FightLog(FIGHTS.assign(announced_winner=[None, "", None]), STAT_LINES, FIGHTERS).digest() == digest
    announced = FightLog(FIGHTS.assign(announced_winner=["", "", "blue"]), STAT_LINES, FIGHTERS)
    assert announced.digest() != digest
    assert announced.announced.tolist() == ["red", "blue", "blue"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_a_log_survives_writing_and_keeps_its_digest(tmp_path: Path, suffix: str) -> None:
    log = FightLog(FIGHTS, STAT_LINES, FIGHTERS)
    write_fight_log(log, tmp_path / "log", suffix)
    again = read_fight_log(tmp_path / "log")
    pd.testing.assert_frame_equal(again.fights, log.fights)
    pd.testing.assert_frame_equal(again.stat_lines, log.stat_lines)
    pd.testing.assert_frame_equal(again.fighters, log.fighters)
    assert again.digest() == log.digest()


def test_the_digest_ignores_order_and_sees_every_value() -> None:
    log = FightLog(FIGHTS, STAT_LINES, FIGHTERS)
    turned = FightLog(FIGHTS[::-1], STAT_LINES[::-1], FIGHTERS[::-1][FIGHTERS.columns[::-1]])
    assert turned.digest() == log.digest()
    assert FightLog(FIGHTS.assign(location="Las Vegas"), STAT_LINES, FIGHTERS).digest() == log.digest()
    changed = FightLog(FIGHTS.assign(end_time_seconds=[61, 700, 899]), STAT_LINES, FIGHTERS)
    assert changed.digest() != log.digest()
    assert FightLog(FIGHTS, STAT_LINES, FIGHTERS.assign(reach_cm=None)).digest() != log.digest()


def test_before_keeps_strictly_earlier_fights_and_their_stat_lines() -> None:
    earlier = FightLog(FIGHTS, STAT_LINES, FIGHTERS).before(date(2020, 2, 8))
    assert earlier.fights["fight_id"].tolist() == ["f1", "f2"]
    assert set(earlier.stat_lines["fight_id"]) == {"f1"}
    with pytest.raises(ValidationError, match="no fight before 2020-01-04: the log starts on 2020-01-04"):
        earlier.before(date(2020, 1, 4))


def cell(frame: pd.DataFrame, column: str, row: int, value: object) -> pd.DataFrame:
    changed = frame.astype({column: object})
    changed.loc[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("table", "frame", "message"),
    [
        ("fights", FIGHTS.drop(columns="winner"), r"fights\.csv has no column \['winner'\]"),
        ("fights", FIGHTS[:0], r"fights\.csv has no rows"),
        ("fights", FIGHTS.assign(winner="red"), r"fights\.csv: column 'winner' holds only \['red'\]"),
        (
            "fights",
            cell(FIGHTS, "winner", 1, "Red"),
            r"fights\.csv: column 'winner' holds 'Red' in row 2: write one of",
        ),
        ("fights", cell(FIGHTS, "date", 2, "08/02/2020"), r"column 'date' holds '08/02/2020' in row 3: .*YYYY-MM-DD"),
        ("fights", cell(FIGHTS, "date", 0, None), r"column 'date' holds '' in row 1: fill in"),
        (
            "fights",
            cell(FIGHTS, "fight_id", 2, "f1"),
            r"column 'fight_id' holds 'f1' in row 3: every id may stand once",
        ),
        ("fights", cell(FIGHTS, "blue_id", 0, "a"), r"column 'blue_id' holds 'a' in row 1: nobody fights himself"),
        ("fights", cell(FIGHTS, "blue_id", 0, "x"), r"hold 1 ids without a row in fighters\.csv, first \['x'\]"),
        (
            "fights",
            cell(FIGHTS, "red_decimal_odds", 2, 1.0),
            r"column 'red_decimal_odds' holds '1.0' in row 3.*above 1",
        ),
        ("fights", cell(FIGHTS, "blue_decimal_odds", 0, np.inf), r"holds 'inf' in row 1: write a finite number"),
        (
            "fights",
            cell(FIGHTS, "end_time_seconds", 0, 0),
            r"'end_time_seconds' holds '0' in row 1: it must be above 0",
        ),
        ("fights", cell(FIGHTS, "women", 0, 2), r"column 'women' holds '2' in row 1: write 0 or 1"),
        ("fights", cell(FIGHTS, "weight_class", 1, "Fly"), r"column 'weight_class' holds 'Fly' in row 2: write one of"),
        ("stat_lines", cell(STAT_LINES, "knockdowns", 3, "two"), r"column 'knockdowns' holds 'two' in row 4: .*number"),
        ("stat_lines", cell(STAT_LINES, "knockdowns", 0, -1), r"column 'knockdowns' holds '-1' in row 1: .*at least 0"),
        (
            "stat_lines",
            STAT_LINES.assign(fight_id=["f1", "f1", "f9", "f9"]),
            r"stat_lines\.csv: column 'fight_id' holds 'f9' in row 3 \(2 such rows\): there is no such fight",
        ),
        (
            "stat_lines",
            cell(STAT_LINES, "fighter_id", 3, "c"),
            r"holds 'c' in row 4: this fighter is not in that fight",
        ),
        ("stat_lines", cell(STAT_LINES, "fighter_id", 1, "a"), r"holds 'a' in row 2: one line a fighter and fight"),
        ("stat_lines", STAT_LINES[:3], r"column 'fight_id' holds 'f3' in row 3: .*both fighters or for none"),
        ("stat_lines", cell(STAT_LINES, "takedowns_landed", 0, 1), r"in row 1: it cannot exceed takedowns_attempted"),
        ("stat_lines", cell(STAT_LINES, "control_seconds", 0, 62), r"in row 1: control cannot last longer"),
        ("fighters", cell(FIGHTERS, "fighter_id", 3, "a"), r"fighters\.csv: column 'fighter_id' holds 'a' in row 4"),
        ("fighters", cell(FIGHTERS, "name", 1, "  "), r"fighters\.csv: column 'name' holds '  ' in row 2: fill in"),
    ],
)
def test_every_fault_names_file_column_row_and_remedy(
    tmp_path: Path, table: str, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        read_fight_log(write(tmp_path, **{table: frame}))


def test_missing_and_doubtful_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is not a folder"):
        read_fight_log(tmp_path / "nowhere")
    with pytest.raises(ValidationError, match=r"has no fights table: put fights\.csv"):
        read_fight_log(tmp_path)
    write(tmp_path)
    (tmp_path / "fighters.parquet").write_bytes(b"not parquet")
    with pytest.raises(ValidationError, match=r"fighters\.csv and fighters\.parquet: leave only one"):
        read_fight_log(tmp_path)
    (tmp_path / "fighters.csv").unlink()
    with pytest.raises(ValidationError, match=r"fighters\.parquet cannot be read"):
        read_fight_log(tmp_path)
    (tmp_path / "fighters.parquet").unlink()
    (tmp_path / "fighters.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(ValidationError, match=r"fighters\.csv\.gz cannot be read"):
        read_fight_log(tmp_path)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"no file format '\.xlsx'"):
        write_fight_log(FightLog(FIGHTS, STAT_LINES, FIGHTERS), tmp_path, ".xlsx")
