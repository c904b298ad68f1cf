from __future__ import annotations

from datetime import date

import msgspec
import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.ledger import Ledger
from ledger.models.fight_results import MAX_RESULTS_AT_ONCE, AddedCounts, FightResult

DAY = date(2026, 11, 21)
WON = FightResult(date=DAY, fighters=("Ana Núñez", "Bea"), winner=0)
LOST = FightResult(date=DAY, fighters=("Ana Núñez", "Bea"), winner=1)
VOID = FightResult(date=DAY, fighters=("Cleo", "Dora"), winner=None, ending="draw")


def counts(added: int = 0, unchanged: int = 0, corrected: int = 0) -> AddedCounts:
    return AddedCounts(added=added, unchanged=unchanged, corrected=corrected)


def test_adding_twice_is_once(ledger: Ledger) -> None:
    assert ledger.fight_results.add([WON, VOID], user="ann") == counts(added=2)
    turned = FightResult(date=DAY, fighters=("bea", "ANA  Núñez"), winner=1)
    exact = FightResult(date=DAY, fighters=("Bea", "Ana Núñez"), winner=1)
    assert ledger.fight_results.add([VOID, exact], user="bob") == counts(unchanged=2)
    assert [result.winner for result in ledger.fight_results.all()] == [0, None]
    assert ledger.fight_results.add([turned], user="bob") == counts(corrected=1)  # the spelling
    assert len(ledger.fight_results.all()) == 2


def test_a_correction_replaces_leaves_a_trace_and_keeps_its_place(ledger: Ledger) -> None:
    ledger.fight_results.add([WON], user="ann")
    ledger.fight_results.add([VOID], user="ann")
    assert ledger.fight_results.add([LOST], user="bob") == counts(corrected=1)
    first, second = ledger.fight_results.all()
    assert (first.winner, second.ending) == (1, "draw")
    assert first.batch < second.batch
    assert first.first is not None
    assert (first.first.winner, first.first.batch) == (WON.winner, first.batch)  # as it first came to be known
    assert second.first is None
    ledger.fight_results.add([WON], user="ann")
    ledger.fight_results.add([LOST], user="bob")
    assert ledger.fight_results.all() == [first, second]
    changes = ledger.fight_results.changes()
    assert [change.who for change in changes] == ["bob", "ann", "bob", "ann", "ann"]
    assert changes[0].before == WON
    assert changes[0].after == LOST
    assert changes[-1].before is None


def test_a_result_that_was_overturned_before_it_was_added_keeps_the_announced_one(ledger: Ledger) -> None:
    overturned = FightResult(date=DAY, fighters=WON.fighters, winner=None, ending="no_contest", first=WON)
    assert ledger.fight_results.add([overturned], user="ann") == counts(added=1)
    (stored,) = ledger.fight_results.all()
    assert stored.first is not None
    assert (stored.winner, stored.ending, stored.first.winner) == (None, "no_contest", WON.winner)
    assert ledger.fight_results.add([overturned], user="ann") == counts(unchanged=1)
    assert ledger.fight_results.add([LOST], user="bob") == counts(corrected=1)
    (corrected,) = ledger.fight_results.all()
    assert corrected.first == stored.first


def test_results_of_one_call_are_one_batch(ledger: Ledger) -> None:
    ledger.fight_results.add([WON, VOID], user="ann")
    assert len({result.batch for result in ledger.fight_results.all()}) == 1


def test_results_from_a_day_on(ledger: Ledger) -> None:
    ledger.fight_results.add([WON], user="ann")
    assert ledger.fight_results.all(DAY) != []
    assert ledger.fight_results.all(date(2026, 11, 22)) == []


def test_too_many_and_nobody_are_refused(ledger: Ledger) -> None:
    with pytest.raises(JobRefusedError, match="split"):
        ledger.fight_results.add([WON] * (MAX_RESULTS_AT_ONCE + 1), user="ann")
    with pytest.raises(JobRefusedError, match="user"):
        ledger.fight_results.add([WON], user=" ")
    assert ledger.fight_results.all() == []


def test_ids_add_up_and_are_no_correction(ledger: Ledger) -> None:
    plain = FightResult(date=date(2026, 11, 21), fighters=("Bea", "Ana"), winner=0)
    results = ledger.fight_results
    results.add([plain], user="ann")
    for ids in (("event-1",), ("a1", "event-1"), ()):
        counts = results.add([msgspec.structs.replace(plain, fight_ids=ids)], user="ann")
        assert (counts.added, counts.unchanged, counts.corrected) == (0, 1, 0)
    (known,) = results.all()
    assert (known.fight_ids, known.first) == (("event-1", "a1"), None)
    assert len(results.changes()) == 1
