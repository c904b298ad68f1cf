from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.models.fight_results import FightResult
from producer.feed.fight_results_file import MAX_FAULTS_SHOWN, read_results

LAST = date(2026, 11, 25)
DATA = Path(__file__).parents[4] / "shared/data/fights.csv.gz"


def read(*lines: str) -> list[FightResult]:
    return read_results("\n".join(lines).encode(), LAST).results


@pytest.mark.parametrize(
    ("columns", "line", "winner", "ending"),
    [
        ("date,fighter_1,fighter_2,winner", "2026-11-21,Ana Núñez,Bea,Ana Núñez", 0, "won"),
        ("date,fighter_1,fighter_2,winner", "2026-11-21,Ana Núñez,Bea,  bea ", 1, "won"),
        ("date,fighter_1,fighter_2,winner", "2026-11-21,Ana Núñez,Bea,Draw", None, "draw"),
        ("date,fighter_1,fighter_2,winner", "2026-11-21,Ana Núñez,Bea,no contest", None, "no_contest"),
        ("winner,blue,red,event,date", "red,Bea,Ana Núñez,Fight Night,2026-11-21", 0, "won"),
        ("winner,blue,red,event,date", "blue,Bea,Ana Núñez,Fight Night,2026-11-21", 1, "won"),
        ("winner,blue,red,event,date", "Bea,Bea,Ana Núñez,Fight Night,2026-11-21", 1, "won"),
        ("winner,blue,red,event,date", "nc,Bea,Ana Núñez,Fight Night,2026-11-21", None, "no_contest"),
        ("winner,blue,red,event,date", "Red,Bea,Ana Núñez,Fight Night,2026-11-21", 0, "won"),
        ("winner,blue,red,event,date", " BLUE ,Bea,Ana Núñez,Fight Night,2026-11-21", 1, "won"),
        ("Winner,BLUE, Red,Event,Date", "Blue,Bea,Ana Núñez,Fight Night,2026-11-21", 1, "won"),
        ("winner,blue,red,event,date", "Red,Bea,Ana Núñez,Fight Night,2026-11-21T22:00:00-05:00", 0, "won"),
    ],
)
def test_results_are_read(columns: str, line: str, winner: int | None, ending: str) -> None:
    (result,) = read(columns, line)
    assert (result.date, result.fighters) == (date(2026, 11, 21), ("Ana Núñez", "Bea"))
    assert (result.winner, result.ending) == (winner, ending)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("21.11.2026,Ana,Bea,Ana", "line 3: '21.11.2026' is not a day"),
        ("2026-11-26,Ana,Bea,Ana", "line 3: 2026-11-26 is in the future"),
        ("2026-11-21,,Bea,Bea", "line 3: fighter_1 must be a name"),
        ("2026-11-21,Ana,ana,Ana", "line 3: 'Ana' is named on both sides"),
        ("2026-11-21,Ana,Bea,red", "line 3: the winner 'red' is none of 'Ana', 'Bea', draw and nc"),
        ("2026-11-21,Ana,Bea,", "line 3: the winner '' is none of"),
        ("2026-11-21,Ana,Bea", "line 3: has another number of columns"),
        ("2026-11-21,Ana,Bea,Ana,x", "line 3: has another number of columns"),
        ("2026-11-21,Dora,Cleo,Dora", "line 3: contradicts line 2 of the same fight"),
        ('2026-11-21,"Ana,Bea,Ana', "after line 2: not CSV"),
    ],
)
def test_a_fault_names_its_line_and_nothing_is_read(line: str, says: str) -> None:
    with pytest.raises(JobRefusedError) as refusal:
        read("date,fighter_1,fighter_2,winner", "2026-11-21,Cleo,Dora,Cleo", line)
    assert "no result was added" in str(refusal.value)
    assert says in str(refusal.value)


def test_a_word_that_names_both_fighters_is_refused() -> None:
    with pytest.raises(
        JobRefusedError, match="line 2: the winner 'Blue' may be either of 'Blue', 'Ana', red, blue, draw"
    ):
        read("date,red,blue,winner", "2026-11-21,Blue,Ana,Blue")


def test_a_winner_that_is_nobody_is_told_the_words_that_are_known() -> None:
    with pytest.raises(JobRefusedError, match="the winner 'left' is none of 'Ana', 'Bea', red, blue, draw and nc"):
        read("date,red,blue,winner", "2026-11-21,Ana,Bea,left")


def test_many_faults_are_counted() -> None:
    with pytest.raises(JobRefusedError, match="and 5 more"):
        read("date,red,blue,winner", *["x,Ana,Bea,red"] * (MAX_FAULTS_SHOWN + 5))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "found none"),
        (b"date,red,winner\n", "found 'date', 'red', 'winner'"),
        (b"date,red,blue,winner\n", "the file has no results"),
        (b"PK\x03\x04\xff\xfe", "not UTF-8"),
        (b"date,red,Red,blue,winner\n", "'red' appear twice"),
        (b'"date,red,blue,winner\n', "the first line is not CSV"),
        (b"\x1f\x8bnonsense", "cannot be unpacked"),
    ],
)
def test_what_is_no_file_of_results_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(JobRefusedError, match=says):
        read_results(content, LAST)


def test_the_same_fight_twice_is_one_result() -> None:
    assert len(read("date,red,blue,winner", "2026-11-21,Ana,Bea,red", "2026-11-21,bea,ana,blue")) == 1


def test_two_fights_of_the_same_two_on_one_day_are_passed_over() -> None:
    content = "fight_id,date,red,blue,winner\n1,1995-09-08,Ana,Bea,nc\n2,1995-09-08,Bea,Ana,red\n3,1995-09-08,C,D,red"
    results, passed_over = read_results(content.encode(), LAST)
    assert ([result.fighters for result in results], passed_over) == ([("C", "D")], 2)


def test_a_packed_file_with_a_mark_at_its_beginning_is_read() -> None:
    content = gzip.compress("\ufeffdate,red,blue,winner\n2026-11-21,Ana,Bea,red\n".encode())
    assert len(read_results(content, LAST).results) == 1


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="real fights are not here")
def test_a_real_fight_log_is_a_file_of_results() -> None:
    results, passed_over = read_results(DATA.read_bytes(), LAST)
    assert len(results) + passed_over == 7974
    assert passed_over < 10
    assert sum(result.winner is None for result in results) > 50
