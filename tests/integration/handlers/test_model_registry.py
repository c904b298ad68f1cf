"""The registry with real models and real pools: what is proven, what is refused, and how fast a rollback holds."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from engine.data.fight_log import write_fight_log
from engine.model.bundle import Bundle
from engine.simulation.league import League
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import PredictCard, TrainEnsemble
from ledger.contracts.reports import CardReport, TrainingReport
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.small_models import first_card, spoil, trained, wrong

WAIT_SECONDS = 60
WHY = ("--reason", "a test")
AFTERWARDS = 60
"""Cards of the stream that are submitted after the rollback."""

pytestmark = pytest.mark.usefixtures("command_environment")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, ...]:
    folder = tmp_path_factory.mktemp("trained")
    return tuple(trained(folder, seed) for seed in (1, 2))


@pytest.fixture
def shelf(bundles: tuple[Bundle, ...], ledger: Ledger, tmp_path: Path) -> Path:
    """The folder of the pools' models; both are known, neither has a name."""
    folder = tmp_path / "models"
    for bundle in bundles:
        shutil.copytree(bundle.folder, folder / bundle.digest)
        ledger.models.register(bundle.digest, {"data": {"cutoff": "2024-01-01"}, "config": {"seed": 1}})
    return folder


@pytest.fixture
def card(league: League) -> PredictCard:
    return first_card(league)


def cornerman(*arguments: str, code: ExitCode = ExitCode.OK) -> Any:
    result = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def stream(ledger: Ledger, card: PredictCard, until: Event, job_ids: list[str]) -> None:
    """Submit one card after the other, waiting for every tenth, until enough came after the event."""
    left = AFTERWARDS
    while left:
        left -= until.is_set()
        job_ids.append(ledger.submit(card, key=f"card-{len(job_ids)}").job_id)
        if len(job_ids) % 10 == 0:
            ledger.wait(job_ids[-1], WAIT_SECONDS)


