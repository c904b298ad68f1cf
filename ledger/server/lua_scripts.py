"""The Lua scripts: each change of a job's state is one script, and therefore atomic."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

PRELUDE = "prelude"


@cache
def script_texts() -> dict[str, str]:
    """Return the text of each script by name, with the shared prelude prepended."""
    texts = {
        entry.stem: entry.read_text(encoding="utf-8") for entry in (Path(__file__).parents[1] / "lua").glob("*.lua")
    }
    prelude = texts.pop(PRELUDE)
    return {name: f"{prelude}\n{text}" for name, text in texts.items()}


def register_scripts(client: Any) -> dict[str, Any]:
    """Bind the scripts to a client. A script is called by its hash, and loaded if the server does not have it yet."""
    return {name: client.register_script(text) for name, text in script_texts().items()}
