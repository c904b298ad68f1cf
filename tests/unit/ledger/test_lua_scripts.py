"""What a script gets of the prelude: the functions that it always needs, and those that `rare` makes."""

from __future__ import annotations

import re

import pytest

from ledger.server.lua_scripts import script_texts

_MADE = re.compile(r"^local rare_functions\n(.*?)^return rare_functions\n", re.MULTILINE | re.DOTALL)
_FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)


def made_when_needed(text: str) -> str:
    """Return the part of a script that makes the functions which it seldom needs."""
    found = _MADE.search(text)
    return found[1] if found else ""


@pytest.mark.parametrize("name", sorted(script_texts()))
def test_a_function_that_a_script_seldom_needs_is_one_of_the_prelude(name: str) -> None:
    text = script_texts()[name]
    needed = {*re.findall(r"^[^-\n]*\brare\(\)\.(\w+)", text, re.MULTILINE)}
    assert needed <= {*_FUNCTION.findall(text)}


@pytest.mark.parametrize("name", sorted(script_texts()))
def test_a_function_is_made_in_one_place(name: str) -> None:
    names = _FUNCTION.findall(script_texts()[name])
    assert len(names) == len(set(names))


def test_a_claim_makes_what_requeues_a_job_only_if_it_needs_it() -> None:
    claim = script_texts()["claim"]
    seldom = made_when_needed(claim)
    assert "local function requeue(" in seldom
    assert "local function requeue(" not in claim.replace(seldom, "")
    assert "local function list_existing(" in claim.replace(seldom, "")
