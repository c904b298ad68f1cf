from __future__ import annotations

import sys

import pytest

from workers.jobs.registry import find_handler, is_imported


def test_a_named_handler_is_imported_once_its_module_is(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = {"named": "this:authors", "given": len, "two": "this:s"}
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert [is_imported(kind, registry) for kind in ("named", "given", "unknown")] == [False, True, True]
    find_handler("two", registry)
    assert is_imported("named", registry)
