"""A wrong address, place, folder or file: one sentence and an exit code, never a traceback."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger.settings import LedgerSettings
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from producer.service.demo_data import FIGHT_COLUMNS

Run = Callable[..., Result]


@pytest.fixture
def run(command_environment: None) -> Run:
    def invoke(*arguments: str, **variables: str | None) -> Result:
        return CliRunner().invoke(main, [*arguments, "--json"], env=variables, catch_exceptions=False)

    return invoke


def assert_said(result: Result, code: ExitCode, *words: str) -> None:
    assert result.exit_code == code
    message = json.loads(result.stdout)["failure"]["message"]
    assert len(result.stderr.splitlines()) == 1
    assert all(word in message for word in words), message
    assert "Error(" not in message


@pytest.mark.parametrize(
    "address",
    [
        "redis://:s3cret@127.0.0.1:1/0?foo=bar",
        "redis://:s3cret@a..b",
        "rediss://:s3cret@127.0.0.1:1/0?ssl_cert_reqs=maybe",
        "redis://:s3cret@127.0.0.1:1/0?socket_timeout=soon",
        "redis://:s3cret@127.0.0.1:99999/0",
    ],
)
@pytest.mark.parametrize("command", [("status",), ("up",), ("worker", "--pool", "train")], ids=" ".join)
def test_an_address_that_makes_no_sense(run: Run, command: tuple[str, ...], address: str) -> None:
    result = run(*command, CORNERMAN_REDIS_URL=address)
    messages = {"ssl_cert_reqs": "must be one of none, optional, required", "socket_timeout": "remove it"}
    reason = next((words for option, words in messages.items() if option in address), "cannot be read")
    assert_said(result, ExitCode.UNAVAILABLE, "CORNERMAN_REDIS_URL", reason)
    assert "s3cret" not in result.output


def test_a_database_that_the_server_does_not_have(run: Run, ledger_settings: LedgerSettings) -> None:
    address = f"{ledger_settings.redis_url}/4711"
    assert_said(run("status", CORNERMAN_REDIS_URL=address), ExitCode.UNAVAILABLE, "does not have the database")


@pytest.mark.parametrize("command", [("schedules", "show"), ("result",), ("jobs", "show")], ids=" ".join)
def test_an_argument_that_is_not_utf_8(run: Run, command: tuple[str, ...]) -> None:
    assert_said(run(*command, "name\udcff"), ExitCode.REFUSED, r"name\udcff", "not UTF-8")


@pytest.mark.usefixtures("command_environment")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_disk_that_is_full_before_the_output_is_complete(options: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "producer.cli.main", "status", *options]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == "cornerman: No space left on device: the output is not complete\n"
    assert ended.returncode == ExitCode.FAILED


@pytest.mark.parametrize("place", ["nonsense", "1-2-3", "-", "99999999999999999999", ""])
def test_a_place_that_is_none(run: Run, place: str) -> None:
    assert_said(run("follow", "--after", place), ExitCode.REFUSED, "is no place in the stream of outcomes")


def test_a_place_that_is_no_longer_there(run: Run) -> None:
    assert_said(run("follow", "--after", "1-1"), ExitCode.FAILED, "that came after 1-1")


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize("below", ["", "below"])
def test_a_data_folder_that_cannot_be_made(run: Run, tmp_path: Path, command: str, below: str) -> None:
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / below)
    result = run(command, CORNERMAN_DATA=folder, CORNERMAN_REDIS_URL=None)
    assert_said(result, ExitCode.REFUSED, "CORNERMAN_DATA", str(tmp_path / "file"))


@pytest.mark.parametrize("note", ["", '{"url": "redis://127.0', "[]"])
def test_half_a_note_about_a_server_is_none(run: Run, tmp_path: Path, note: str) -> None:
    (tmp_path / "server.json").write_text(note)
    result = run("status", CORNERMAN_DATA=str(tmp_path), CORNERMAN_REDIS_URL=None)
    assert_said(result, ExitCode.UNAVAILABLE, "cornerman up")


HEADER = ",".join(FIGHT_COLUMNS)
BAD_TABLES = {
    "false gz": ("fights.csv.gz", b"no gzip at all"),
    "cut off gz": ("fights.csv.gz", gzip.compress(HEADER.encode() * 1000)[:-20]),
    "damaged gz": ("fights.csv.gz", gzip.compress(HEADER.encode() * 1000)[:12] + b"\xff" * 50),
    "Latin-1": ("fights.csv", f"{HEADER}\n1,2024-01-01,José,b,red,2.0,2.0\n".encode("latin-1")),
    "a huge field": ("fights.csv", f'{HEADER}\n"{"x" * 200_000}"\n'.encode()),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_demo_on_a_table_that_cannot_be_read(run: Run, tmp_path: Path, name: str) -> None:
    file, content = BAD_TABLES[name]
    (tmp_path / file).write_bytes(content)
    assert_said(run("demo", "--data", str(tmp_path)), ExitCode.REFUSED, str(tmp_path / file), "cannot be read as CSV")


@pytest.mark.parametrize(
    ("day", "price", "message"),
    [("2024-01-0{day}", "evens", "'evens', which is not a number"), ("2024-02-3{day}", "2.0", "dates like 2024-12-14")],
)
def test_a_demo_on_values_that_are_none(run: Run, tmp_path: Path, day: str, price: str, message: str) -> None:
    rows = [f"{number},{day.format(day=number)},a,b,red,{price},2.0" for number in (1, 2, 3)]
    (tmp_path / "fights.csv").write_text("\n".join([HEADER, *rows, "4"]))
    (tmp_path / "fighters.csv").write_text("fighter_id,name\na,Ann\nb,Bea\n")
    assert_said(run("demo", "--data", str(tmp_path)), ExitCode.REFUSED, message)
