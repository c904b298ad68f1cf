from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace

from ledger.contracts.job_state import JobState
from tests.support.handler_context import NOW, claim_of
from workers.logs.job_lines import JobLineWriter, job_line
from workers.logs.setup import SharedRotatingFile, canonical_line, configure_logging, loss_outcome
from workers.settings import WorkerSettings

CLAIM = claim_of(
    "check_health",
    b'{"secret": "hush"}',
    job_id="j1",
    attempt=2,
    fence=7,
    claimed_at=NOW + timedelta(seconds=1.5),
)


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_the_line_holds_all_there_is_to_say_and_nothing_of_the_payload() -> None:
    line = canonical_line(CLAIM, "succeeded", queue_wait=timedelta(seconds=1.5), run_seconds=0.123456, model="abc")
    assert line == {
        "job_id": "j1",
        "kind": "check_health",
        "attempt": 2,
        "outcome": "succeeded",
        "model": "abc",
        "queue_wait_seconds": 1.5,
        "run_seconds": 0.1235,
    }


def test_what_is_not_known_is_absent() -> None:
    line = canonical_line(CLAIM, "released", queue_wait=None, run_seconds=None, model=None)
    assert set(line) == {"job_id", "kind", "attempt", "outcome"}


@pytest.mark.parametrize(
    ("state", "outcome"), [(None, "refused"), (JobState.QUEUED, "requeued"), (JobState.FAILED, "worker_lost")]
)
def test_how_a_lost_attempt_is_called(state: JobState | None, outcome: str) -> None:
    assert loss_outcome(state) == outcome


def test_own_and_foreign_lines_are_json_on_the_error_stream_and_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], root_logger: logging.Logger
) -> None:
    path = tmp_path / "logs" / "worker.log"
    configure_logging(WorkerSettings(log_file=path))
    structlog.get_logger("cornerman").info("job", job_id="j1")
    logging.getLogger("celery.anything").error("went %s", "wrong")
    logging.getLogger("celery.app.trace").info("chatter")
    for text in (capsys.readouterr().err, path.read_text()):
        own, foreign = (json.loads(line) for line in text.splitlines())
        assert (own["event"], own["job_id"], own["level"]) == ("job", "j1", "info")
        assert (foreign["event"], foreign["level"]) == ("went wrong", "error")


def test_the_file_is_rotated_once_for_all_who_write_it(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    writers = [SharedRotatingFile(path, limit_bytes=10, max_rotated=2) for _ in range(2)]
    for number in range(8):
        record = logging.LogRecord("n", logging.INFO, "p", 1, f"line {number} ", None, None)
        writers[number % 2].emit(record)
    for writer in writers:
        writer.close()
    # Each line but the last of a file fits in front of the limit: two a file, oldest dropped.
    assert [file.read_text().split() for file in sorted(tmp_path.glob("worker.log*")) if file.suffix != ".lock"] == [
        ["line", "6", "line", "7"],
        ["line", "4", "line", "5"],
        ["line", "2", "line", "3"],
    ]


def test_without_old_files_the_full_one_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    writer = SharedRotatingFile(path, limit_bytes=1, max_rotated=0)
    for number in range(2):
        writer.emit(logging.LogRecord("n", logging.INFO, "p", 1, f"line {number}", None, None))
    writer.close()
    assert path.read_text() == "line 1\n"


def test_lines_of_jobs_are_written_in_pieces_that_stay_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], root_logger: logging.Logger
) -> None:
    path = tmp_path / "worker.log"
    configure_logging(WorkerSettings(log_file=path))
    pieces: list[str] = []
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: pieces.append(record.getMessage()) or True)
    lines = [job_line(CLAIM, "succeeded", run_seconds=0.1, model=f"model {number}") for number in range(100)]
    JobLineWriter().write(lines)
    written = path.read_text().splitlines()
    assert written == capsys.readouterr().err.splitlines()
    assert [json.loads(line)["model"] for line in written] == [f"model {number}" for number in range(100)]
    assert max(map(len, pieces)) < 4096
    assert len(pieces) < len(lines)


def test_a_job_has_no_line_where_such_are_not_wanted(
    capsys: pytest.CaptureFixture[str], root_logger: logging.Logger
) -> None:
    configure_logging(WorkerSettings(log_level="WARNING"))
    JobLineWriter().write([job_line(CLAIM, "succeeded", run_seconds=0.1, model=None)])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("job_id", ["j1", 'Müller vs "Żak" 🥊'])
def test_a_line_of_a_job_is_spelled_like_every_other(
    job_id: str, capsys: pytest.CaptureFixture[str], root_logger: logging.Logger
) -> None:
    configure_logging(WorkerSettings())
    claim = replace(CLAIM, job_id=job_id)
    line = canonical_line(claim, "succeeded", queue_wait=timedelta(seconds=1.5), run_seconds=0.1, model="m")
    structlog.get_logger("cornerman").info("job", **line, peak_memory_mb=1.0)
    JobLineWriter().write([job_line(claim, "succeeded", run_seconds=0.1, model="m")])
    usual, quick = capsys.readouterr().err.splitlines()
    shape = re.compile(r'("peak_memory_mb": )[0-9.]+|("timestamp": ")[0-9T:.-]+Z')
    assert shape.sub(r"\1\2", usual) == shape.sub(r"\1\2", quick)
