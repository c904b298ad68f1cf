"""`cornerman audit` on a real server: everything of a range once, in order, chained from file to file."""

from __future__ import annotations

import json
import subprocess
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.bets import PlacedBet
from ledger.contracts.fight_changes import FightChange
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard
from ledger.contracts.schedules import Schedule
from ledger.feeds.fight_changes import ListedFeed
from ledger.jobs.job_index import MAX_PAGE_JOBS
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.drift_alarms import DriftAlarm
from ledger.models.fight_results import FightResult
from producer.audit.export import export_audit
from producer.audit.verification import verify_file
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.claims import REPORT, claim_one, submit
from tests.support.pools import ROOT

Run = Callable[..., Result]
BY = {"user": "ann@desk", "reason": "with redis://bob:hunter2@host/0"}
MODEL = "a" * 64
LATER = datetime(2100, 1, 1, tzinfo=UTC)
ABOUT: dict[str, Any] = {"id": "1-1", "fight_id": "fight", "fighters": ("Ana", "Bea"), "card_id": "card"}
BET = PlacedBet(
    job_id="job",
    card_id="card",
    fight_id="fight",
    event_start=datetime(2026, 1, 1, tzinfo=UTC),
    fighters=("Ana", "Bea"),
    fighter="Ana",
    bookmaker="North",
    price=2.0,
    stake=100,
    who="ann",
)
SCHEDULE = Schedule(name="nightly", cron="0 3 * * *", jobs=(CheckHealth(nonce="n"),))


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["audit", *arguments], catch_exceptions=False)


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_export_has_all_that_happened_in_its_order(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    submit(ledger, "one")
    ledger.settle(claim_one(ledger), REPORT)
    ledger.controls.set({"bootstrap": False}, **BY)
    ledger.aliases.set("champion", MODEL, user="ann", reason="first")
    alarm = DriftAlarm(model=MODEL, findings=(), fights=9, raised_at=datetime(2026, 1, 1, tzinfo=UTC), job_id="review")
    ledger.drift_alarms.raise_alarm(alarm)
    ledger.drift_alarms.clear(MODEL, user="ann", reason="seen")
    ledger.fight_results.add([FightResult(date=date(2026, 11, 21), fighters=("Ana", "Bea"), winner=0)], user="ann")
    ledger.bets.place(BET, taken=True)
    ledger.schedules.put(SCHEDULE, user="ann", reason="nightly")
    change = FightChange(feed="odds", kind="withdrawn", read_at=LATER, start=LATER, **ABOUT)
    none = ListedFeed(compared=0, fights={})
    ledger.feeds.changes.store("odds", none, BET.event_start, changed={}, removed=(), changes=[change])
    ledger.feeds.changes.finish(change)
    ledger.feeds.leases.join("odds", "n", source="a file", lease_seconds=10.0)
    ledger.submit(CheckHealth(nonce="two"), not_before=datetime.now(UTC) + timedelta(hours=1))

    path = tmp_path / "audit.jsonl"
    done = run("export", "-o", str(path), "--json")
    assert done.exit_code == ExitCode.OK, done.output
    lines = lines_of(path)
    kinds = [line["kind"] for line in lines]
    once = ("outcome", "alias", "drift_alarm", "fight_result", "bet", "schedule", "fight_change")
    assert Counter(kinds[1:-1]) == {"submission": 2, "control": 2, **dict.fromkeys(once, 1)}
    assert [line["at"] for line in lines[1:-1]] == sorted(line["at"] for line in lines[1:-1])
    content = {line["kind"]: line["content"] for line in reversed(lines)}  # the first of each kind
    first, last = content["begin"], content["end"]
    assert (first["namespace"], first["server"]) == (ledger.settings.namespace, ledger.address)
    assert last["counts"] == dict(Counter(kinds[1:-1]))
    assert (content["bet"]["entry"], content["bet"]["bet"]["stake"]) == ("placed", 100)
    assert content["schedule"]["after"]["cron"] == "0 3 * * *"
    assert content["fight_change"]["kind"] == "withdrawn"
    assert content["submission"]["payload"]["nonce"] == "one"
    assert content["outcome"]["outcome"]["report"]["status"] == "healthy"
    assert content["control"]["why"] == "with redis://[removed]@host/0"
    assert "hunter2" not in path.read_text()
    assert json.loads(done.stdout)["hash"] == lines[-1]["hash"]
    verified = run("verify", str(path), "--json")
    assert json.loads(verified.stdout)["files"][0]["hash"] == lines[-1]["hash"]


def test_a_file_continues_another_and_leaves_nothing_out(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    parts = [tmp_path / "1.jsonl", tmp_path / "2.parquet", tmp_path / "3.jsonl"]
    run("export", "-o", str(parts[0]))
    for former, path in pairwise(parts):
        submit(ledger, path.name)
        kind = path.suffix[1:]
        done = run("export", "--continue", str(former), "--format", kind, "-o", str(path), "--json")
        assert json.loads(done.stdout)["counts"] == {"submission": 1}, done.output
    assert run("verify", *map(str, parts)).exit_code == ExitCode.OK
    assert run("verify", str(parts[0]), str(parts[2])).exit_code == ExitCode.BROKEN_AUDIT


def test_a_broken_file_has_an_exit_code_of_its_own_and_is_not_continued(
    run: Run, ledger: Ledger, tmp_path: Path
) -> None:
    submit(ledger)
    path = tmp_path / "audit.jsonl"
    run("export", "-o", str(path))
    path.write_bytes(path.read_bytes().replace(b'"queue":"predict"', b'"queue":"train"'))
    verified = run("verify", str(path), "--json")
    assert verified.exit_code == ExitCode.BROKEN_AUDIT
    assert "line 2 is changed: its hash is" in json.loads(verified.stdout)["failure"]["message"]
    refused = run("export", "--continue", str(path), "-o", str(tmp_path / "next.jsonl"))
    assert refused.exit_code == ExitCode.BROKEN_AUDIT
    assert not (tmp_path / "next.jsonl").exists()


def test_ranges_that_cannot_be_exported_are_refused(
    run: Run, ledger: Ledger, tmp_path: Path, ledger_settings: LedgerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "audit.jsonl")
    assert "the server's clock is at" in run("export", "--until", "2100-01-01T00:00:00Z", "-o", path).stderr
    assert "is empty" in run("export", "--since", "1h", "--until", "2h", "-o", path).stderr
    assert "cannot be read" in run("export", "--continue", path, "-o", path).stderr
    assert "cannot be written" in run("export", "-o", str(tmp_path / "none" / "audit")).stderr
    run("export", "-o", path)
    assert "leave --since out" in run("export", "--since", "1h", "--continue", path, "-o", path).stderr
    monkeypatch.setenv("CORNERMAN_NAMESPACE", f"{ledger_settings.namespace}-other")
    assert "is of the ledger" in run("export", "--continue", path, "-o", path).stderr


def test_what_is_no_longer_held_is_named(ledger: Ledger, tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        submit(ledger, name)
        ledger.settle(claim_one(ledger), REPORT)
    (first, _), (second, _), *_ = ledger.server.execute("XRANGE", ledger.server.key("outcomes"), "-", "+")
    ledger.server.execute("XTRIM", ledger.server.key("outcomes"), "MINID", second)
    ledger.server.execute("DEL", ledger.server.key("job", "three"))
    export_audit(ledger, tmp_path / "audit.jsonl", "jsonl")
    lost = [line["content"] for line in lines_of(tmp_path / "audit.jsonl") if line["kind"] == "lost_outcomes"]
    assert [(each["first"], each["last"], each.get("job_id")) for each in lost] == [(1, 1, None), (3, 3, "three")]
    assert first < second


def test_what_others_do_meanwhile_is_in_this_file_or_in_the_next(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path
) -> None:
    """Three files while jobs go on: every job is in one of them, submitted and settled."""
    early, late = 2 * MAX_PAGE_JOBS + 100, 100
    ledger.submit_many([CheckHealth(nonce=f"early-{each}") for each in range(early)])

    def work() -> None:
        own = Ledger.connect(ledger_settings)
        for each in range(late):
            own.submit(CheckHealth(nonce=f"late-{each}"))
            for claim in own.claim("predict", "n#1/1", 10):
                own.settle(claim, REPORT)
        own.close()

    worker = threading.Thread(target=work)
    worker.start()
    former = None
    counts: Counter[str] = Counter()
    jobs: set[str] = set()
    for name in "012":
        if name == "2":
            worker.join()
        former = export_audit(ledger, tmp_path / name, "jsonl", former=former)
        counts += Counter(verify_file(tmp_path / name).counts)
        jobs |= {line["content"]["job_id"] for line in lines_of(tmp_path / name) if line["kind"] == "submission"}
    assert counts == {"submission": early + late, "outcome": 10 * late}
    assert len(jobs) == early + late


def test_an_export_holds_a_part_of_the_file_in_memory(ledger: Ledger, tmp_path: Path) -> None:
    fighters = (Fighter(name="Ana"), Fighter(name="Bea"))
    features = {f"a feature with a long name, the number {each}": float(each) for each in range(1000)}
    for each in range(80):
        fight = Fight(id="1", fighters=fighters, features=features)
        ledger.submit(PredictCard(card_id=str(each), event_start=LATER, fights=(fight,)))
    tracemalloc.start()
    done = export_audit(ledger, tmp_path / "audit", "jsonl")
    verify_file(tmp_path / "audit")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert done.counts["submission"] == 80
    assert peak_bytes < (tmp_path / "audit").stat().st_size / 2


def test_the_range_is_from_its_first_to_before_its_last_millisecond(ledger: Ledger, tmp_path: Path) -> None:
    submit(ledger)
    at = ledger.job_index.page().jobs[0].submitted_at
    tick = timedelta(milliseconds=1)
    counted = [
        export_audit(ledger, tmp_path / "audit.jsonl", "jsonl", since=since, until=until).counts.get("submission", 0)
        for since, until in ((at - tick, at), (at, at + tick), (at + tick, at + 2 * tick))
    ]
    assert counted == [0, 1, 0]


def test_the_hash_of_a_line_can_be_computed_by_common_tools(ledger: Ledger, tmp_path: Path) -> None:
    """As docs/concepts/audit.md shows."""
    submit(ledger)
    export_audit(ledger, tmp_path / "audit-1.jsonl", "jsonl")
    page = (ROOT / "docs/concepts/audit.md").read_text()
    (command,) = (line for line in page.splitlines() if line.startswith("sed "))
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S607
    assert done.stdout.split()[0] == lines_of(tmp_path / "audit-1.jsonl")[2]["hash"]
