from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.data.data_faults import DataFaultsError
from engine.data.fight_log import FightLog, read_fight_log, write_fight_log
from engine.data.finish_methods import canonical_method
from engine.errors import ValidationError

DATA = Path(__file__).parents[5] / "shared/data"

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


@pytest.mark.slow
def test_a_log_without_announced_winners_keeps_the_digest_that_it_had_before_there_were_any() -> None:
    digest = FightLog(FIGHTS, STAT_LINES, FIGHTERS).digest()
    assert digest == "eba5515adf81ee4948459a9dde5079ed1e450af03ff69e6491fafc2bd03e9092"
    assert FightLog(FIGHTS.assign(announced_winner=[None, "", None]), STAT_LINES, FIGHTERS).digest() == digest
    announced = FightLog(FIGHTS.assign(announced_winner=["", "", "blue"]), STAT_LINES, FIGHTERS)
    assert announced.digest() != digest
    assert announced.announced_winners.tolist() == ["red", "blue", "blue"]


def test_a_log_without_history_only_fights_keeps_the_digest_that_it_had_before_there_were_any() -> None:
    digest = FightLog(FIGHTS, STAT_LINES, FIGHTERS).digest()
    assert FightLog(FIGHTS.assign(history_only=[None, "", 0]), STAT_LINES, FIGHTERS).digest() == digest
    foreign = FightLog(FIGHTS.assign(history_only=["", 1, 0]), STAT_LINES, FIGHTERS)
    assert foreign.digest() != digest
    assert foreign.fights["history_only"].tolist() == [False, True, False]
    assert foreign.is_label.tolist() == [True, False, False]


def test_history_only_fights_are_checked_but_teach_no_winner(tmp_path: Path) -> None:
    log = read_fight_log(write(tmp_path, fights=more_fights(red_id=["a"], blue_id=["d"], history_only=[1])))
    assert log.is_label.tolist() == [True, True, False, False]
    error = fault_of(tmp_path, fights=FIGHTS.assign(history_only=[0, 1, 0]))
    assert "column 'winner' holds only ['nc', 'red'] in fights to learn from" in str(error)
    error = fault_of(
        tmp_path, fights=FIGHTS.assign(history_only=[2, 1, 0], date=["2020-01-04", "2020-01-04", "2999-01-01"])
    )
    assert "write 0 or 1" in str(error)
    assert "this day is in the future" in str(error)


DECLARED = FIGHTERS.assign(
    declared_wins=[9, None, 0, 4],
    declared_losses=[1, None, 0, 4],
    declared_draws=[None, None, None, 1],
    declared_knock_out_wins=[5, None, None, 4],
    declared_submission_wins=[4, None, None, 0],
    declared_last_bout=["2019-06-01", None, None, "2020-01-03"],
)


