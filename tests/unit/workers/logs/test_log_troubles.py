"""A log that cannot be written keeps nobody from work: it is said once, and written again as soon as it can be."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from workers.logs import setup
from workers.settings import WorkerSettings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    logging.basicConfig(handlers=before, level=level, force=True)
    logging.captureWarnings(False)
    structlog.reset_defaults()


Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Return the lines on the standard error so far."""
    seen = ""

    def read() -> list[dict[str, Any]]:
        nonlocal seen
        seen += capsys.readouterr().err
        return [json.loads(line) for line in seen.splitlines()]

    return read


def configure(file: Path, **settings: Any) -> logging.Logger:
    setup.configure_logging(WorkerSettings(log_file=file, **settings))
    return logging.getLogger("cornerman.test")


def events(told: Told) -> list[str]:
    return [line["event"] for line in told()]


def file_handler() -> logging.Handler:
    return next(handler for handler in logging.getLogger().handlers if hasattr(handler, "_limit_bytes"))


@pytest.mark.usefixtures("capsys")
def test_a_file_that_cannot_be_rotated_grows_on(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pool.jsonl"
    obstacle = tmp_path / "pool.jsonl.1"
    obstacle.mkdir()
    log = configure(file, log_files=1)
    monkeypatch.setattr(file_handler(), "_limit_bytes", 10)
    for number in range(5):
        log.info("line %d", number)
    assert [json.loads(line)["event"] for line in file.read_text().splitlines() if "line" in line] == [
        f"line {number}" for number in range(5)
    ]
    assert events(told).count("log not rotated") == 1
    obstacle.rmdir()
    log.info("and now")
    assert "and now" in file.read_text()
    assert "line 4" in (tmp_path / "pool.jsonl.1").read_text()


def test_a_folder_that_cannot_be_written_keeps_no_line_from_the_standard_error(tmp_path: Path, told: Told) -> None:
    folder = tmp_path / "logs"
    folder.write_text("no folder")
    log = configure(folder / "pool.jsonl")
    for number in range(3):
        log.info("line %d", number)
    assert [event for event in events(told) if event.startswith("line")] == ["line 0", "line 1", "line 2"]
    (said,) = (line for line in told() if line["event"] == "log not written")
    assert said["handler"] == str(folder / "pool.jsonl")
    folder.unlink()
    log.info("and now")
    assert "and now" in (folder / "pool.jsonl").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_once(told: Told) -> None:
    log = configure(Path("/dev/full"))
    for number in range(3):
        log.info("line %d", number)
    (said,) = (line for line in told() if line["event"] == "log not written")
    assert f"Errno {errno.ENOSPC}" in said["error"]


def test_a_line_that_cannot_be_spelled_costs_that_line_alone(tmp_path: Path, told: Told) -> None:
    log = configure(tmp_path / "pool.jsonl")
    log.info("%d fights", "twelve")
    log.info("the next")
    assert [event for event in events(told) if event in ("the next", "log not written")][-1] == "the next"
    assert "the next" in (tmp_path / "pool.jsonl").read_text()


def test_who_rotates_and_stands_still_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pool.jsonl"
    log = configure(file)
    log.info("the first")
    monkeypatch.setattr(file_handler(), "_limit_bytes", 10)
    with open(f"{file}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writing = threading.Thread(target=log.info, args=("the second",), daemon=True)
        writing.start()
        writing.join(10)
        assert not writing.is_alive()
    assert "the second" in file.read_text()


def test_handlers_that_fail_together_hold_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = open(tmp_path / "stream", "w")  # noqa: SIM115 - it is to be closed
    monkeypatch.setattr(sys, "stderr", closed)
    log = configure(tmp_path / "stream" / "no folder")
    closed.close()
    threads = [threading.Thread(target=log.info, args=("line",), daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
