"""The Lua scripts: each change of a job's state is one script, and therefore atomic."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

PRELUDE = "prelude"
_INCLUDES = re.compile(r"^-- Includes (\w+)\.lua$", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"--.*")
_NAME = re.compile(r"\w+")


@cache
def script_texts() -> dict[str, str]:
    """Return the text of each script by name, with what it needs of the shared prelude prepended.

    The server makes the functions of the prelude again at every call of a script, which took a third of the time of
    a small one, so those that a script does not reach are left out.

    A script with a line `-- Includes other.lua` can call the other one as a function of that name, whose arguments
    begin behind the current `HEADER`: so two changes become one atomic step.
    """
    texts = {
        entry.stem: entry.read_text(encoding="utf-8") for entry in (Path(__file__).parents[1] / "lua").glob("*.lua")
    }
    prelude = texts.pop(PRELUDE)
    whole = {
        name: "\n".join([*(_function(other, texts) for other in _INCLUDES.findall(text)), text])
        for name, text in texts.items()
    }
    return {name: f"{_reached(prelude, text)}\n{text}" for name, text in whole.items()}


def _reached(prelude: str, script: str) -> str:
    """Return the prelude without the functions that neither a script nor the rest of the prelude names."""
    functions = {found[1]: found[0] for found in _FUNCTION.finditer(prelude)}
    unread, reached = [_FUNCTION.sub("", prelude), script], set[str]()
    while unread:
        named = functions.keys() & {*_NAME.findall(_COMMENT.sub("", unread.pop()))} - reached
        reached |= named
        unread += [functions[name] for name in named]
    return _FUNCTION.sub(lambda found: found[0] if found[1] in reached else "", prelude)


def _function(name: str, texts: dict[str, str]) -> str:
    return f"local function {name}()\n{texts[name]}\nend"


def register_scripts(client: Any) -> dict[str, Any]:
    """Bind the scripts to a client. A script is called by its hash, and loaded if the server does not have it yet."""
    return {name: client.register_script(text) for name, text in script_texts().items()}
