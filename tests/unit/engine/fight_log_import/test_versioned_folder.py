"""New versions of a log's folder: a process killed at any step, and readers in between, leave one version whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.data.fight_log import FightLog, read_fight_log, write_fight_log
from engine.errors import ValidationError
from engine.fight_log_import.import_sources import ImportOptions, import_sources
from engine.fight_log_import.versioned_folder import KEPT_VERSIONS, locked, replace_version
from ledger.contracts.jobs import TrainEnsemble
from ledger.dataset_files import folder_digest
from tests.support.small_models import small_league
from workers.handlers.training.training_data import pin_data

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]

KILLED = """
import os, signal, sys
from pathlib import Path
from engine.data.fight_log import read_fight_log, write_fight_log
from engine.fight_log_import.versioned_folder import locked, replace_version

left = [0]

def counted(call):
    def wrapped(*args, **kwargs):
        for step in (lambda: None, lambda: call(*args, **kwargs)):
            result = step()
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

for kind, name in ((Path, "mkdir"), (Path, "rename"), (Path, "replace"), (Path, "symlink_to"), (os, "fsync")):
    setattr(kind, name, counted(getattr(kind, name)))
folder, newer = map(Path, sys.argv[1:])
log, step, status = read_fight_log(newer), 0, 1
while status != 0:
    step += 1
    child = os.fork()
    if child == 0:
        left[0] = step
        with locked(folder):
            replace_version(folder, lambda new: write_fight_log(log, new, ".csv"))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(status, flush=True)
    sys.stdin.readline()
"""


def part(first: int, last: int) -> FightLog:
    log = small_league(700).log
    fights = log.fights.iloc[first:last]
    lines = log.stat_lines[log.stat_lines["fight_id"].isin(fights["fight_id"])]
    return FightLog(fights, lines, log.fighters)


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    """A log as its owner wrote it, and newer tables of it."""
    write_fight_log(part(0, 80), tmp_path / "log")
    write_fight_log(part(0, 100), tmp_path / "newer")
    return tmp_path / "log", tmp_path / "newer"


def replace_by(log: FightLog) -> Callable[[Path], None]:
    return lambda folder: write_fight_log(log, folder)


def test_a_kill_at_any_step_leaves_the_old_or_the_new_log(tmp_path: Path) -> None:
    """The digest is over the bytes of the three tables, so that a mix has another one."""
    folder, newer = tmp_path / "log", tmp_path / "newer"
    write_fight_log(part(0, 20), folder, ".csv")
    write_fight_log(part(0, 30), newer, ".csv")
    old, new = folder_digest(folder), folder_digest(newer)
    seen = []
    arguments = [sys.executable, "-c", KILLED, str(folder), str(newer)]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for status in process.stdout:
            seen.append((folder_digest(folder), int(status)))
            assert len(list(folder.glob("*.csv"))) == 3, "the folder has its tables at any time"
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0
    assert {digest for digest, _ in seen} == {old, new}
    assert [digest for digest, status in seen if status == signal.SIGKILL].count(old) >= 10, "kills before the switch"
    assert seen[-1] == (new, 0)
    assert not list((folder / "versions").glob(".new-*"))
    assert read_fight_log(folder).digest() == part(0, 30).digest()


def test_a_reader_never_sees_a_mix(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    contents = [part(0, 60), part(10, 90)]
    digests = {log.digest() for log in contents}
    with locked(folder):
        replace_version(folder, replace_by(contents[0]))
    stop = threading.Event()

    def write() -> None:
        with locked(folder):
            for turn in range(12):
                replace_version(folder, replace_by(contents[turn % 2]))
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not stop.is_set():
        seen.add(read_fight_log(folder).digest())
        folder_digest(folder)
    writer.join()
    assert seen <= digests
    assert len(list((folder / "versions").iterdir())) == KEPT_VERSIONS


def test_a_job_reads_the_version_that_it_has_checked(logs: tuple[Path, Path]) -> None:
    folder, newer = logs
    import_sources(folder, [newer], ImportOptions())
    job = pin_data(TrainEnsemble(data=str(folder), data_digest=folder_digest(folder)))
    with locked(folder):
        replace_version(folder, replace_by(part(0, 60)))
    assert len(read_fight_log(Path(job.data)).fights) == 100
    assert len(read_fight_log(folder).fights) == 60
    with pytest.raises(ValidationError, match="have changed since the job was submitted"):
        pin_data(TrainEnsemble(data=str(folder), data_digest=job.data_digest))


def test_one_writer_at_a_time(logs: tuple[Path, Path]) -> None:
    folder, _ = logs
    with locked(folder), pytest.raises(ValidationError, match="another import is writing"):  # noqa: SIM117
        with locked(folder, wait_seconds=0.0):
            pass


def test_an_import_waits_for_another_one(logs: tuple[Path, Path]) -> None:
    folder, newer = logs
    with ThreadPoolExecutor(1) as threads:
        with locked(folder):
            waiting = threads.submit(import_sources, folder, [newer], ImportOptions())
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        assert waiting.result(timeout=30).changed


def test_a_table_that_was_replaced_by_hand_is_not_overwritten(logs: tuple[Path, Path]) -> None:
    folder, newer = logs
    import_sources(folder, [newer], ImportOptions())
    (folder / "fights.csv.gz").unlink()
    write_fight_log(part(0, 50), folder / "edited")
    (folder / "edited" / "fights.csv.gz").rename(folder / "fights.csv.gz")
    write_fight_log(part(0, 120), newer)
    with pytest.raises(ValidationError, match="was replaced by hand"):
        import_sources(folder, [newer], ImportOptions())
    assert len(read_fight_log(folder).fights) == 100


def test_a_killed_writer_leaves_the_lock_free(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - it is killed
        with locked(tmp_path / "log"):
            os.write(writing, b"x")
            signal.pause()
    os.read(reading, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with locked(tmp_path / "log"):
        pass