def lines_of(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text().splitlines():
        if line.startswith("{") and '"event": "job"' in line:
            yield json.loads(line)


def test_a_rollback_takes_one_command_and_holds_on_all_pools_at_once(
    shelf: Path,
    bundles: tuple[Bundle, ...],
    card: PredictCard,
    ledger: Ledger,
    start_pool: Callable[..., Any],
    until: Callable[..., None],
) -> None:
    old, new = (bundle.digest for bundle in bundles)
    pools = [start_pool(real=True, concurrency=1, CORNERMAN_NODE=node) for node in ("a", "b")]
    cornerman("set", f"model.champion={old[:12]}", *WHY)
    cornerman("set", f"model.champion={new[:12]}", *WHY)
    rolled_back, job_ids = Event(), list[str]()
    feed = Thread(target=stream, args=(ledger, card, rolled_back, job_ids))
    feed.start()
    until(lambda: len(job_ids) > 30)
    change = cornerman("models", "rollback", *WHY)["change"]
    rolled_back.set()
    feed.join()
    outcomes = [ledger.wait(job_id, WAIT_SECONDS) for job_id in job_ids]

    assert (change["before"], change["after"], change["rollback"]) == (new, old, True)
    assert {outcome.state for outcome in outcomes} == {JobState.SUCCEEDED}
    answered = [(outcome, outcome.report.model) for outcome in outcomes if isinstance(outcome.report, CardReport)]
    assert Counter(digest for _, digest in answered).keys() == {old, new}  # each report names its model
    moved = msgspec.convert(change["at"], type(outcomes[0].settled_at))
    assert {digest for outcome, digest in answered if outcome.submitted_at > moved} == {old}
    stale = [outcome.settled_at for outcome, digest in answered if digest == new and outcome.settled_at > moved]
    lag_seconds = max(((settled - moved).total_seconds() for settled in stale), default=0.0)
    sys.stdout.write(f"\nlast answer of the model before: {lag_seconds:.3f} s after; {len(stale)} were in flight\n")
    last = set(job_ids[-AFTERWARDS:])
    assert all(any(line["job_id"] in last for line in lines_of(pool.log)) for pool in pools)  # both took part
    assert all(pool.process.poll() is None for pool in pools)


def test_a_model_that_cannot_be_loaded_gets_no_name(
    shelf: Path, bundles: tuple[Bundle, ...], ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    sound, spoilt = (bundle.digest for bundle in bundles)
    start_pool(real=True, concurrency=1)
    for digest in (spoilt, sound):  # both could be loaded then, and the child has them open
        cornerman("set", f"model.champion={digest}", *WHY)
    spoil(shelf / spoilt)
    lost = "e" * 64
    ledger.models.register(lost, {})
    for command, code in (
        (("set", f"model.champion={spoilt}", *WHY), FailureCode.MODEL_CORRUPT),
        (("models", "rollback", *WHY), FailureCode.MODEL_CORRUPT),
        (("set", f"model.champion={lost}", *WHY), FailureCode.MODEL_NOT_FOUND),
    ):
        failure = cornerman(*command, code=ExitCode.REFUSED)["failure"]
        assert failure["code"] == code
        assert "nothing was changed" in failure["message"]
    assert ledger.aliases.resolve("champion") == sound
    assert len(ledger.aliases.history("champion")) == 2


def test_a_model_with_other_answers_than_the_known_ones_gets_no_name(
    shelf: Path, bundles: tuple[Bundle, ...], ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    other = wrong(bundles[0])
    shutil.move(other.folder, shelf / other.digest)
    ledger.models.register(other.digest, {})
    start_pool(real=True, concurrency=1)
    failure = cornerman("set", f"model.challenger={other.digest}", *WHY, code=ExitCode.REFUSED)["failure"]
    assert failure["code"] == FailureCode.MODEL_CORRUPT
    assert "differ by at most 1.0e-06" in failure["message"]


def test_a_pool_that_meets_a_corrupt_model_answers_with_a_failure_and_goes_on(
    shelf: Path, bundles: tuple[Bundle, ...], card: PredictCard, ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    sound, spoilt = (bundle.digest for bundle in bundles)
    ledger.aliases.set("champion", sound)
    pool = start_pool(real=True, concurrency=1)
    children = pool.children()
    spoil(shelf / spoilt)
    ledger.aliases.set("champion", spoilt)  # this alias was moved without a verification
    for number in range(3):
        failure = ledger.wait(ledger.submit(card, key=f"spoilt-{number}").job_id, WAIT_SECONDS).failure
        assert failure is not None
        assert failure.code is FailureCode.MODEL_CORRUPT
    cornerman("models", "rollback", *WHY)
    report = ledger.wait(ledger.submit(card, key="sound").job_id, WAIT_SECONDS).report
    assert isinstance(report, CardReport)
    assert report.model == sound
    assert pool.children() == children


def test_the_first_training_makes_a_champion_and_later_ones_challengers(
    league: League, ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path
) -> None:
    write_fight_log(league.log, tmp_path / "log")
    start_pool(queue="train", real=True, concurrency=1)
    small = {"bootstrap_samples": 0, "fits": 1, "folds": 3, "forest_trees": 10}

    def train(seed: int, **more: Any) -> TrainingReport:
        job = TrainEnsemble(data=str(tmp_path / "log"), seed=seed, **small, **more)
        report = ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS).report
        assert isinstance(report, TrainingReport)
        return report

    reports = [train(1), train(2), train(3, alias="nightly"), train(4, alias=None)]
    assert [report.alias for report in reports] == ["champion", "challenger", "nightly", None]
    names = {name: model["digest"] for model in ledger.models.all() for name in model["aliases"]}
    assert names == {report.alias: report.model for report in reports[:3]}
    (change,) = ledger.aliases.history("champion")
    assert change.who.startswith("job ")
    assert change.evidence == {"training": change.who.removeprefix("job ")}

    shown = cornerman("models", "show", reports[0].model[:10])
    assert shown["aliases"] == ["champion"]
    assert shown["summary"]["data"]["cutoff"] == str(reports[0].data_cutoff)
    assert {"config", "metrics", "versions"} <= shown["summary"].keys()
    assert [entry["after"] for entry in shown["history"]] == [reports[0].model]
    differing = cornerman("models", "diff", "champion", "challenger")["differences"]
    assert differing["config.seed"] == [1, 2]
    assert not any(name.startswith(("data.", "versions.")) for name in differing)
