"""A fight log kept up to date by a real pool: new fights, closes, results by ids, and the jobs that follow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.data.fight_log import FightLog, read_fight_log
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import Fight, Fighter, Quote, SettleBets, TrainEnsemble, UpdateFightLog
from ledger.contracts.reports import TrainingReport
from ledger.ledger import Ledger
from tests.support.fight_exports import as_exported, write_ufcstats
from tests.support.small_models import small_league

WAIT_SECONDS = 120

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def league() -> FightLog:
    log = small_league().log
    fights = log.fights
    events = fights["event"] + fights["date"].dt.strftime(" %Y-%m-%d")
    rounds, seconds = fights["scheduled_rounds"].fillna(3), fights["end_time_seconds"].round().clip(1)
    fights = fights.assign(event=events, scheduled_rounds=rounds, end_time_seconds=seconds)
    lines = log.stat_lines.assign(control_seconds=log.stat_lines["control_seconds"].round())
    shift = datetime.now(UTC).date() - log.data_cutoff - timedelta(days=2)  # the last fights are of these days
    moved = fights.assign(date=fights["date"] + shift)
    return as_exported(FightLog(moved, lines, log.fighters))


def run(ledger: Ledger, job: UpdateFightLog) -> Outcome:
    return ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS)


def test_exports_scores_and_prices_become_a_log_and_results(
    league: FightLog, ledger: Ledger, tmp_path: Path, start_pool: Callable[..., Any]
) -> None:
    start_pool(queue="monitor", real=True, concurrency=1)
    newest = league.fights.iloc[-60:]
    lines = league.stat_lines[league.stat_lines["fight_id"].isin(newest["fight_id"])]
    league = FightLog(newest, lines, league.fighters)
    ids = list(league.fights["fight_id"])
    last = league.fights.iloc[-1]
    names = dict(zip(league.fighters["fighter_id"], league.fighters["name"], strict=True))
    red, blue = names[last["red_id"]], names[last["blue_id"]]
    start = datetime.combine(last["date"].date(), datetime.min.time(), UTC) + timedelta(hours=23)
    quotes = tuple(Quote(bookmaker=book, prices={blue: 3.0 + off, red: 1.4}) for book, off in (("A", 0.0), ("B", 0.1)))
    fight = Fight(id="event-1", fighters=(Fighter(name=blue), Fighter(name=red)), quotes=quotes)
    ledger.prices.record([fight], start - timedelta(hours=1), starts={"event-1": start})
    score = {
        "id": "event-1",
        "commence_time": start.isoformat(),
        "completed": True,
        "home_team": blue,
        "away_team": red,
        "scores": [{"name": red, "score": "1"}, {"name": blue, "score": "0"}],
    }
    (tmp_path / "scores.json").write_bytes(msgspec.json.encode([score]))
    export = write_ufcstats(league, tmp_path / "export", ids[:-1])
    job = UpdateFightLog(log=str(tmp_path / "log"), sources=(str(export), str(tmp_path / "scores.json")))

    first = run(ledger, job).report
    assert isinstance(first, FightLogReport)
    assert (first.counts["added_fights"], first.counts["incomplete"], first.digest_before) == (len(ids) - 1, 1, None)
    write_ufcstats(league, tmp_path / "export")
    second = run(ledger, msgspec.structs.replace(job, nonce="2")).report
    assert isinstance(second, FightLogReport)
    assert (second.added_fights, second.counts["changes"]) == ((ids[-1],), 2)
    assert {(change.column, change.source) for change in second.changes} == {
        ("red_decimal_odds", "prices"),
        ("blue_decimal_odds", "prices"),
    }
    log = read_fight_log(tmp_path / "log")
    priced = log.fights.set_index("fight_id").loc[ids[-1]]
    assert 1 / priced["red_decimal_odds"] + 1 / priced["blue_decimal_odds"] == pytest.approx(1.0, abs=1e-5)
    assert priced["red_decimal_odds"] < priced["blue_decimal_odds"]
    assert priced["known_at"] > f"{last['date']:%Y-%m-%d}"
    results = ledger.fight_results.all()
    (known,) = [one for one in results if "event-1" in one.fight_ids]
    assert set(known.fight_ids) == {"event-1", ids[-1]}
    assert known.fighters[known.winner or 0] == (red if last["winner"] == "red" else blue)

    third = run(ledger, msgspec.structs.replace(job, nonce="3")).report
    assert isinstance(third, FightLogReport)
    assert (third.changed, third.counts["changes"], third.counts["added_fights"]) == (False, 0, 0)
    assert third.results == {"added": 0, "unchanged": len(results), "corrected": 0}
    assert ledger.fight_results.all() == results

    lines = (export / "ufc_fight_results.csv").read_text().splitlines()
    (export / "ufc_fight_results.csv").write_text("\n".join([*lines[:5], lines[5] + ",x", *lines[6:]]) + "\n")
    faulty = run(ledger, msgspec.structs.replace(job, nonce="4"))
    assert faulty.failure is not None
    assert faulty.failure.code is FailureCode.INVALID_INPUT
    (fault,) = faulty.failure.details["faults"]
    assert (fault["file"], fault["line"], faulty.failure.details["total"]) == ("ufc_fight_results.csv", 6, 1)
    assert read_fight_log(tmp_path / "log").digest() == log.digest()


def nightly(folder: Path, export: Path) -> list[Any]:
    """The chain of the guide: results first, then bets, then a training on the new log."""
    return [
        UpdateFightLog(log=str(folder), sources=(str(export),)),
        SettleBets(),
        TrainEnsemble(
            data=str(folder),
            bootstrap_samples=10,
            fits=1,
            folds=3,
            forest_trees=10,
            replica_forest_trees=10,
            alias=None,
        ),
    ]


def test_what_follows_an_import_waits_for_it(
    league: FightLog, ledger: Ledger, tmp_path: Path, start_pool: Callable[..., Any]
) -> None:
    export = write_ufcstats(league, tmp_path / "export")
    receipts = ledger.chains.submit("night-1", nightly(tmp_path / "log", export))
    for queue in ("monitor", "train"):
        start_pool(queue=queue, real=True, concurrency=1)
    outcomes = [ledger.wait(receipt.job_id, WAIT_SECONDS) for receipt in receipts]
    assert [outcome.state for outcome in outcomes] == [JobState.SUCCEEDED] * 3, outcomes[-1].failure
    trained = outcomes[-1].report
    assert isinstance(trained, TrainingReport)
    assert trained.data_cutoff == league.data_cutoff
    (export / "ufc_event_details.csv").unlink()
    receipts = ledger.chains.submit("night-2", nightly(tmp_path / "log", export))
    outcomes = [ledger.wait(receipt.job_id, WAIT_SECONDS) for receipt in receipts]
    codes = [None if outcome.failure is None else outcome.failure.code for outcome in outcomes]
    assert codes == [FailureCode.INVALID_INPUT, FailureCode.PREDECESSOR_FAILED, FailureCode.PREDECESSOR_FAILED]
