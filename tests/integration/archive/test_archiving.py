"""Archiving: files are merged, and a kill or another archiver at any moment loses and doubles nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.jobs import ArchiveOutcomes
from ledger.server.embedded_server import EmbeddedServer
from tests.support.archives import ArchiveShop, archived_ids
from tests.support.pools import ROOT
from workers.handlers.archive_outcomes import archive_files, archive_writer, due_outcomes, merging

KILLED = """
import os, signal, sys
import fsspec, numpy, pyarrow.parquet  # so that the children need not import them
from ledger.ledger import Ledger, LedgerSettings
from ledger.remote_folder import FsspecFolder
from ledger.server.server import Server
from tests.support.archives import ALL_DUE, handler_context
from workers.handlers.archive_outcomes import archive_outcomes, due_outcomes, merging

url, namespace, place = sys.argv[1:]
due_outcomes._IDS_AT_ONCE, merging.MERGED_RUNS = 3, 3

def killed_at(event):
    '''Archive, and be killed just before or after a change of the store or the server.'''
    left = [event]
    def counted(call):
        def wrapped(self, *args, **kwargs):
            if call.__name__ == "run_script" and args[0] == "archive_due":
                return call(self, *args, **kwargs)
            for step in (lambda: None, lambda: call(self, *args, **kwargs)):
                result = step()
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result
        return wrapped
    for kind, names in ((FsspecFolder, ("write", "put", "remove_file")), (Server, ("run_script",))):
        for name in names:
            setattr(kind, name, counted(getattr(kind, name)))
    ledger = Ledger.connect(LedgerSettings(redis_url=url, namespace=namespace, archive_url=place))
    archive_outcomes.archive_outcomes(ALL_DUE, handler_context(ledger))

for line in sys.stdin:  # forks before a thread is started
    child = os.fork()
    if child == 0:
        killed_at(int(line))
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def shop(valkey: EmbeddedServer, tmp_path: Path) -> Iterator[ArchiveShop]:
    made = ArchiveShop(valkey.url, str(tmp_path / "archive"))
    yield made
    made.ledger.close()


def test_files_are_merged_and_every_outcome_is_found(shop: ArchiveShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MERGED_RUNS", 3)
    monkeypatch.setattr(merging, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(archive_files, "MAX_GROUP_ROWS", 16)
    monkeypatch.setattr(archive_files, "MAX_FILE_BYTES", 20_000)
    names = [f"job-{number}" for number in range(120)]
    ids = []
    for first in range(0, 120, 10):
        ids += shop.settle(*names[first : first + 10])
        if first == 10:
            before = shop.outcomes(ids)
        shop.archive()
    assert {file.level for file in shop.manifest().files} == {1, 2}
    assert len({file.run for file in shop.manifest().files if file.level == 2}) == 1
    assert sorted(archived_ids(shop)) == sorted(ids)
    assert shop.outcomes(ids[:20]) == before
    assert all(outcome is not None for outcome in shop.outcomes(ids))
    for job_id in ids:
        shop.ledger.server.execute("DEL", shop.ledger.server.key("forgotten", job_id))
    assert shop.outcomes(ids[:20]) == before
    assert all(outcome is not None for outcome in shop.outcomes(ids))
    assert shop.outcomes(["job-120"]) == [None]


def test_replaced_and_orphaned_files_are_removed_later(shop: ArchiveShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MERGED_RUNS", 2)
    for name in "abcd":
        shop.settle(name)
        shop.archive()
    folder = Path(shop.place) / shop.manifest().ledger
    (folder / "month=2026-01").mkdir()
    (folder / "month=2026-01" / "0.parquet").touch()
    assert len([*folder.rglob("*.parquet")]) > 2
    monkeypatch.setattr(archive_writer, "READERS_SECONDS", -1.0)
    monkeypatch.setattr(archive_writer, "ORPHAN_SECONDS", 0.0)
    shop.archive()
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")] == [
        file.name for file in shop.manifest().files
    ]
    assert len([*folder.rglob("*.keys")]) == len([*(folder / "manifests").iterdir()]) == 1
    assert sorted(archived_ids(shop)) == [*"abcd"]


def test_the_retention_of_the_archive_removes_whole_files(shop: ArchiveShop) -> None:
    shop.settle("a", "b")
    report = shop.archive(ArchiveOutcomes(keep_days=0, keep_archived_days=1e-9))
    assert (report.archived, report.expired, report.outcomes) == (2, 2, 0)
    assert shop.outcomes(["a"]) == [None]


def test_what_changes_while_it_is_archived_stays(shop: ArchiveShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.settle("a", "b", "c")
    drop = due_outcomes.drop

    def interrupted(ledger: Any, file: str, dues: Any) -> Any:
        ledger.server.execute("HSET", ledger.server.key("job", "b"), "superseded_by", "d")
        return drop(ledger, file, dues)

    monkeypatch.setattr(archive_writer, "drop", interrupted)
    assert shop.archive().archived == 2
    assert shop.on_server() == {"b"}
    assert sorted(archived_ids(shop)) == ["a", "c"]
    monkeypatch.undo()
    assert shop.archive().archived == 1
    [outcome] = shop.outcomes(["b"])
    assert outcome is not None
    assert outcome.superseded_by == "d"


@pytest.mark.parametrize("step", ["archive_publish", "archive_drop"])
def test_two_that_archive_at_once_lose_and_double_nothing(
    shop: ArchiveShop, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    ids = shop.settle(*"abcdef")
    before = shop.outcomes(ids)
    run, busy = shop.ledger.server.run_script, [False]

    def interrupted(name: str, *args: Any) -> Any:
        if name == step and not busy[0]:
            busy[0] = True
            shop.settle("late")
            shop.archive()  # another archiver does all of it before the first one goes on
        return run(name, *args)

    monkeypatch.setattr(shop.ledger.server, "run_script", interrupted)
    shop.archive()
    monkeypatch.undo()
    shop.archive()
    assert sorted(archived_ids(shop)) == sorted([*ids, "late"])
    assert shop.on_server() == set()
    assert shop.outcomes(ids) == before
    assert not any(file.pending for file in shop.manifest().files)


def test_a_kill_at_any_moment_loses_and_doubles_nothing(shop: ArchiveShop) -> None:
    settings = shop.ledger.settings
    place = (str(settings.redis_url), settings.namespace, shop.place)
    program = [sys.executable, "-c", KILLED, *place]
    chosen = random.Random(11)
    ids: list[str] = []
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for event in range(1, 24):
            ids += shop.settle(*(f"{event}-{number}" for number in range(chosen.randint(2, 8))))
            before = {job_id: shop.ledger.outcome(job_id) for job_id in ids[-30:]}
            print(event, file=child.stdin, flush=True)
            next(line for line in child.stdout if line.startswith("ended"))
            assert {job_id: shop.ledger.outcome(job_id) for job_id in before} == before, f"killed at {event}"
            held = archived_ids(shop)
            assert len(held) == len(set(held)), f"killed at {event}"
            assert set(held) | shop.on_server() >= set(ids), f"killed at {event}"
        child.stdin.close()
    shop.archive()
    assert sorted(archived_ids(shop)) == sorted(ids)
    assert shop.on_server() == set()
    assert None not in shop.outcomes(ids)
