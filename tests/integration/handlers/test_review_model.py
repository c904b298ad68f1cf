"""Results come in, a review finds that favourites lose, and what the operator has chosen is done about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from msgspec import UNSET

from engine.data.features import MODEL_COLUMNS
from engine.model.bundle import Bundle
from engine.model.derived_bundle import derive_bundle
from engine.model.trained_ensemble import load_ensemble
from engine.monitoring.drift import MISSING
from engine.simulation.league import League, odds_feed
from ledger.contracts.job_reports.monitoring_reports import ReviewReport
from ledger.contracts.jobs import PredictCard, TrainEnsemble
from ledger.contracts.prediction_record import PredictionInterval, PredictionPage, PredictionRecord, PredictionRole
from ledger.contracts.reports import CardReport, FightReport, HealthReport
from ledger.ledger import Ledger, Settlement
from producer.cli.main import main
from producer.feed.odds_api import read_cards
from producer.output.exit_codes import ExitCode
from tests.support.small_models import set_alias, trained

WAIT_SECONDS = 60
NEVER = datetime(2099, 1, 1, tzinfo=UTC)
EVENTS, FIGHTS = 12, 10
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two models of the same league."""
    folder = tmp_path_factory.mktemp("models")
    return [trained(folder, seed, replicas=10) for seed in (3, 4)]


@pytest.fixture
def models(ledger: Ledger, bundles: list[Bundle]) -> list[str]:
    """The digests of the champion before and of the champion."""
    for bundle in bundles:
        set_alias(ledger, "champion", bundle.digest)
    return [bundle.digest for bundle in bundles]


@pytest.fixture
def pools(start_pool: Callable[..., Any], bundles: list[Bundle], models: list[str]) -> None:
    for queue in ("predict", "monitor"):
        start_pool(real=True, queue=queue, concurrency=1, CORNERMAN_MODELS=str(bundles[0].folder.parent))


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def day_of(number: int) -> date:
    return date(2026, 1, 3) + timedelta(days=7 * number)


def past(
    ledger: Ledger,
    model: str,
    probability: float,
    role: PredictionRole = "live",
    bins: str = "",
    state_days: int | None = None,
) -> None:
    """Put events of the past into the prediction log, through the script that settles cards.

    The answers came from states of `state_days` days before each event.
    """
    for number in range(EVENTS):
        entries = [
            (
                f"ana {number} {fight} v bea {number} {fight}",
                PredictionRecord(
                    day=day_of(number),
                    fighters=(f"Ana {number} {fight}", f"Bea {number} {fight}"),
                    model=model,
                    role=role,
                    job_id="past",
                    probability=probability,
                    intervals=(PredictionInterval(0.8, probability - 0.3, probability + 0.1),),
                    market=0.6,
                    action="abstain",
                    bins=bins,
                    state_cutoff=None if state_days is None else day_of(number) - timedelta(days=state_days),
                ),
            )
            for fight in range(FIGHTS)
        ]
        page = msgspec.structs.replace(PredictionPage.from_records(NEVER, entries), day=day_of(number))
        ledger.submit(TrainEnsemble(data=f"{model}{number}"))  # a queue that no pool of the test works off
        (claim,) = ledger.claim("train", "n#1/1")
        ledger.settle_batch(
            [Settlement.from_result(claim, HealthReport(status="healthy", checks=(), memory_mb=1.0), page)]
        )


def updated(bundle: Bundle) -> Bundle:
    """The same model with a state of the fighters that reaches a week further."""
    ensemble = load_ensemble(bundle)
    assert ensemble.snapshot is not None
    snapshot = replace(ensemble.snapshot, data_cutoff=ensemble.snapshot.data_cutoff + timedelta(days=7))
    return derive_bundle(bundle.folder.parent, bundle, replace(ensemble, snapshot=snapshot), "0" * 64)


def results_file(folder: Path, favourite_wins: Callable[[int, int], bool]) -> str:
    fights = [(number, fight) for number in range(EVENTS) for fight in range(FIGHTS)]
    won = {True: "red", False: "blue"}
    lines = [
        f"{day_of(number)},Ana {number} {fight},Bea {number} {fight},{won[favourite_wins(number, fight)]}"
        for number, fight in fights
    ]
    path = folder / "results.csv"
    path.write_text("\n".join(["date,red,blue,winner", *lines]))
    return str(path)


