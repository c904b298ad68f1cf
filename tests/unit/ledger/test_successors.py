"""Every script that may end a job looks at those that wait for it: no caller of `write_outcome` may forget them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ledger

LUA = Path(ledger.__file__).parent / "lua"
FUNCTIONS = dict(
    re.findall(r"^local function (\w+)(.*?)^end$", (LUA / "prelude.lua").read_text(), re.MULTILINE | re.DOTALL)
)
SCRIPTS = sorted(path.stem for path in LUA.glob("*.lua") if path.stem != "prelude")


def ends_jobs(text: str) -> bool:
    """Return True if a script writes an outcome, by itself or through the prelude."""
    reached, before = {"write_outcome", "show_outcome"}, set[str]()
    while reached != before:
        before = set(reached)
        reached |= {name for name, body in FUNCTIONS.items() if any(f"{known}(" in body for known in before)}
    return any(re.search(rf"\b{name}\(", text) for name in reached - {"settle_successors"})


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_that_ends_jobs_settles_their_successors(script: str) -> None:
    text = (LUA / f"{script}.lua").read_text()
    assert ends_jobs(text) == ("settle_successors()" in text)


def test_these_scripts_end_jobs() -> None:
    ending = {script for script in SCRIPTS if ends_jobs((LUA / f"{script}.lua").read_text())}
    assert ending == {"cancel", "claim", "confirm", "reap", "settle", "submit", "worker_lost"}
