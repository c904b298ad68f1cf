"""Every part of a ledger is made when it is first used, once, and is of the type that type checkers know it by."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger import ledger as module
from ledger.ledger import Ledger
from ledger.ledger_parts import PARTS, LedgerParts


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_of_its_declared_type(ledger: Ledger, name: str) -> None:
    assert type(getattr(ledger, name)).__name__ == LedgerParts.__annotations__[name]
    assert getattr(ledger, name) is getattr(ledger, name)


def test_the_declared_parts_are_those_that_can_be_made() -> None:
    assert LedgerParts.__annotations__.keys() == PARTS.keys()


def test_threads_that_ask_at_once_get_the_same_part(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(lambda _: ledger.promotions, range(64)))
    assert {id(part) for part in parts} == {id(ledger.promotions)}


def test_other_names_are_refused(ledger: Ledger) -> None:
    with pytest.raises(AttributeError, match="'Ledger' object has no attribute 'promotion'"):
        getattr(ledger, "promotion")  # noqa: B009 - a type checker refuses it as an attribute
    with pytest.raises(AttributeError, match=r"module 'ledger\.ledger' has no attribute 'Clam'"):
        getattr(module, "Clam")  # noqa: B009


def test_the_names_of_the_module_can_be_imported() -> None:
    assert {name for name in module.__all__ if not isinstance(getattr(module, name), type)} == set()
