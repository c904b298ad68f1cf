"""What the programs share: the address of the server, and the answer of a no-op job."""

from __future__ import annotations

import os
from typing import Any

URL = os.environ.get("PEERS_URL", "redis://127.0.0.1:6379")
VARIANT = os.environ.get("PEERS_VARIANT", "")
QUEUE_URL, RESULTS_URL = f"{URL}/0", f"{URL}/1"


def answer(model: str) -> dict[str, Any]:
    """Return what a no-op job of every queue returns."""
    check = {"name": "no-op", "passed": True, "detail": ""}
    return {"status": "healthy", "checks": [check], "model": model, "memory_mb": 1.0}