def card(league: League, **changes: Any) -> PredictCard:
    (first, *_) = read_cards(json.dumps(odds_feed(league)).encode(), price_format="american", deadline=NEVER)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    return msgspec.structs.replace(first, **{"event_start": start, "deadline": None} | changes)


def reviewed(ledger: Ledger, run: Run, file: str) -> ReviewReport:
    """Add results by the command, and return the report of the review that it asks for."""
    added = json.loads(run("fight-results", "add", file, "--json").stdout)
    report = ledger.wait(added["review"], WAIT_SECONDS).report
    assert isinstance(report, ReviewReport)
    return report


@pytest.mark.usefixtures("pools")
def test_a_model_whose_favourites_lose_abstains_until_the_alarm_is_cleared(
    ledger: Ledger, league: League, models: list[str], run: Run, tmp_path: Path
) -> None:
    champion = models[1]
    past(ledger, champion, 0.8)
    ledger.controls.set({"on_alarm": "abstain"}, user="ann", reason="a test")
    report = reviewed(ledger, run, results_file(tmp_path, lambda number, fight: fight < 4))
    assert (report.model, report.fights, report.events, report.waiting) == (champion, 120, 12, 0)
    assert "calibration" in report.alarm
    assert report.action == "abstain"
    assert report.proven_gap > 0.05
    assert report.windows[0].minus_market is not None
    drift = ledger.drift_figures.latest()
    assert drift is not None
    assert (drift.model, drift.drift) == (champion, report.proven_gap)
    change = next(change for change in ledger.controls.changes() if change.name == f"abstain.{champion}")
    assert change.after == "on"
    assert change.evidence is not None
    assert change.evidence["alarm"]["findings"][0]["test"] == "calibration"

    answered = ledger.wait(ledger.submit(card(league)).job_id, WAIT_SECONDS).report
    assert isinstance(answered, CardReport)
    decisions = [fight.decision for fight in answered.fights if isinstance(fight, FightReport)]
    assert {(one.action, one.reasons) for one in decisions} == {("abstain", ("model_alarm",))}
    assert answered.switches == ("abstain=on",)
    shown = run("status")
    assert "Alarms about models" in shown.stdout
    assert champion[:12] in shown.stdout
    again = run("models", "review", "--json")
    assert again.exit_code == ExitCode.FAILED
    assert len([change for change in ledger.controls.changes() if change.name.startswith("abstain.")]) == 1

    assert run("models", "clear-alarm", champion[:12], "--reason", "checked").exit_code == ExitCode.OK
    assert ledger.drift_alarms.active() == []
    cleared = ledger.wait(ledger.submit(card(league, card_id="again")).job_id, WAIT_SECONDS).report
    assert isinstance(cleared, CardReport)
    assert cleared.switches == ()
    calm = run("models", "review", "--json")
    assert calm.exit_code == ExitCode.OK
    assert json.loads(calm.stdout)["findings"] == []  # the tests begin again
    assert json.loads(calm.stdout)["fights"] == 120


@pytest.mark.usefixtures("pools")
def test_the_champion_before_comes_back(ledger: Ledger, models: list[str], run: Run, tmp_path: Path) -> None:
    before, champion = models
    past(ledger, champion, 0.8)
    ledger.controls.set({"on_alarm": "rollback"}, user="ann", reason="a test")
    report = reviewed(ledger, run, results_file(tmp_path, lambda number, fight: fight < 4))
    assert report.action == "rollback", report.said
    assert ledger.aliases.resolve("champion") == before
    (move, *_) = ledger.aliases.history("champion")
    assert move.rollback
    assert move.evidence is not None
    assert move.evidence["alarm"]["model"] == champion
    assert not any(change.name.startswith("abstain.") for change in ledger.controls.changes())
    assert [alarm.acted for alarm in ledger.drift_alarms.active()] == [True]