def test_a_log_without_declared_records_keeps_the_digest_that_it_had_before_there_were_any() -> None:
    digest = FightLog(FIGHTS, STAT_LINES, FIGHTERS).digest()
    assert FightLog(FIGHTS, STAT_LINES, FIGHTERS.assign(declared_wins=None, declared_last_bout="")).digest() == digest
    nothing = FIGHTERS.assign(declared_wins=0, declared_losses=0)
    assert len({digest, *(FightLog(FIGHTS, STAT_LINES, people).digest() for people in (nothing, DECLARED))}) == 3


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ({"declared_losses": [None, None, 0, 4]}, 2, "a declared record needs both"),
        ({"declared_last_bout": [None, "2019-06-01", None, None]}, 3, "a declared record needs both"),
        ({"declared_knock_out_wins": [6, None, None, 4]}, 2, "declared_knock_out_wins and declared_submission_wins"),
        ({"declared_submission_losses": [2, None, None, 4]}, 2, "declared_knock_out_losses and declared_submission_lo"),
        ({"declared_losses": [1, None, 0, 201]}, 5, "it must be at most 200"),
        ({"declared_losses": [1, None, 0, 196]}, 5, "that is more than 200 bouts"),
        ({"declared_wins": [9.5, None, 0, 4]}, 2, "write a whole number"),
        ({"declared_wins": [9, None, -1, 4]}, 4, "it must be at least 0"),
        (
            {"declared_last_bout": ["2020-01-04", None, None, None]},
            2,
            "not before the fighter's first fight of this log",
        ),
    ],
)
def test_declared_records_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, list[object]], line: int, message: str
) -> None:
    error = fault_of(tmp_path, fighters=DECLARED.assign(**changes))
    (fault,) = error.faults
    assert (fault.file, fault.line) == ("fighters.csv", line)
    assert message in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_a_log_survives_writing_and_keeps_its_digest(tmp_path: Path, suffix: str) -> None:
    log = FightLog(FIGHTS.assign(history_only=[0, 0, 1]), STAT_LINES, DECLARED)
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
        ("fights", FIGHTS.drop(columns="winner"), r"fights\.csv: there is no column \['winner'\]"),
        ("fights", FIGHTS[:0], r"fights\.csv has no rows"),
        ("fights", FIGHTS.assign(winner="red"), r"fights\.csv: column 'winner' holds only \['red'\]"),
        (
            "fights",
            cell(FIGHTS, "winner", 1, "left"),
            r"fights\.csv: column 'winner' holds 'left' in line 3: write one of",
        ),
        ("fights", cell(FIGHTS, "date", 2, "08/02/2020"), r"column 'date' holds '08/02/2020' in line 4: .*YYYY-MM-DD"),
        ("fights", cell(FIGHTS, "date", 0, None), r"column 'date' holds '' in line 2: fill in"),
        (
            "fights",
            cell(FIGHTS, "fight_id", 2, "f1"),
            r"column 'fight_id' holds 'f1' in line 4: ids must be unique",
        ),
        (
            "fights",
            cell(FIGHTS, "blue_id", 0, "a"),
            r"column 'blue_id' holds 'a' in line 2: a fighter cannot fight himself",
        ),
        ("fights", cell(FIGHTS, "blue_id", 0, "x"), r"hold 1 ids without a row in fighters\.csv, first \['x'\]"),
        (
            "fights",
            cell(FIGHTS, "red_decimal_odds", 2, 1.0),
            r"column 'red_decimal_odds' holds '1.0' in line 4.*above 1",
        ),
        ("fights", cell(FIGHTS, "blue_decimal_odds", 0, np.inf), r"holds 'inf' in line 2: write a finite number"),
        (
            "fights",
            cell(FIGHTS, "end_time_seconds", 0, 0),
            r"'end_time_seconds' holds '0' in line 2: it must be above 0",
        ),
        ("fights", cell(FIGHTS, "women", 0, 2), r"column 'women' holds '2' in line 2: write 0 or 1"),
        (
            "fights",
            cell(FIGHTS, "weight_class", 1, "Fly"),
            r"column 'weight_class' holds 'Fly' in line 3: write one of",
        ),
        (
            "stat_lines",
            cell(STAT_LINES, "knockdowns", 3, "two"),
            r"column 'knockdowns' holds 'two' in line 5: .*number",
        ),
        (
            "stat_lines",
            cell(STAT_LINES, "knockdowns", 0, -1),
            r"column 'knockdowns' holds '-1' in line 2: .*at least 0",
        ),
        (
            "stat_lines",
            STAT_LINES.assign(fight_id=["f1", "f1", "f9", "f9"]),
            r"stat_lines\.csv: column 'fight_id' holds 'f9' in line 4 \(2 such rows\): there is no such fight",
        ),
        (
            "stat_lines",
            cell(STAT_LINES, "fighter_id", 3, "c"),
            r"holds 'c' in line 5: this fighter is not in that fight",
        ),
        (
            "stat_lines",
            cell(STAT_LINES, "fighter_id", 1, "a"),
            r"holds 'a' in line 3: a fighter has only one line for each fight",
        ),
        ("stat_lines", STAT_LINES[:3], r"column 'fight_id' holds 'f3' in line 4: .*both fighters or for none"),
        ("stat_lines", cell(STAT_LINES, "takedowns_landed", 0, 1), r"in line 2: it cannot exceed takedowns_attempted"),
        ("stat_lines", cell(STAT_LINES, "control_seconds", 0, 62), r"in line 2: control cannot last longer"),
        ("fighters", cell(FIGHTERS, "fighter_id", 3, "a"), r"fighters\.csv: column 'fighter_id' holds 'a' in line 5"),
        ("fighters", cell(FIGHTERS, "name", 1, "  "), r"fighters\.csv: column 'name' holds '  ' in line 3: fill in"),
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


