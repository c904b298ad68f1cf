"""The temporary files of a pool are gone after it, however it or a child of it ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.scratch_folders import PREFIX
from tests.support.pools import StartPool

WAIT_SECONDS = 30


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder of the temporary files of the test's pools."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def test_a_pool_that_ends_leaves_nothing(start_pool: StartPool, temporary: Path, until: Callable[..., None]) -> None:
    pool = start_pool(TMPDIR=str(temporary))
    [scratch] = temporary.iterdir()
    assert scratch.name.startswith(f"{PREFIX}pool-")
    until(lambda: {path.name for path in scratch.glob("child-*")} == names(child.pid for child in pool.children()))
    assert pool.stop() == 0
    assert list(temporary.iterdir()) == []


def test_the_files_of_a_killed_child_are_removed(
    start_pool: StartPool, ledger: Ledger, temporary: Path, until: Callable[..., None]
) -> None:
    pool = start_pool(TMPDIR=str(temporary))
    [scratch] = temporary.iterdir()
    killed = writing_child(ledger, scratch, until)
    psutil.Process(killed).kill()
    until(lambda: not (scratch / f"child-{killed}").exists())
    until(lambda: {path.name for path in scratch.glob("child-*")} == names(child.pid for child in pool.children()))
    assert pool.stop(signal.SIGTERM) == 0
    assert list(temporary.iterdir()) == []


def test_the_files_of_a_killed_pool_are_removed_by_the_next(
    start_pool: StartPool, ledger: Ledger, temporary: Path, until: Callable[..., None]
) -> None:
    pool = start_pool(TMPDIR=str(temporary))
    [left] = temporary.iterdir()
    writing_child(ledger, left, until)
    children = pool.children()
    pool.stop(signal.SIGKILL)
    psutil.wait_procs(children, WAIT_SECONDS)  # the kernel kills them with it
    assert list(temporary.iterdir()) == [left]

    following = start_pool(TMPDIR=str(temporary))
    assert not left.exists()
    assert following.stop() == 0
    assert list(temporary.iterdir()) == []


def writing_child(ledger: Ledger, scratch: Path, until: Callable[..., None]) -> int:
    """Return the process id of a child that has written a temporary file and goes on."""
    ledger.submit(CheckHealth(nonce="write_temporary_file"))
    until(lambda: len(list(scratch.glob("child-*/*"))) == 1)
    [written] = scratch.glob("child-*/*")
    return int(written.parent.name.removeprefix("child-"))


def names(pids: Iterable[int]) -> set[str]:
    return {f"child-{pid}" for pid in pids}
