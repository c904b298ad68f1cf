"""Scratch folders: who removes them, and when."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from ledger.scratch_folders import PREFIX, ScratchFolder

MAKERS, FOLDERS = 4, 50


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_removed_with_its_files(temporary: Path) -> None:
    with ScratchFolder("test") as scratch:
        (scratch.path / "inner").mkdir()
        (scratch.path / "inner" / "file").write_text("x")
        assert scratch.path.parent == temporary
        assert scratch.path.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_and_no_other(temporary: Path) -> None:
    (temporary / "cornerman-season-1").mkdir()
    (temporary / f"{PREFIX}file").write_text("x")
    (temporary / "target").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(temporary / "target")
    others = set(temporary.iterdir())
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    maker = fork.Process(target=_hold, args=(sender,))
    maker.start()
    left = Path(receiver.recv())
    with ScratchFolder("test") as scratch:
        assert set(temporary.iterdir()) == {scratch.path, left, *others}  # it is in use
        assert maker.pid is not None
        os.kill(maker.pid, signal.SIGKILL)
        maker.join()
        with ScratchFolder("test") as second:
            assert set(temporary.iterdir()) == {scratch.path, second.path, *others}
    assert set(temporary.iterdir()) == others


def test_makers_of_the_same_moment_keep_theirs(temporary: Path) -> None:
    fork = multiprocessing.get_context("fork")
    makers = [fork.Process(target=_make_many) for _ in range(MAKERS)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0] * MAKERS
    assert list(temporary.iterdir()) == []


def test_without_locks_no_folder_counts_as_abandoned(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with ScratchFolder("first") as first, ScratchFolder("second") as second:
        assert set(temporary.iterdir()) == {first.path, second.path}
    assert list(temporary.iterdir()) == []


def _hold(sender: Connection) -> None:
    scratch = ScratchFolder("test")
    sender.send(str(scratch.path))
    signal.pause()


def _make_many() -> None:
    for _ in range(FOLDERS):
        with ScratchFolder("test") as scratch:
            (scratch.path / "file").write_text("x")
            assert (scratch.path / "file").exists()