def fault_of(folder: Path, **tables: pd.DataFrame) -> DataFaultsError:
    with pytest.raises(DataFaultsError) as error:
        read_fight_log(write(folder, **tables))
    return error.value


def more_fights(**columns: list[object]) -> pd.DataFrame:
    """FIGHTS, and as many more as the columns are long, on days and between fighters of their own."""
    count = len(next(iter(columns.values())))
    extra = pd.concat([FIGHTS.iloc[[1]]] * count, ignore_index=True).assign(
        **{
            "fight_id": [f"x{k}" for k in range(count)],
            "date": [f"2021-0{k + 1}-01" for k in range(count)],
            "event": [f"More {k}" for k in range(count)],
            **columns,
        }
    )
    return pd.concat([FIGHTS, extra], ignore_index=True)


@pytest.mark.parametrize(
    ("table", "frame", "message"),
    [
        (
            "fights",
            cell(FIGHTS, "date", 2, "2199-02-08"),
            "holds '2199-02-08 00:00:00' in line 4: this day is in the future",
        ),
        (
            "fights",
            more_fights(red_id=["d"], blue_id=["c"], date=["2020-01-04"], winner=["red"], event=["One"]),
            "'x0' in line 5: the same two fought within 7 days before",
        ),
        (
            "fights",
            more_fights(red_id=["d"], blue_id=["c"], date=["2020-01-06"]),
            "'x0' in line 5: the same two fought within 7 days before",
        ),
        (
            "fights",
            more_fights(red_id=["a"], blue_id=["d"], date=["2020-01-04"], event=["Elsewhere"]),
            r"\(3 such rows\): this fighter has another fight on that day",
        ),
        (
            "fights",
            more_fights(red_id=["b"], blue_id=["e"], date=["2020-02-08"], event=["Two"]),
            "this fighter has another fight on that day",
        ),
        ("fights", cell(FIGHTS, "winner", 2, "draw").assign(method="KO/TKO"), "a draw has no stoppage"),
        ("fights", cell(FIGHTS, "method", 0, "No Contest"), "this has no winner, and one is named"),
        ("fights", cell(FIGHTS, "women", 1, 0), "women is 0 in a women's class"),
        ("fights", cell(FIGHTS, "end_time_seconds", 0, 1801), "longer than all scheduled rounds"),
        (
            "fights",
            FIGHTS.assign(red_decimal_odds=[-150, None, 130]),
            r"'-150.0' in line 2 \(2 such rows\): these look American",
        ),
        ("fights", FIGHTS.assign(red_decimal_odds=[0.6, None, 0.5]), "these look like probabilities"),
        ("fights", cell(FIGHTS, "red_decimal_odds", 0, 9.5), "one of the two is misread"),
        ("fights", cell(FIGHTS, "method", 0, "magic"), "column 'method' holds 'magic' in line 2: write one of"),
        ("fights", cell(FIGHTS, "date", 0, "2020-01-04 soon"), "write dates as YYYY-MM-DD"),
        (
            "fighters",
            cell(FIGHTERS, "date_of_birth", 0, "2021-01-01"),
            r"fighters\.csv: .* in line 2: fights before birth",
        ),
        ("fighters", cell(FIGHTERS, "date_of_birth", 0, "1910-01-01"), "fights beyond the age of 80"),
        ("fighters", cell(FIGHTERS, "height_cm", 0, 70), "it must be at least 120 centimetres"),
        ("stat_lines", cell(STAT_LINES, "knockdowns", 0, 0.5), "write a whole number"),
    ],
)
def test_what_cannot_be_true_is_refused(tmp_path: Path, table: str, frame: pd.DataFrame, message: str) -> None:
    fighters = pd.concat([FIGHTERS, FIGHTERS.iloc[[3]].assign(fighter_id="e", name="Eve E")], ignore_index=True)
    with pytest.raises(DataFaultsError, match=message):
        read_fight_log(write(tmp_path, **({"fighters": fighters} | {table: frame})))


def test_a_winner_who_always_stands_first_is_noticed(tmp_path: Path) -> None:
    many = pd.concat([FIGHTS.iloc[[1]]] * 300, ignore_index=True)
    fights = many.assign(
        fight_id=[str(k) for k in range(300)],
        date=pd.date_range("2000-01-01", periods=300, freq="8D").strftime("%Y-%m-%d"),
        winner=["blue"] * 9 + ["red"] * 291,
    )
    error = fault_of(
        tmp_path, fights=fights, stat_lines=STAT_LINES.assign(fight_id=["0", "0", "1", "1"], fighter_id=["c", "d"] * 2)
    )
    assert "the winner seems to be listed first" in str(error)


