from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

import pytest
from msgspec.structs import replace

from ledger.contracts.prediction_record import PredictionRecord
from ledger.models.fight_results import FightResult
from workers.handlers.monitoring.result_matching import match_results

DAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def entry(first: str, second: str, *, day: date = DAY, p: float = 0.6, at: datetime = NOON) -> PredictionRecord:
    return PredictionRecord(
        day=day,
        fighters=(first, second),
        model="m",
        role="live",
        job_id="j",
        probability=p,
        intervals=(),
        action="abstain",
        at=at,
    )


def result(first: str, second: str, winner: Literal[0, 1] | None, day: date = DAY, batch: int = 1) -> FightResult:
    ending = "draw" if winner is None else "won"
    return FightResult(date=day, fighters=(first, second), winner=winner, ending=ending, batch=batch)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logged", "known", "won"),
    [
        (("José Aldo", "Bea"), ("Jose Aldo", "Bea"), 0),
        (("José Aldo", "Bea"), ("bea", "JOSE ALDO"), 1),
        (("Aleksei Oleinik", "Bea"), ("Alexey Oliynyk", "Bea"), 0),
        (("Bea", "Zhang Weili"), ("Weili Zhang", "Bea"), 1),
        (("Ana Lee", "Bea Lim Jr."), ("Ana Lee", "Bea Lim"), 0),
    ],
)
def test_names_are_matched_as_the_engine_matches_them(
    logged: tuple[str, str], known: tuple[str, str], won: int
) -> None:
    (scored,) = match_results([entry(*logged)], [result(*known, 0)]).scored
    assert scored.won == won


@pytest.mark.parametrize(("off", "matches"), [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0)])
def test_a_result_may_be_a_day_off(off: int, matches: int) -> None:
    record = match_results([entry("Ana", "Bea")], [result("Ana", "Bea", 0, DAY + timedelta(days=off))])
    assert (len(record.scored), record.waiting) == (matches, 1 - matches)


def test_alike_is_not_the_same() -> None:
    record = match_results([entry("Ana Lee", "Bea")], [result("Ana Leo", "Bea", 0)])
    assert (record.scored, record.waiting) == ((), 1)


def test_a_draw_is_void_and_not_waited_for() -> None:
    record = match_results([entry("Ana", "Bea")], [result("Ana", "Bea", None)])
    assert (record.decided, record.void, record.waiting) == ([], 1, 0)


def test_of_two_spellings_of_a_fight_the_last_answer_counts() -> None:
    first = entry("Aleksei Oleinik", "Bea", p=0.6)
    later = entry("Alexey Oliynyk", "Bea", p=0.7, at=NOON + timedelta(hours=1))
    for spelling in ("Aleksei Oleinik", "Alexey Oliynyk", "Alexey Oleynik"):
        both = match_results([first, later], [result(spelling, "Bea", 1)])
        assert [(one.record.probability, one.won) for one in both.scored] == [(0.7, 1)]
        assert both.waiting == 0


def test_results_that_contradict_each_other_leave_the_fight_out() -> None:
    results = [result("José Aldo", "Bea", 0), result("Jose Aldo", "Bea", 1, DAY - timedelta(days=1))]
    record = match_results([entry("Jose Aldo", "Bea")], results)
    assert (record.scored, record.contradicted, record.waiting) == ((), 1, 0)
    results = [result("José Aldo", "Bea", 0), result("Bea", "Jose Aldo", 1, DAY - timedelta(days=1))]
    assert len(match_results([entry("Jose Aldo", "Bea")], results).scored) == 1


def test_tests_keep_the_result_that_came_first_whatever_comes_later() -> None:
    entries = [entry("Ana", "Bea"), entry("Eve", "Fay")]
    won, other = result("Ana", "Bea", 0), result("Eve", "Fay", 1, batch=2)
    before = match_results(entries, [won, other]).tested
    assert [(one.record.fighters[0], one.won, one.batch) for one in before] == [("Ana", 0, 1), ("Eve", 1, 2)]
    for later in (1, None):  # corrected, or overturned: no winner any more
        corrected = replace(result("Ana", "Bea", later), first=won)  # type: ignore[arg-type]
        record = match_results(entries, [corrected, other])
        assert record.tested == before
        assert record.scored[0].won == later
    contradicting = result("Bea", "Ana", 0, DAY + timedelta(days=1), 3)
    record = match_results(entries, [won, other, contradicting])
    assert (record.tested, record.contradicted, len(record.scored)) == (before, 1, 1)
    # What first had no winner is no bet that was settled, and what was never clear is none either.
    late = replace(won, first=result("Ana", "Bea", None))
    assert [one.record.fighters[0] for one in match_results(entries, [late, other]).tested] == ["Eve"]
    at_once = replace(contradicting, batch=1)
    assert [one.record.fighters[0] for one in match_results(entries, [won, at_once, other]).tested] == ["Eve"]


def test_the_order_is_that_in_which_results_came() -> None:
    entries = [entry("A", "B", day=DAY), entry("C", "D", day=DAY + timedelta(days=7)), entry("E", "F")]
    results = [result("C", "D", 0, DAY + timedelta(days=7), 1), result("A", "B", 0), result("E", "F", 1, DAY, 2)]
    scored = match_results(entries, results).scored
    assert [one.record.fighters[0] for one in scored] == ["A", "C", "E"]


def known_as(first: str, second: str, *ids: str, winner: Literal[0, 1] = 0, batch: int = 1) -> FightResult:
    return replace(result(first, second, winner, batch=batch), fight_ids=ids)


def test_ids_come_before_names() -> None:
    """Two fights of one name each on one night: the id says which, whatever the spelling of the other name."""
    entries = [
        replace(entry("Ana Lee", "Bea"), fight_id="a"),
        replace(entry("Anna Li", "Cleo", p=0.2), fight_id="b"),
    ]
    (scored,) = match_results(entries, [known_as("A. Lee", "Bea", "a", winner=1)]).scored
    assert (scored.record.fight_id, scored.won) == ("a", 1)


def test_an_id_counts_on_any_day() -> None:
    moved = replace(known_as("Bea", "Ana", "a"), date=DAY + timedelta(days=9))
    (scored,) = match_results([replace(entry("Ana", "Bea"), fight_id="a")], [moved]).scored
    assert scored.won == 1


def test_an_id_of_other_fighters_is_none() -> None:
    """Callers may number their fights, so that an id comes again on another card."""
    track = match_results([replace(entry("Ana", "Bea"), fight_id="1")], [known_as("Cleo", "Dora", "1")])
    assert (track.scored, track.waiting) == ((), 1)
    (scored,) = match_results([replace(entry("Ana", "Bea"), fight_id="1")], [known_as("Ana", "Bea", "2")]).scored
    assert scored.won == 0, "without its id a fight is found by names"


def test_a_correction_keeps_the_first_result_in_the_spelling_of_the_fight() -> None:
    corrected = replace(known_as("A. Lee", "Bea", "a", winner=1), first=result("A. Lee", "Bea", 0))
    track = match_results([replace(entry("Ana Lee", "Bea"), fight_id="a")], [corrected])
    assert [(one.won, tested.won) for one, tested in zip(track.scored, track.tested, strict=True)] == [(1, 0)]
