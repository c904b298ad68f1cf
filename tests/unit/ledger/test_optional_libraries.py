from __future__ import annotations

import importlib
import sys

import pytest

from ledger.server.optional_libraries import hidden


def test_a_library_is_hidden_in_the_block_alone_and_only_if_it_was_not_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with hidden("this", "json"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("this")
        assert importlib.import_module("json") is sys.modules["json"]
    assert importlib.import_module("this") is sys.modules["this"]
