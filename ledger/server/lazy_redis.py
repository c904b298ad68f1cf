"""redis-py, loaded when something of it is first used.

It takes twice as long to load as all of ours, for parts that nobody here uses. `--help`, and a caller who does not ask
yet, need not wait for it:

    if TYPE_CHECKING:
        import redis
    else:
        from ledger import redis_on_demand as redis
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("redis"), name)
