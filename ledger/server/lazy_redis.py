"""redis-py, loaded on first use.

It takes twice as long to load as all of cornerman. `--help`, and a caller who does not connect yet, need not wait for
it:

    if TYPE_CHECKING:
        import redis
    else:
        from ledger.server import lazy_redis as redis
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    value = globals()[name] = getattr(import_module("redis"), name)  # the next use finds it at once
    return value
