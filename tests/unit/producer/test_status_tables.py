from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from ledger.jobs.outcome_stats import RecentOutcomes
from ledger.jobs.queue_stats import QueueBacklog
from ledger.operations.control_store import ControlChange
from ledger.server.server_memory import ServerMemory
from producer.operations.overview import Overview
from producer.output.status_tables import overview_group
from producer.output.table_parts import duration_text

DIGEST = "ab" * 32
PAUSED = ControlChange(
    place="1-0",
    at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    who="ann@desk",
    name="pause.train",
    before=None,
    after="on",
    why="the disk is [full]",
)
POOL = {
    "name": "ringside#1",
    "node": "ringside",
    "queues": ["predict"],
    "children": 4,
    "busy": 3,
    "wanted": 5,
    "memory_mb": 812.4,
    "memory_limit_mb": 4096,
    "version": "0.1.0",
    "uptime_seconds": 3725.0,
    "healthy": True,
    "closing": False,
    "stopped": [],
}


def view(
    *pools: dict[str, Any], switches: list[ControlChange] | None = None, limit_bytes: int | None = None
) -> Overview:
    return Overview(
        queues={"predict": QueueBacklog(1200, 75.2, 2), "train": QueueBacklog(0, 0.0, 0)},
        pools=list(pools),
        lately=RecentOutcomes(90, 300.0, 18.0, {"succeeded": 80, "worker_lost": 10}),
        dead_letters=10,
        aliases={"champion": DIGEST},
        switches=switches or [],
        server=ServerMemory(50 * 2**20, limit_bytes),
    )


def drawn(overview: Overview) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(overview_group(overview))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_all_that_stands_in_the_overview_is_shown() -> None:
    text = drawn(view(POOL, switches=[PAUSED], limit_bytes=2**30))
    cells = ["1,200", "1 min 15 s", "PAUSED", "ringside", "812 of 4,096 MB", "0.1.0", "1 h 2 min", "working"]
    cells += ["pause.train=on", "2026-01-02 03:04:05", "ann@desk", "the disk is [full]"]
    cells += [
        "18.0 a minute over 5 min (succeeded 80, worker_lost 10)",
        "dead letters: 10",
        f"champion -> {DIGEST[:12]}",
    ]
    cells += ["server: 50 of 1,024 MB"]
    assert [cell for cell in cells if cell not in text] == []


def test_what_is_not_there_takes_no_room() -> None:
    text = drawn(view())
    assert "Pools" not in text
    assert "operator" not in text
    assert "PAUSED" not in text


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"healthy": False}, "UNHEALTHY"),
        ({"closing": True}, "closing"),
        ({"stopped": ["predict"]}, "stopped: predict"),
    ],
)
def test_the_state_of_a_pool(fields: dict[str, Any], state: str) -> None:
    assert state in drawn(view(POOL | fields))


def test_an_older_pool_that_says_less_is_shown_all_the_same() -> None:
    older = {"name": "a#1", "node": "a", "queues": ["predict"], "children": 2, "busy": 1}
    assert "working" in drawn(view(older))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (59.9, "59 s"), (60.0, "1 min"), (3599.0, "59 min 59 s"), (90_061.0, "1 d 1 h")],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_waiting_jobs_of_each_caller_are_shown_if_there_are_callers() -> None:
    assert "by caller" not in drawn(view(POOL))
    overview = view(POOL)
    overview.queues["predict"] = QueueBacklog(1200, 75.2, 2, {"odds-east": 3, "night-poller": 1100})
    shown = drawn(overview)
    assert shown.index("night-poller") < shown.index("odds-east")
    assert "1,100" in shown
