"""Jobs that exist already: commands report them, show the stored outcome, and submit a new job on request."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.reports import HealthReport, TrainingReport
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]

EVENT = {"id": "e", "commence_time": "2030-01-05T22:00:00Z", "home_team": "Ann Archer", "away_team": "Bea Brown"}
LATER = EVENT | {"id": "f", "commence_time": "2030-02-05T22:00:00Z"}
LOST = Failure(code=FailureCode.TIME_LIMIT_EXCEEDED, message="too long", retryable=True)
OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture
def run(command_environment: None) -> Run:
    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False, **options)

    return invoke


@pytest.fixture
def enqueue(run: Run) -> Run:
    def invoke(*options: str, events: tuple[dict[str, str], ...] = (EVENT,)) -> Result:
        return run("enqueue", "-", "--format", "american", "--json", *options, input=json.dumps(events))

    return invoke


@pytest.fixture
def train(run: Run, tmp_path: Path) -> Run:
    for table in ("fights", "stat_lines", "fighters"):
        (tmp_path / f"{table}.csv").write_text("x\n")
    return lambda *options: run("train", str(tmp_path), *options)


def receipt_in(result: Result) -> dict[str, Any]:
    document = json.loads(result.stdout)
    return dict(document["cards"][0]["receipt"] if "cards" in document else document.get("receipt", document))


def settle(ledger: Ledger, result: Failure | TrainingReport | HealthReport, queue: str = "predict") -> None:
    [claim] = ledger.claim(queue, "test")
    assert ledger.settle(claim, result)


def training_report(model: str) -> TrainingReport:
    return TrainingReport(
        model=model,
        alias="champion",
        data_digest="0" * 64,
        data_cutoff=date(2024, 1, 1),
        fights=1,
        events=1,
        features=1,
        bootstrap_samples=0,
        interval_method="anchored",
        metrics={},
        bundle_bytes=1,
    )


def test_a_card_that_failed_is_asked_again_when_told_to(enqueue: Run, ledger: Ledger) -> None:
    first = receipt_in(enqueue())
    settle(ledger, LOST)
    stored = enqueue("--wait")
    assert stored.exit_code == ExitCode.FAILED
    assert receipt_in(stored) == first | {"created": False}
    assert "already exists: ended as failed at " in stored.stderr
    assert stored.stderr.count("--force") == 2  # in the note about the existing job and in the hint
    assert ledger.queue_stats.depths()["predict"] == 0
    forced = enqueue("--force")
    assert receipt_in(forced)["created"]
    assert receipt_in(forced)["job_id"] != first["job_id"]
    assert "already exists" not in forced.stderr
    assert ledger.queue_stats.depths()["predict"] == 1


def test_what_was_cancelled_is_asked_again_when_told_to(run: Run, enqueue: Run) -> None:
    job_id = receipt_in(enqueue())["job_id"]
    run("cancel", job_id)
    shown = run("result", job_id)
    assert shown.exit_code == ExitCode.FAILED
    assert "--force" in shown.stderr
    assert "ended as cancelled" in enqueue().stderr
    assert [receipt_in(enqueue("--force"))["created"] for _ in range(2)] == [True, True]


def test_a_failure_that_would_come_again_and_a_refusal_do_not_advise_to_ask_again(
    run: Run, enqueue: Run, ledger: Ledger
) -> None:
    job_id = receipt_in(enqueue())["job_id"]
    settle(ledger, Failure(code=FailureCode.INTERNAL, message="no"))
    assert "--force" not in run("result", job_id).stderr
    assert "--force" not in enqueue(events=(EVENT | {"commence_time": "2020-01-05T22:00:00Z"},)).stderr


def test_a_job_that_waits_already_is_said(enqueue: Run) -> None:
    job_id = receipt_in(enqueue())["job_id"]
    again = enqueue()
    assert f"job {job_id} already exists and has not ended yet" in again.stderr
    assert not receipt_in(again)["created"]


def test_a_key_names_the_job_of_one_card(enqueue: Run, ledger: Ledger) -> None:
    assert receipt_in(enqueue("--key", "mine"))["job_id"] == "mine"
    assert not receipt_in(enqueue("--key", "mine"))["created"]
    assert enqueue("--key", "mine", events=(LATER,)).exit_code == ExitCode.REFUSED  # other content
    several = enqueue("--key", "ours", events=(EVENT, LATER))
    assert several.exit_code == ExitCode.REFUSED
    assert "2 cards" in several.stderr
    assert ledger.queue_stats.depths()["predict"] == 1


def test_every_card_of_a_feed_is_asked_again_under_a_key_of_its_own(enqueue: Run, ledger: Ledger) -> None:
    for options in ((), ("--force",)):
        assert enqueue(*options, events=(EVENT, LATER)).exit_code == ExitCode.OK
    assert ledger.queue_stats.depths()["predict"] == 4


@pytest.mark.parametrize(
    "arguments",
    [["enqueue", "-", "--format", "american"], ["train", "."], ["train", ".", "--out", "model"]],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_key_and_a_fresh_one_exclude_each_other(run: Run, arguments: list[str]) -> None:
    assert run(*arguments, "--key", "k", "--force", input="[]").exit_code == ExitCode.REFUSED


def test_an_old_training_does_not_look_like_a_new_one(train: Run, ledger: Ledger) -> None:
    assert receipt_in(train("--json"))["created"]
    settle(ledger, training_report(OLD), "train")
    ledger.aliases.set("champion", NEW)  # what another training did since
    for options in ((), ("--wait",)):
        shown = train(*options)
        assert shown.exit_code == ExitCode.OK
        assert "already exists: ended as succeeded at " in shown.stderr
        assert f"trained nothing and moved no alias: champion is {NEW[:12]}" in shown.stderr
        assert "Enqueued" not in shown.stdout
    assert "Trained earlier, at " in shown.stdout
    document = json.loads(train("--wait", "--json").stdout)
    assert not document["receipt"]["created"]
    assert document["outcome"]["report"]["model"] == OLD
    assert ledger.aliases.resolve("champion") == NEW


def test_a_training_that_failed_is_done_again_when_told_to(train: Run, ledger: Ledger) -> None:
    train()
    settle(ledger, LOST, "train")
    stored = train("--wait", "--json")
    assert stored.exit_code == ExitCode.FAILED
    document = json.loads(stored.stdout)
    assert not document["receipt"]["created"]
    assert document["failure"]["code"] == FailureCode.TIME_LIMIT_EXCEEDED
    assert "--force submits a new job" in stored.stderr
    assert receipt_in(train("--force", "--json"))["created"]
    assert receipt_in(train("--key", "mine", "--json"))["job_id"] == "mine"
    assert ledger.queue_stats.depths()["train"] == 2


def test_an_alias_in_the_shape_of_a_digest_is_refused(train: Run, ledger: Ledger) -> None:
    shown = train("--alias", OLD)
    assert shown.exit_code == ExitCode.REFUSED
    assert "shape of a model's digest" in shown.stderr
    assert ledger.queue_stats.depths()["train"] == 0


def test_a_new_training_says_nothing_of_old_ones(train: Run) -> None:
    shown = train()
    assert "Enqueued" in shown.stdout
    assert "already exists" not in shown.stderr
