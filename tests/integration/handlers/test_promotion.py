"""The promotion gate end to end: real models, a training pool that evaluates and a predicting pool that verifies."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog, read_fight_log, write_fight_log
from engine.data.fighter_snapshot import FighterSnapshot
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import save_ensemble
from engine.simulation.league import League, LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.jobs import CheckHealth, JudgeModels
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.small_models import spoil

WHY = ("--reason", "a test")
CUTOFF = date(2024, 4, 13)  # about half of the league's fights come later
SMALL = TrainingConfig(bootstrap_samples=0, fits=2, folds=3, members=MemberParams(forest=ForestParams(trees=20)))
POOR = TrainingConfig(
    bootstrap_samples=0,
    fits=1,
    folds=3,
    members=MemberParams(forest=ForestParams(trees=1)),
    model_weights={"random_forest": 1.0, "xgboost": 0.0, "neural_network": 0.0},
)
TWO_COLUMNS = ("diff_sub_wins", "diff_height_cm")
BETTER = TrainingConfig(bootstrap_samples=0, fits=4, folds=3, members=SMALL.members)

pytestmark = pytest.mark.usefixtures("command_environment")


@dataclass
class Stage:
    """A league's log, and models that have seen its first half: `poor` is worse; `late` has seen everything."""

    log: Path
    models: Path
    usual: str
    better: str
    poor: str
    late: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder = tmp_path_factory.mktemp("stage")
    league = simulate_league(LeagueConfig(fights=1500, seed=5))
    write_fight_log(league.log, folder / "log")
    models = folder / "models"
    seen = [train(league, config, models, CUTOFF).digest for config in (SMALL, BETTER)]
    seen.append(train(league, POOR, models, CUTOFF, TWO_COLUMNS).digest)
    return Stage(folder / "log", models, *seen, train(league, SMALL, models, date(2100, 1, 1)).digest)


def train(
    league: League, config: TrainingConfig, models: Path, cutoff: date, columns: Sequence[str] = MODEL_COLUMNS
) -> Bundle:
    log = league.log.before(cutoff)
    return save_ensemble(
        train_ensemble(build_matrix(log).select(columns), config, FighterSnapshot.from_log(log)), models
    )


@pytest.fixture
def book(stage: Stage, ledger: Ledger, start_pool: Callable[..., Any]) -> Ledger:
    """A ledger that knows the models, with pools that train and predict."""
    for digest in (stage.usual, stage.better, stage.poor, stage.late):
        ledger.models.register(digest, {})
    for queue in ("train", "predict"):
        start_pool(queue=queue, real=True, concurrency=1, CORNERMAN_MODELS=str(stage.models))
    return ledger


