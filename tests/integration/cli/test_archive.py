"""The commands about archived outcomes: what they print, for people and programs, and how they end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts import codec
from ledger.contracts.jobs import ArchiveOutcomes
from ledger.server.embedded_server import EmbeddedServer
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.archives import ArchiveShop
from tests.support.claims import OWNER

Run = Callable[..., Result]


@pytest.fixture
def shop(valkey: EmbeddedServer, tmp_path: Path) -> Iterator[ArchiveShop]:
    made = ArchiveShop(valkey.url, str(tmp_path / "archive"))
    yield made
    made.ledger.close()


@pytest.fixture
def command(command_environment: None, shop: ArchiveShop, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CORNERMAN_NAMESPACE", shop.ledger.settings.namespace)
    monkeypatch.setenv("CORNERMAN_ARCHIVE_URL", shop.place)
    return lambda *arguments: CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.fixture
def run(command: Run) -> Run:
    return lambda *arguments: command("archive", *arguments)


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def test_before_the_first_run_there_is_nothing_and_each_command_says_so(run: Run) -> None:
    assert document(run("status", "--json")) == {"archive": None}
    assert "cornerman archive run" in run("status").stderr
    assert run("find", "a").exit_code == ExitCode.UNKNOWN_JOB
    for name in ("list", "verify"):
        result = run(name, "--json")
        assert result.exit_code == ExitCode.UNAVAILABLE
        assert "cornerman archive run" in json.loads(result.stdout)["failure"]["message"]


def test_a_run_shows_the_report_of_the_worker(run: Run, shop: ArchiveShop) -> None:
    shop.settle("a")
    worker = threading.Thread(target=_work_once, args=[shop])
    worker.start()
    report = document(run("run", "--keep-days", "0", "--timeout", "60", "--json"))
    worker.join()
    assert (report["archived"], report["outcomes"], report["complete"]) == (1, 1, True)
    late = run("run", "--timeout", "0.01", "--json")
    assert late.exit_code == ExitCode.TIMEOUT


def _work_once(shop: ArchiveShop) -> None:
    claims: list[Any] = []
    while not claims:
        claims = shop.ledger.claim("monitor", OWNER)
    [claim] = claims
    job = codec.decode_job(claim.payload)
    assert isinstance(job, ArchiveOutcomes)
    shop.ledger.settle(claim, shop.archive(job))


def test_what_was_archived_is_shown_found_and_listed(run: Run, command: Run, shop: ArchiveShop) -> None:
    shop.settle("a", "b")
    shop.settle("bad", failed=True)
    shop.archive()
    [file] = shop.manifest().files
    state = document(run("status", "--json"))["archive"]
    assert (state["outcomes"], state["files"], state["bytes"]) == (3, 1, file.bytes)
    assert "all due archived" in run("status").stdout
    found = document(run("find", "b", "--json"))
    assert {name: found[name] for name in ("job_id", "kind", "state", "caller", "file")} == {
        "job_id": "b", "kind": "check_health", "state": "succeeded", "caller": "shop", "file": file.name,
    }  # fmt: skip
    unknown = run("find", "never", "--json")
    assert unknown.exit_code == ExitCode.UNKNOWN_JOB
    assert "never" in json.loads(unknown.stdout)["failure"]["message"]

    def listed(*options: str) -> list[str]:
        return [job["job_id"] for job in document(run("list", "--json", *options))["jobs"]]

    assert listed() == ["bad", "b", "a"]
    assert listed("--state", "failed") == ["bad"]
    assert listed("--limit", "1") == ["bad"]
    assert listed("--caller", "nobody") == listed("--until", "1h") == []
    assert "check_health" in run("list").stdout
    assert "No such jobs" in run("list", "--card", "none").stderr

    of_server = command("jobs", "list", "--json")
    assert document(of_server)["jobs"] == []
    assert "3 archived jobs are not in this list: cornerman archive list" in of_server.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("find",),
        ("list", "--state", "queued"),
        ("list", "--kind", "nonsense"),
        ("list", "--since", "yesterday-ish"),
        ("list", "--limit", "0"),
        ("list", "--limit", "10001"),
        ("run", "--keep-days", "-1"),
        ("run", "--keep-archived-days", "0"),
        ("run", "--timeout", "soon"),
        ("status", "surplus"),
        ("nonsense",),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_read(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["archive", *arguments], catch_exceptions=False)
    assert result.exit_code == ExitCode.REFUSED
    assert "Error" in result.stderr


def test_damaged_and_missing_files_are_named(run: Run, command: Run, shop: ArchiveShop) -> None:
    shop.settle("a")
    shop.archive()
    shop.settle("b")
    shop.archive()
    files = {file.name: file for file in shop.manifest().files}
    first, second = (files[document(run("find", job_id, "--json"))["file"]] for job_id in "ab")
    assert document(run("verify", "--json")) == {"files": 2, "outcomes": 2, "faults": []}
    assert "2 outcomes in 2 files are as written" in run("verify").stdout.replace("\n", " ")

    def path_of(name: str) -> Path:
        return Path(shop.place) / shop.manifest().ledger / name

    keys = path_of(first.keys_name)
    keys.write_bytes(bytes([keys.read_bytes()[0] ^ 1]) + keys.read_bytes()[1:])
    damaged = run("verify", "--json")
    assert damaged.exit_code == ExitCode.FAILED
    [fault] = json.loads(damaged.stdout)["faults"]
    assert fault["file"] == first.name
    assert first.keys_name in fault["fault"]

    path_of(second.name).unlink()
    gone = run("verify", "--json")
    assert gone.exit_code == ExitCode.FAILED
    assert {fault["file"] for fault in json.loads(gone.stdout)["faults"]} == {first.name, second.name}
    assert "Damaged" in run("verify").stdout
    for result in (run("list", "--json"), command("result", "b", "--json")):
        assert result.exit_code not in (ExitCode.OK, ExitCode.UNKNOWN_JOB)
        assert second.name in json.loads(result.stdout)["failure"]["message"]