def test_a_tournament_and_a_rematch_after_no_contest_are_believed(tmp_path: Path) -> None:
    night = more_fights(
        red_id=["a", "a", "c"],
        blue_id=["c", "d", "d"],
        date=["2021-05-01"] * 3,
        event=["Night"] * 3,
        winner=["nc", "red", "red"],
    )
    again = night.iloc[[3]].assign(fight_id="y", winner="red", method="Submission", end_time_seconds=99)
    log = read_fight_log(write(tmp_path, fights=pd.concat([night, again], ignore_index=True)))
    assert len(log.fights) == 7


def test_all_faults_of_all_files_are_in_one_report(tmp_path: Path) -> None:
    error = fault_of(
        tmp_path,
        fights=cell(cell(FIGHTS, "winner", 0, "left"), "date", 2, "soon"),
        stat_lines=cell(STAT_LINES, "knockdowns", 3, "two"),
        fighters=FIGHTERS.assign(height_cm="tall").drop(columns="stance"),
    )
    found = {(fault.file, fault.column, fault.line, fault.rows) for fault in error.faults}
    assert found >= {
        ("fights.csv", "winner", 2, 1),
        ("fights.csv", "date", 4, 1),
        ("stat_lines.csv", "knockdowns", 5, 1),
        ("fighters.csv", "height_cm", 2, 4),
        ("fighters.csv", None, None, 1),
    }
    assert str(error).startswith("5 faults: ")


def test_a_line_is_counted_over_line_ends_in_cells_and_blank_lines(tmp_path: Path) -> None:
    write(tmp_path)
    text = (tmp_path / "fights.csv").read_text().replace(",One,", ',"One\nNight",').replace("f3,2020", "\nf3,soon")
    (tmp_path / "fights.csv").write_text(text)
    with pytest.raises(DataFaultsError) as error:
        read_fight_log(tmp_path)
    assert [(fault.row, fault.line) for fault in error.value.faults] == [(3, 7)]


def test_words_are_known_in_any_case(tmp_path: Path) -> None:
    fights = FIGHTS.assign(
        winner=["Red", "BLUE", "No Contest"],
        weight_class=["lightweight", "Womens Flyweight", "Catchweight"],
        method=["tko (punches)", "U-DEC", "overturned"],
        date=["2020-01-04T23:00:00-08:00", "2020-01-04", "2020-02-08 05:00:00+00:00"],
    )
    log = read_fight_log(write(tmp_path, fights=fights))
    assert log.fights["winner"].tolist() == ["red", "blue", "nc"]
    assert log.fights["weight_class"].tolist() == ["Lightweight", "Women's Flyweight", "Catch Weight"]
    assert log.fights["method"].tolist() == ["KO/TKO", "Decision - Unanimous", "Overturned"]
    assert log.fights["date"].dt.strftime("%m-%d").tolist() == ["01-04", "01-04", "02-08"]


@pytest.mark.parametrize(
    ("spelling", "method"),
    [
        ("SUB", "Submission"),
        ("Technical Submission (guillotine choke)", "Submission"),
        ("KO (head kick)", "KO/TKO"),
        ("TKO - Doctor's Stoppage", "TKO - Doctor's Stoppage"),
        ("TKO (doctor stoppage)", "TKO - Doctor's Stoppage"),
        ("S-DEC", "Decision - Split"),
        ("MD", "Decision - Majority"),
        ("Unanimous Decision", "Decision - Unanimous"),
        ("Decision (split)", "Decision - Split"),
        ("Decision", "Decision"),
        ("Majority Draw", "Decision - Majority"),
        ("Draw", "Draw"),
        ("DQ (illegal knee)", "DQ"),
        ("CNC", "Could Not Continue"),
        ("NC", "No Contest"),
        ("points", None),
        ("", None),
    ],
)
def test_usual_spellings_of_methods_are_known(spelling: str, method: str | None) -> None:
    assert canonical_method(spelling) == method


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="real fights are not here")
def test_real_fights_have_no_faults() -> None:
    assert len(read_fight_log(DATA).fights) == 7974
