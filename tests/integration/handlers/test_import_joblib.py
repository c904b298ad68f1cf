"""Another system's estimators through the real command line, and served by a real pool under their digest.

One import unpickles in a process of its own, as for a user; the other tests let the runner work in this one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from click.testing import CliRunner, Result

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import Fight, Fighter, IntervalOptions, PredictCard, Quote
from ledger.contracts.reports import CardReport, FightFailure, FightReport
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.foreign_estimators import SHORT, fights, later_fights, other_systems, plain_system, save
from tests.support.local_runner import runner_in_this_process

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WAIT_SECONDS = 60
TRUSTED = ["--trust", "--trained-until", "2024-01-01"]


@pytest.fixture(scope="module")
def system() -> dict[str, Any]:
    return plain_system()


@pytest.fixture
def files(system: dict[str, Any], tmp_path: Path) -> list[str]:
    return [f"{name}={path}" for name, path in save(system, tmp_path).items()]


def imports(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", "import-joblib", *arguments], catch_exceptions=False)


def test_without_scikit_learn_the_extra_that_has_it_is_named(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # as Python has it for a module that is not to be found
    result = imports(*files)
    assert result.exit_code == ExitCode.NOT_INSTALLED
    assert "sklearn is not installed; get it with: pip install 'cornerman[engine]'" in result.stderr


@pytest.fixture
def here() -> Iterator[None]:
    with runner_in_this_process():
        yield


def card(X: Any, corner: str = "red") -> PredictCard:
    def bout(row: int) -> Fight:
        ana, bea = f"Ana {row}", f"Bea {row}"
        return Fight(
            id=str(row),
            fighters=(Fighter(name=ana, corner=corner), Fighter(name=bea)),  # type: ignore[arg-type]
            features={name: None if np.isnan(value) else value for name, value in X.iloc[row].items()},
            quotes=(Quote(bookmaker="Acme", prices={ana: 30.0, bea: 1.02}),),
        )

    return PredictCard(
        card_id=corner,
        event_start=datetime(2100, 1, 1, tzinfo=UTC),
        fights=tuple(bout(row) for row in range(len(X))),
    )


@pytest.mark.usefixtures("command_environment", "here")
def test_without_trust_nothing_is_unpickled(files: list[str], tmp_path: Path) -> None:
    class Burglar:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "burgled"),)

    listed = imports(*files)
    assert (listed.exit_code, "add --trust" in listed.stdout) == (ExitCode.OK, True)
    document = json.loads(imports(*files, "--json").stdout)
    assert {entry["member"] for entry in document["files"]} == set(SHORT.values())
    assert all(len(entry["sha256"]) == 64 and not entry["strange"] for entry in document["files"])
    joblib.dump(Burglar(), tmp_path / "rf.joblib")
    listed = imports(*files)
    assert (listed.exit_code, "UNKNOWN" in listed.stdout) == (ExitCode.OK, True)
    refused = imports(*files, *TRUSTED, "--json")
    assert (refused.exit_code, "mkdir" in json.loads(refused.stdout.splitlines()[-1])["failure"]["message"]) == (
        ExitCode.REFUSED,
        True,
    )
    assert not (tmp_path / "burgled").exists()
    assert not (tmp_path / "data" / "models").exists()


@pytest.mark.usefixtures("command_environment")
def test_an_imported_model_is_served_by_its_digest(
    files: list[str], system: dict[str, Any], ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path
) -> None:
    start_pool(real=True, concurrency=1, CORNERMAN_MODELS=str(tmp_path / "data" / "models"))
    done = imports(*files, *TRUSTED, "--alias", "champion", "--json")
    assert done.exit_code == 0, done.output
    model = json.loads(done.stdout)["model"]
    assert model["largest_difference"] < 1e-6
    assert model["interval_reason"] == "not_measured"
    assert ledger.aliases.resolve("champion") == model["model"]

    X, _ = fights(12, seed=3)
    weights = {"rf": 0.40, "xgb": 0.35, "nn": 0.25}
    expected = sum(weights[name] * estimator.predict_proba(X)[:, 1] for name, estimator in system.items())
    for corner, digest in (("red", model["model"]), ("unknown", "champion")):
        job = card(X, corner)
        outcome = ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS)
        assert isinstance(outcome.report, CardReport), outcome
        assert outcome.report.model == model["model"]
        answered = [fight for fight in outcome.report.fights if isinstance(fight, FightReport)]
        assert len(answered) == 12, digest
        for fight in answered:
            assert fight.fighters[0].intervals == ()
            assert fight.fighters[0].sampling_interval is None
            assert (fight.interval_reason, fight.sampling_reason) == ("not_measured", "bootstrap_off")
            assert (fight.decision.action, fight.decision.reasons) == ("abstain", ("no_interval",))
        if corner == "red":
            answers = np.array([fight.fighters[0].probability for fight in answered])
            assert np.abs(answers - expected).max() < 1e-6

    wants = PredictCard(
        card_id="replicas",
        event_start=job.event_start,
        fights=job.fights,
        intervals=IntervalOptions(bootstrap_samples=10),
    )
    failure = ledger.wait(ledger.submit(wants).job_id, WAIT_SECONDS).failure
    assert failure is not None
    assert failure.code is FailureCode.BOOTSTRAP_FAILED
    replayed = CliRunner().invoke(main, ["replay", outcome.job_id])
    assert (replayed.exit_code, "every bit is the same" in replayed.stdout) == (ExitCode.OK, True)
    again = imports(*files, *TRUSTED, "--weights", "0.5,0.25,0.25", "--alias", "champion")
    assert (again.exit_code, "models promote" in again.stderr) == (ExitCode.REFUSED, True)


@pytest.mark.usefixtures("command_environment", "here")
def test_a_fight_with_missing_values_fails_alone_where_the_original_takes_none(
    ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path
) -> None:
    saved = save(other_systems()["network without imputer"](), tmp_path)
    start_pool(real=True, concurrency=1, CORNERMAN_MODELS=str(tmp_path / "data" / "models"))
    done = imports(*[f"{name}={path}" for name, path in saved.items()], *TRUSTED, "--alias", "old")
    assert (done.exit_code, "refused, as by the originals" in done.stdout) == (ExitCode.OK, True), done.output
    X, _ = fights(2, seed=3, missing=False)
    X.loc[1, "red_age"] = np.nan
    job = PredictCard(**{name: getattr(card(X), name) for name in ("card_id", "event_start", "fights")}, model="old")
    outcome = ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS)
    assert outcome.state is JobState.SUCCEEDED
    assert isinstance(outcome.report, CardReport)
    whole, broken = outcome.report.fights
    assert isinstance(whole, FightReport)
    assert isinstance(broken, FightFailure)
    assert broken.failure.code is FailureCode.INVALID_INPUT
    assert "red_age" in broken.failure.message


@pytest.mark.usefixtures("command_environment", "here")
def test_a_model_written_to_a_folder_answers_a_matrix(files: list[str], tmp_path: Path) -> None:
    done = imports(*files, *TRUSTED, "--out", str(tmp_path / "here"), "--json")
    assert done.exit_code == 0, done.output
    folder = json.loads(done.stdout)["model"]["folder"]
    assert Path(folder).parent == tmp_path / "here"
    X, _ = fights(5, seed=4)
    X.to_csv(tmp_path / "coming.csv", index=False)
    shown = CliRunner().invoke(main, ["predict", "--model", folder, "--matrix", str(tmp_path / "coming.csv"), "--json"])
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert (shown.exit_code, len(rows)) == (ExitCode.OK, 5)
    assert all(row["intervals"] == {} and row["interval_reason"] == "not_measured" for row in rows)


@pytest.mark.usefixtures("command_environment", "here")
def test_later_fights_give_it_intervals(files: list[str], system: dict[str, Any], tmp_path: Path) -> None:
    unseen = later_fights(system)
    frame = unseen.X.assign(won=unseen.won, event=unseen.event, date=unseen.date, r=unseen.red_odds, b=unseen.blue_odds)
    frame.to_csv(tmp_path / "later.csv", index=False)
    options = [*TRUSTED, "--matrix", str(tmp_path / "later.csv"), "--red-odds", "r", "--blue-odds", "b"]
    done = imports(*files, *options, "--out", str(tmp_path / "here"))
    assert (done.exit_code, "anchored" in done.stdout, "log_loss" in done.stdout) == (ExitCode.OK, True, True)
    assert "without intervals" not in done.stderr
    [folder] = (tmp_path / "here").iterdir()
    assert f"Written to {folder}" in done.stdout
    shown = CliRunner().invoke(
        main, ["predict", "--model", str(folder), "--matrix", str(tmp_path / "later.csv"), "--json"]
    )
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(rows) == 600
    assert all(row["intervals"]["0.95"][0] < row["probability"] < row["intervals"]["0.95"][1] for row in rows)
    early = frame.assign(date="2023-01-01")
    early.to_csv(tmp_path / "later.csv", index=False)
    refused = imports(*files, *options, "--out", str(tmp_path / "there"))
    assert (refused.exit_code, "trained on fights up to 2024-01-01" in refused.stderr) == (ExitCode.REFUSED, True)


@pytest.mark.usefixtures("command_environment", "here")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rf=a", "xgb=b"], "Name each of"),
        (["rf=a", "xgb=b", "knn=c"], "is not one of rf=FILE"),
        (["rf=a", "xgb=b", "nn=c", "--trust"], "--trained-until"),
        (["rf=a", "xgb=b", "nn=c"], "cannot be read"),
        (["rf=a", "xgb=b", "nn=c", "--out", "x", "--alias", "y"], "leave out --alias"),
    ],
)
def test_what_is_wrong_with_the_call_is_reported(arguments: list[str], expected: str) -> None:
    ran = imports(*arguments)
    assert (ran.exit_code, expected in ran.stderr) == (ExitCode.REFUSED, True), ran.output