@pytest.mark.usefixtures("pools")
def test_a_model_that_is_right_is_left_in_peace(ledger: Ledger, models: list[str], run: Run, tmp_path: Path) -> None:
    past(ledger, models[1], 0.8, state_days=14)
    ledger.controls.set({"on_alarm": "rollback"}, user="ann", reason="a test")
    report = reviewed(ledger, run, results_file(tmp_path, lambda number, fight: fight < 8))
    assert (report.alarm, report.action) == ((), "none")
    assert report.served is not UNSET
    assert [(each.state, each.fights) for each in report.served] == [("fresh", 10), ("lagging", 110)]
    assert ledger.aliases.resolve("champion") == models[1]
    shown = run("models", "review")
    assert "quiet" in shown.stdout
    assert "lagging: a known result was later" in shown.stdout
    assert "ALARM" not in shown.stdout


@pytest.mark.usefixtures("pools")
def test_features_in_alarm_show_in_the_exit_code_and_in_the_status(ledger: Ledger, models: list[str], run: Run) -> None:
    past(ledger, models[1], 0.8, bins=str(MISSING) * 2 * len(MODEL_COLUMNS))  # every source has gone
    assert "ALARM" not in run("status").stdout
    review = run("models", "review", "--json")
    report = json.loads(review.stdout)
    assert [found["test"] for found in report["findings"] if found["alarm"]] == ["features"]
    assert (review.exit_code, report["alarm"], report["action"]) == (1, [], "none")
    assert f"ALARM: the features of model {models[1][:12]}" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)["drift"]["features"]["alarm"]


@pytest.mark.usefixtures("pools")
def test_challenger_champion_and_market_on_the_same_fights(
    ledger: Ledger, models: list[str], run: Run, tmp_path: Path
) -> None:
    challenger, champion = models
    past(ledger, champion, 0.5, state_days=7)  # the day of the event before
    past(ledger, challenger, 0.8, "shadow", state_days=14)
    ledger.aliases.set("challenger", challenger, user="test", reason="to compare")
    before = json.loads(run("models", "compare", "--json").stdout)
    assert (before["fights"], before["waiting"], before["scores"]) == (0, 120, [])
    run("fight-results", "add", results_file(tmp_path, lambda number, fight: fight < 8))
    report = json.loads(run("models", "compare", "--json").stdout)
    assert (report["champion"], report["challenger"]) == (champion, challenger)
    assert (report["fights"], report["events"], report["waiting"]) == (120, 12, 0)
    losses = {score["forecast"]: score["log_loss"] for score in report["scores"]}
    assert losses["challenger"] < losses["market"] < losses["champion"]
    first = next(one for one in report["differences"] if (one["one"], one["other"]) == ("challenger", "champion"))
    assert first["log_loss"]["upper"] < 0
    assert report["states"] == [
        {"forecast": "champion", "fresh": 120, "lagging": 0},
        {"forecast": "challenger", "fresh": 10, "lagging": 110},
    ]
    assert "challenger - champion" in run("models", "compare").stdout


@pytest.mark.usefixtures("pools")
@pytest.mark.parametrize("action", ["abstain", "rollback"])
def test_an_update_continues_the_record_of_its_base_and_shares_its_alarm(
    ledger: Ledger, league: League, bundles: list[Bundle], run: Run, tmp_path: Path, action: str
) -> None:
    other, base = bundles
    update = updated(base)
    ledger.models.register(update.digest, {"derived": update.manifest["derived"]})
    ledger.aliases.set("champion", update.digest, user="test", reason="weekly")
    past(ledger, base.digest, 0.8)
    ledger.controls.set({"on_alarm": action}, user="ann", reason="a test")
    report = reviewed(ledger, run, results_file(tmp_path, lambda number, fight: fight < 4))
    assert (report.model, report.fights, report.action) == (update.digest, 120, action)
    assert [alarm.model for alarm in ledger.drift_alarms.active()] == [base.digest]
    if action == "rollback":  # not to the same members with an older state
        assert ledger.aliases.resolve("champion") == other.digest
        return
    answered = ledger.wait(ledger.submit(card(league)).job_id, WAIT_SECONDS).report
    assert isinstance(answered, CardReport)
    assert (answered.model, answered.switches) == (update.digest, ("abstain=on",))
    assert run("models", "clear-alarm", "champion", "--reason", "checked").exit_code == ExitCode.OK
    assert ledger.drift_alarms.active() == []
    assert not ledger.controls.current().flag(f"abstain.{base.digest}")
