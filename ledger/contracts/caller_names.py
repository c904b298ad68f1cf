"""Names of callers: who submits jobs. A name is on every record of a job, in log lines and in labels of metrics."""

from __future__ import annotations

import re

MAX_CALLER_CHARACTERS = 64
CALLER_RULE = (
    f"1 to {MAX_CALLER_CHARACTERS} letters, digits, `_`, `.`, `@` or `-`, of which the first is a letter or digit"
)
_CALLER = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.@-]{{0,{MAX_CALLER_CHARACTERS - 1}}}")


def is_caller(name: str) -> bool:
    """Return True if this can be the name of a caller."""
    return _CALLER.fullmatch(name) is not None
