"""The pages that an idle child of a real pool shares with no other process."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.ledger import Ledger
from tests.support.endpoints import checks
from tests.support.small_models import trained

pytestmark = pytest.mark.new_interpreter

WAIT_SECONDS = 60
MAX_OWN_MB = 13.0  # 11 are measured, and 16 if the children are forked as the pool grows


def own_pages_mb(pid: int) -> float:
    """Return the pages that no other process maps."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", rollup, re.MULTILINE))) / 1024


def test_children_that_predict_are_forked_together_and_share_most_pages_while_idle(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None], tmp_path: Path
) -> None:
    bundle = trained(tmp_path / "models", seed=3, replicas=10)
    ledger.models.register(bundle.digest, {})
    ledger.aliases.set("champion", bundle.digest)
    pool = start_pool(concurrency=2, real=True)
    until(lambda: ledger.pools.alive()[0]["http"])
    address = ledger.pools.alive()[0]["http"]
    until(lambda: checks(address)[1].get("prediction"), WAIT_SECONDS)  # one of them has tested itself
    own = [own_pages_mb(child.pid) for child in pool.children()]
    assert len(own) == 2
    assert sum(own) / 2 < MAX_OWN_MB
    assert "children added" not in pool.log.read_text()
