"""A newer fight log on a real fleet: the update, its promotion, answers from the new state, and what stops it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from engine.data.fight_log import write_fight_log
from engine.model.bundle import Bundle
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import Fight, Fighter, MatrixColumns, PredictCard, UpdateModel
from ledger.contracts.reports import CardReport, FightFailure, FightReport
from ledger.ledger import Ledger
from ledger.models.drift_alarms import DriftAlarm
from ledger.operations.control_store import ControlConflictError
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.small_models import NEWER, past_log, set_alias, small_league, trained, trained_on_the_past
from workers.handlers.training.model_publication import SUMMARY_FIELDS

WAIT_SECONDS = 60
LATER = datetime(2100, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("command_environment")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with the log that the model knows, with half of the newer fights, and with all of them."""
    folder = tmp_path_factory.mktemp("logs")
    whole = small_league().log
    contents = {"old": past_log(), "half": whole.before(NEWER + timedelta(days=30)), "whole": whole}
    for name, log in contents.items():
        write_fight_log(log, folder / name)
    return {name: folder / name for name in contents}


@pytest.fixture(scope="module")
def trained_base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained_on_the_past(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(trained_base: Bundle, ledger: Ledger, tmp_path: Path, start_pool: Callable[..., Any]) -> Bundle:
    """The champion, which knows the past only, with a pool that trains and one that predicts."""
    shutil.copytree(trained_base.folder, tmp_path / "models" / trained_base.digest)
    manifest = trained_base.manifest
    ledger.models.register(trained_base.digest, {name: manifest[name] for name in SUMMARY_FIELDS if name in manifest})
    ledger.aliases.set("champion", trained_base.digest, user="test", reason="to begin")
    for queue in ("train", "predict"):
        start_pool(queue=queue, real=True, concurrency=1)
    return trained_base


@pytest.fixture
def card() -> PredictCard:
    """A fight of a newcomer, whom the past does not know, against an old hand."""
    log = small_league().log
    known = past_log().fighters["fighter_id"]
    names = dict(zip(log.fighters["fighter_id"], log.fighters["name"], strict=True))
    newcomer = next(fighter for fighter in log.fights["red_id"].iloc[::-1] if fighter not in set(known))
    pair = (Fighter(name=names[newcomer]), Fighter(name=names[known.iloc[0]]))
    start = datetime(2026, 1, 10, tzinfo=UTC)
    return PredictCard(card_id="c", event_start=start, deadline=LATER, fights=(Fight(id="1", fighters=pair),))


def cornerman(*arguments: str, code: ExitCode = ExitCode.OK) -> Any:
    result = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def answered(ledger: Ledger, card: PredictCard) -> tuple[Outcome, CardReport]:
    outcome = ledger.wait(ledger.submit(card).job_id, WAIT_SECONDS)
    assert isinstance(outcome.report, CardReport), outcome
    return outcome, outcome.report


def updated(ledger: Ledger, base: str, log: Path) -> Outcome:
    return ledger.wait(ledger.submit(UpdateModel(base=base, data=str(log))).job_id, WAIT_SECONDS)


def test_an_update_serves_fighters_whom_the_training_did_not_know(
    base: Bundle, logs: dict[str, Path], card: PredictCard, ledger: Ledger
) -> None:
    _, before = answered(ledger, card)
    assert isinstance(before.fights[0], FightFailure)
    assert before.fights[0].failure.code is FailureCode.UNKNOWN_FIGHTER
    assert before.state is not None
    assert (str(before.state.cutoff), before.state.age_days) == (base.manifest["state"]["cutoff"], 77)

    done = cornerman("models", "update", str(logs["whole"]), "--promote")
    report = done["outcome"]["report"]
    assert (report["base"], report["changed"], report["verdict"]["promote"]) == (base.digest, True, True)
    assert (done["change"]["before"], done["change"]["after"]) == (base.digest, report["model"])
    assert ledger.aliases.resolve("champion") == report["model"]

    outcome, after = answered(ledger, msgspec.structs.replace(card, card_id="again"))
    assert isinstance(after.fights[0], FightReport)
    assert after.model == report["model"]
    assert after.state is not None
    assert (after.state.digest, str(after.state.cutoff)) == (report["state"]["digest"], report["state"]["cutoff"])
    assert after.state.age_days == 14
    assert after.data_cutoff == before.data_cutoff  # the members have learnt nothing
    assert outcome.origin is not None
    assert outcome.origin.states[after.model].digest == report["state"]["digest"]
    assert cornerman("replay", outcome.job_id)["report"]["verdict"] == "same"
    assert cornerman("replay", done["outcome"]["job_id"], "--retrain")["report"]["verdict"] == "same"

    shown = cornerman("models", "show", "champion")["summary"]
    assert (shown["derived"]["base"], shown["state"]["cutoff"]) == (base.digest, report["state"]["cutoff"])
    again = cornerman("models", "update", str(logs["whole"]), "--promote")  # as a timer would, without news
    assert (again["outcome"]["report"]["changed"], again["change"]) == (False, None)
    cornerman("models", "rollback", "--reason", "a test")
    refused = cornerman("models", "update", str(logs["whole"]), "--promote", code=ExitCode.REFUSED)
    assert "it was rolled back from" in refused["failure"]["message"]
    assert ledger.aliases.resolve("champion") == base.digest


def test_an_alias_that_was_moved_meanwhile_stays(
    base: Bundle, logs: dict[str, Path], ledger: Ledger, tmp_path: Path
) -> None:
    outcome = updated(ledger, "champion", logs["half"])
    newer = trained(tmp_path / "models", 1)
    set_alias(ledger, "champion", newer.digest)
    with pytest.raises(ControlConflictError):
        ledger.promotions.promote_update(
            "champion", outcome, verify=ledger.verification.verify_model, user="test", reason="late"
        )
    assert ledger.aliases.resolve("champion") == newer.digest


def test_an_update_does_not_undo_a_drift_alarm(base: Bundle, logs: dict[str, Path], ledger: Ledger) -> None:
    alarm = DriftAlarm(model=base.digest, findings=(), fights=100, raised_at=datetime.now(UTC), job_id="j")
    ledger.drift_alarms.raise_alarm(alarm)
    refused = cornerman("models", "update", str(logs["whole"]), "--promote", code=ExitCode.REFUSED)
    assert "a drift alarm stands" in refused["failure"]["message"]
    assert ledger.aliases.resolve("champion") == base.digest


def test_an_update_inherits_the_tries_and_the_anchor_of_its_base(
    base: Bundle, logs: dict[str, Path], ledger: Ledger
) -> None:
    first = updated(ledger, "champion", logs["half"])
    assert isinstance(first.report, UpdateReport)
    evidence = {"anchor": "a" * 64}
    ledger.aliases.move(
        "champion", base.digest, verify=lambda digest: None, user="test", reason="a sequence", evidence=evidence
    )
    change = ledger.promotions.promote_update(
        "champion", first, verify=ledger.verification.verify_model, user="test", reason="weekly"
    )
    assert change is not None
    assert ledger.promotions.anchor("champion", first.report.model) == "a" * 64
    assert ledger.models.origin(first.report.model) == base.digest


def test_a_reanchored_model_becomes_challenger_and_its_answers_are_replayed(
    base: Bundle, logs: dict[str, Path], card: PredictCard, ledger: Ledger
) -> None:
    done = cornerman("models", "reanchor", str(logs["half"]), "--cutoff", "2025-11-20")
    report = done["outcome"]["report"]
    assert report["anchoring"]["fights"] > 10
    assert [reason["code"] for reason in report["verdict"]["reasons"]] == ["intervals_renewed"]
    assert ledger.aliases.resolve("challenger") == report["model"]
    assert ledger.aliases.resolve("champion") == base.digest
    assert ledger.models.origin(report["model"]) == report["model"]
    known = past_log().fighters["name"].iloc[:2]
    fight = Fight(id="1", fighters=(Fighter(name=known.iloc[0]), Fighter(name=known.iloc[1])))
    answers = []
    for model in ("champion", "challenger"):
        outcome, answer = answered(ledger, msgspec.structs.replace(card, card_id=model, fights=(fight,), model=model))
        assert isinstance(answer.fights[0], FightReport)
        answers.append(answer.fights[0].fighters[0])
        assert cornerman("replay", outcome.job_id)["report"]["verdict"] == "same"
    assert answers[0].members != {}
    assert answers[0].intervals != answers[1].intervals
    refused = cornerman("models", "reanchor", str(logs["half"]), "--alias", "champion", code=ExitCode.REFUSED)
    assert "judged first" in refused["failure"]["message"]
    too_few = cornerman(
        "models", "promote", "challenger", "--data", str(logs["whole"]), "--reason", "x", code=ExitCode.FAILED
    )
    assert "are too few to compare" in json.dumps(too_few)


def test_what_is_no_log_is_a_typed_failure(base: Bundle, ledger: Ledger, tmp_path: Path) -> None:
    matrix = MatrixColumns(label="won", event="event", date="date")
    for job in (UpdateModel(data=str(tmp_path / "nowhere")), UpdateModel(data="matrix.csv", matrix=matrix)):
        outcome = ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS)
        assert outcome.failure is not None
        assert outcome.failure.code is FailureCode.INVALID_INPUT
