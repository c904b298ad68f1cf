from __future__ import annotations

import pytest

from ledger.contracts import codec
from ledger.contracts.failures import JobRefusedError, LedgerUnavailableError
from ledger.contracts.jobs import CheckHealth
from workers.pool.liveness_probe import expected_answer
from workers.pool.pool import CHILD_START_SECONDS, WorkerPool
from workers.pool.scoreboard import ChildSlot, claim_token
from workers.settings import WorkerSettings
from workers.supervisor.rules import ChildSnapshot
from workers.supervisor.watchdog import Watchdog

BUSY = ChildSnapshot(ChildSlot(7, claim_token("job", 1), 0.0, 60.0))
IDLE = ChildSnapshot(ChildSlot(8))
DEAD = ChildSnapshot(ChildSlot(9), alive=False)


class Echo:
    """A ledger on which canaries are answered at once, wrongly, or not at all."""

    def __init__(self, answer: str = "right") -> None:
        self.mode = answer
        self.asked: list[bytes] = []
        self.liveness_probes = self

    def send(self, queue: str, question: bytes, ttl_seconds: float) -> None:
        if self.mode == "down":
            raise LedgerUnavailableError("down")
        self.asked.append(question)

    def answer(self, queue: str) -> bytes | None:
        known = {"right": self.asked[-1:], "first": self.asked[:1]}.get(self.mode, [])
        return expected_answer(known[0]) if known else b"wrong" if self.mode == "wrong" else None


def barks(
    echo: Echo, children: tuple[ChildSnapshot, ...] = (IDLE,), seconds: float = CHILD_START_SECONDS + 60.0
) -> bool:
    """Look four times a second and say whether the watchdog barks in the end."""
    watchdog = Watchdog(WorkerPool(WorkerSettings(liveness_probe_seconds=5.0, liveness_timeout_seconds=30.0), {}))
    for quarter in range(int(4 * seconds)):
        try:
            watchdog.tick(echo, children, quarter / 4)  # type: ignore[arg-type]
        except LedgerUnavailableError:
            assert echo.mode == "down"
    return watchdog.expired


@pytest.mark.parametrize(
    ("answer", "children", "expected"),
    [
        ("right", (IDLE,), False),
        ("wrong", (IDLE,), True),
        ("none", (IDLE,), True),
        ("first", (IDLE,), True),  # an old answer proves nothing
        ("none", (BUSY, IDLE), True),
        ("none", (BUSY,), False),
        ("none", (BUSY, DEAD), False),
        ("none", (DEAD,), True),
        ("none", (), True),
        ("down", (IDLE,), False),  # nobody can consume
    ],
)
def test_what_counts_as_a_sign(answer: str, children: tuple[ChildSnapshot, ...], expected: bool) -> None:
    assert barks(Echo(answer), children) is expected


def test_the_first_children_may_take_their_time() -> None:
    assert not barks(Echo("none"), seconds=CHILD_START_SECONDS + 20)


def test_time_in_which_nobody_looked_does_not_count() -> None:
    echo = Echo("right")
    watchdog = Watchdog(WorkerPool(WorkerSettings(), {}))
    watchdog.tick(echo, [IDLE], 0.0)  # type: ignore[arg-type]
    echo.mode = "none"
    for hour in range(1, 10):
        watchdog.tick(echo, [IDLE], 3600.0 * hour)  # type: ignore[arg-type]
    assert not watchdog.expired


def test_it_asks_at_its_interval_and_never_the_same() -> None:
    echo = Echo("right")
    assert not barks(echo, seconds=60)
    assert len(echo.asked) == len(set(echo.asked)) == 12


def test_an_answer_is_worked_out_from_the_question() -> None:
    one, other = (expected_answer(codec.encode(CheckHealth(nonce=nonce))) for nonce in "ab")
    assert one != other
    with pytest.raises(JobRefusedError):
        expected_answer(b"!")
