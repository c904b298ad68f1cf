"""The Lua scripts: each change of a job's state is one script, and therefore atomic."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

PRELUDE = "prelude"
_INCLUDES = re.compile(r"^-- Includes (\w+)\.lua$", re.MULTILINE)


@cache
def script_texts() -> dict[str, str]:
    """Return the text of each script by name, with the shared prelude prepended.

    A script with a line `-- Includes other.lua` can call the other one as a function of that name, whose arguments
    begin behind the current `HEADER`: so two changes become one atomic step.
    """
    texts = {
        entry.stem: entry.read_text(encoding="utf-8") for entry in (Path(__file__).parents[1] / "lua").glob("*.lua")
    }
    prelude = texts.pop(PRELUDE)
    return {
        name: "\n".join([prelude, *(_function(other, texts) for other in _INCLUDES.findall(text)), text])
        for name, text in texts.items()
    }


def _function(name: str, texts: dict[str, str]) -> str:
    return f"local function {name}()\n{texts[name]}\nend"


def register_scripts(client: Any) -> dict[str, Any]:
    """Bind the scripts to a client. A script is called by its hash, and loaded if the server does not have it yet."""
    return {name: client.register_script(text) for name, text in script_texts().items()}