def promote(*arguments: str, code: ExitCode = ExitCode.OK) -> Any:
    command = ["models", "promote", *arguments, *WHY, "--json"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_the_better_one_passes_and_the_poor_one_only_by_force(stage: Stage, book: Ledger) -> None:
    book.aliases.set("champion", stage.usual)
    data = ("--data", str(stage.log))
    passed = promote(stage.better[:10], *data)
    report = passed["judgement"]["report"]
    assert (report["method"], report["trained"], report["same_recipe"]) == ("held_out", 0, False)
    assert date.fromisoformat(report["first_day"]) >= CUTOFF
    assert (report["challenger"], report["champion"]) == (stage.better, stage.usual)
    assert [each["forecast"] for each in report["forecasts"]] == ["challenger", "champion", "market", "base_rate"]
    assert (report["anchor"], report["tries"]) == (None, 1)
    anchor = passed["change"]["evidence"]["anchor"]
    assert passed["change"]["evidence"] == {
        "forced": False,
        "judgement": passed["judgement"]["job_id"],
        "anchor": anchor,
        "report": report,
    }
    assert anchor in (stage.usual, stage.better)
    assert book.promotions.anchor("champion", stage.better) == anchor
    assert book.aliases.resolve("champion") == stage.better

    refused = promote(stage.poor, *data, code=ExitCode.FAILED)
    assert not refused["promoted"]
    reasons = [reason["code"] for reason in refused["judgement"]["report"]["verdict"]["reasons"]]
    assert reasons[0] == "worse_than_champion"
    assert book.aliases.resolve("champion") == stage.better

    forced = promote(stage.poor, *data, "--force")  # the same judgement: it is not made again
    assert forced["judgement"]["job_id"] == refused["judgement"]["job_id"]
    assert forced["change"]["evidence"]["forced"]
    assert book.aliases.resolve("champion") == stage.poor
    assert book.promotions.anchor("champion", stage.poor) == stage.poor  # what was forced begins a new sequence
    shown = CliRunner().invoke(main, ["models", "history", "champion"]).stdout
    assert "FORCED against the gate" in shown
    assert "evaluated and promoted" in shown
    assert "is " in promote(stage.poor, *data, code=ExitCode.REFUSED)["failure"]["message"]


def test_answers_are_compared_from_the_states_that_production_serves(stage: Stage, book: Ledger) -> None:
    book.aliases.set("champion", stage.usual)
    data = ("--data", str(stage.log), "--force")
    reports = []
    for state in ("fresh", "lagging"):
        book.aliases.set("champion", stage.usual)
        reports.append(promote(stage.poor, *data, "--state", state)["judgement"]["report"])
    assert [report["served"]["state"] for report in reports] == ["fresh", "lagging"]
    both = [report["served"]["forecasts"] for report in reports]
    assert both[0] == both[1]
    served = {(each["forecast"], each["state"], each["corner"]): each["log_loss"] for each in both[0]}
    assert len(served) == 8
    for report in reports:
        for each in report["forecasts"][:2]:
            assert each["log_loss"] == served[each["forecast"], report["served"]["state"], "unknown"]
    assert served["champion", "fresh", "unknown"] != served["champion", "lagging", "unknown"]


def test_a_challenger_is_held_against_the_anchor_and_tries_are_counted(stage: Stage, book: Ledger) -> None:
    data = ("--data", str(stage.log))
    book.aliases.move("champion", stage.usual, verify=lambda digest: None, user="a test", reason="the first")
    evidence = {"anchor": stage.usual}
    book.aliases.move(
        "champion", stage.better, verify=lambda digest: None, user="a test", reason="next", evidence=evidence
    )
    refused = promote(stage.poor, *data, code=ExitCode.FAILED)["judgement"]["report"]
    assert (refused["champion"], refused["anchor"], refused["tries"]) == (stage.better, stage.usual, 1)
    roles = ["challenger", "champion", "anchor"]
    assert [each["forecast"] for each in refused["forecasts"]] == [*roles, "market", "base_rate"]
    assert [each["forecast"] for each in refused["corner_known"]] == roles
    codes = [reason["code"] for reason in refused["verdict"]["reasons"]]
    assert codes[:2] == ["worse_than_champion", "worse_than_anchor"]
    # The same models on the same fights are the same try; others, or other fights, are another.
    assert promote(stage.poor, *data, "--rerun", code=ExitCode.FAILED)["judgement"]["report"]["tries"] == 1
    walked = promote(stage.poor, *data, "--walk-forward", "2025-01-01", code=ExitCode.FAILED)["judgement"]["report"]
    assert (walked["tries"], walked["trained"]) == (2, 3)
    assert walked["error"] < refused["error"] / 2
    # What comes to no figures is no try.
    promote(stage.late, *data, code=ExitCode.FAILED)
    assert (
        book.promotions.count_try("champion", JudgeModels(data="x", challenger="0" * 64, champion=stage.better)).tries
        == 3
    )
    # After a rollback the champion has its own anchor and its own tries again.
    book.aliases.roll_back("champion", verify=lambda digest: None, user="a test", reason="back")
    assert book.promotions.anchor("champion", stage.usual) == stage.usual


def test_unseen_fights_alone_can_be_judged_on_as_a_matrix_and_not_as_a_log(
    stage: Stage, book: Ledger, tmp_path: Path
) -> None:
    book.aliases.set("champion", stage.usual)
    log = read_fight_log(stage.log)
    matrix = build_matrix(log).select(MODEL_COLUMNS)
    unseen = matrix.take(matrix.date >= np.datetime64(CUTOFF))
    about = {"won": unseen.won, "event": unseen.event, "date": unseen.date.astype(str)}
    odds = {"red_price": unseen.red_odds, "blue_price": unseen.blue_odds}
    unseen.X.assign(**about, **odds).to_csv(tmp_path / "unseen.csv", index=False)
    columns = ("--red-odds", "red_price", "--blue-odds", "blue_price")
    report = promote(stage.better, "--matrix", str(tmp_path / "unseen.csv"), *columns)["judgement"]["report"]
    assert report["fights"] == np.isfinite(unseen.red_odds).sum()
    assert not report["recalibrated"]
    fights = log.fights[log.fights["date"] >= pd.Timestamp(CUTOFF)]
    lines = log.stat_lines[log.stat_lines["fight_id"].isin(fights["fight_id"])]
    write_fight_log(FightLog(fights, lines, log.fighters), tmp_path / "log")
    failure = promote(stage.poor, "--data", str(tmp_path / "log"), code=ExitCode.FAILED)["failure"]
    assert failure["code"] == FailureCode.INVALID_INPUT
    assert "use the whole log" in failure["message"]


def test_a_judgement_can_be_made_again(stage: Stage, book: Ledger) -> None:
    evaluated = promote(stage.usual, "--force", "--alias", "nightly", "--data", str(stage.log))["judgement"]
    command = ["replay", evaluated["job_id"], "--retrain", "--json"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == ExitCode.OK, result.output
    assert json.loads(result.stdout)["report"]["verdict"] == "same"


def test_aliases_name_what_a_chain_has_trained(stage: Stage, book: Ledger) -> None:
    """A chain of trainings and judgements does not know the digests when it is submitted."""
    book.aliases.move("champion", stage.usual, verify=lambda digest: None, user="a test", reason="the first")
    book.aliases.set("challenger", stage.better)
    job = JudgeModels(data=str(stage.log), challenger="challenger", champion="champion")
    book.chains.submit("nightly", [CheckHealth(model="challenger"), job])
    outcome = book.wait("nightly/2", 120)
    assert isinstance(outcome.report, JudgementReport), outcome.failure
    assert (outcome.report.challenger, outcome.report.champion) == (stage.better, stage.usual)
    assert (outcome.report.anchor, outcome.report.tries) == (None, 1)
    assert outcome.origin is not None
    assert outcome.origin.models["challenger"] == stage.better
    # It was counted as a try, so that the gate accepts it; the same comparison by the digests is the same try.
    same = JudgeModels(data=str(stage.log), challenger=stage.better, champion=stage.usual)
    assert book.promotions.count_try("champion", same).tries == 1
    change = promote(stage.better, "--judgement", "nightly/2")["change"]
    assert (change["before"], change["after"]) == (stage.usual, stage.better)
    # The aliases have moved since, and the report is made again of what it was of.
    command = ["replay", "nightly/2", "--retrain", "--json"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert json.loads(result.stdout)["report"]["verdict"] == "same", result.output
    again = book.submit(job, key="again").job_id
    failure = book.wait(again, 120).failure
    assert failure is not None
    assert failure.code is FailureCode.INVALID_INPUT  # the challenger is the champion by now
    assert "champion is already" in failure.message


def test_too_few_unseen_fights_are_said_and_the_recipes_can_be_judged(stage: Stage, book: Ledger) -> None:
    book.aliases.set("champion", stage.usual)
    failure = promote(stage.late, "--data", str(stage.log), code=ExitCode.FAILED)["failure"]
    assert failure["code"] == FailureCode.INVALID_INPUT
    assert "0 decided fights" in failure["message"]
    assert "--cutoff" in failure["message"]
    assert "--walk-forward" in failure["message"]
    walk = ("--data", str(stage.log), "--walk-forward", "2025-01-01", "--force")
    report = promote(stage.late, *walk)["judgement"]["report"]
    assert (report["method"], report["trained"], report["same_recipe"]) == ("walk_forward", 1, True)
    assert {each["against"]: each["log_loss"]["value"] for each in report["paired"]}["champion"] == 0.0
    report = promote(stage.poor, *walk)["judgement"]["report"]
    assert (report["champion"], report["trained"], report["same_recipe"]) == (stage.late, 2, False)
    assert report["verdict"]["reasons"][0]["code"] == "worse_than_champion"


def test_without_a_champion_the_market_and_the_base_rate_are_all_there_is(stage: Stage, book: Ledger) -> None:
    refused = promote(stage.poor, "--alias", "nightly", "--data", str(stage.log), code=ExitCode.FAILED)
    report = refused["judgement"]["report"]
    assert report["champion"] is None
    assert [each["against"] for each in report["paired"]] == ["market", "base_rate"]
    assert "no_better_than_base_rate" in {reason["code"] for reason in report["verdict"]["reasons"]}
    assert book.aliases.resolve("nightly") is None


def test_force_promotes_unjudged_and_never_what_cannot_be_loaded(stage: Stage, book: Ledger) -> None:
    assert CliRunner().invoke(main, ["models", "promote", stage.usual, *WHY]).exit_code == ExitCode.REFUSED
    change = promote(stage.usual, "--force")["change"]
    assert (change["before"], change["after"], change["evidence"]) == (None, stage.usual, {"forced": True})
    spoil(stage.models / stage.poor)
    for arguments in (("--force",), ("--force", "--data", str(stage.log))):
        failure = promote(stage.poor, *arguments, code=ExitCode.REFUSED)["failure"]
        assert failure["code"] == FailureCode.MODEL_CORRUPT
    failure = promote(stage.poor, "--data", str(stage.log), code=ExitCode.FAILED)["failure"]
    assert failure["code"] == FailureCode.MODEL_CORRUPT
    assert book.aliases.resolve("champion") == stage.usual
