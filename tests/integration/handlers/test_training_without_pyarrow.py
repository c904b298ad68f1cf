"""A training pool, whose pandas was imported without pyarrow: the same bits and errors from CSV and from Parquet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.fight_log import write_fight_log
from engine.errors import ValidationError
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.failures import FailureCode
from ledger.contracts.jobs import Backtest, MatrixColumns, TrainEnsemble
from ledger.ledger import Ledger
from tests.support.pools import PoolProcess
from workers.handlers.training.train_ensemble import train_in_process

pytestmark = pytest.mark.new_interpreter

WAIT_SECONDS = 120
COLUMNS = MatrixColumns(label="won", event="event", date="date", red_odds="red_price", blue_odds="blue_price")
SMALL: dict[str, Any] = {"fits": 1, "folds": 3, "forest_trees": 10}


@dataclass
class Pool:
    """A pool with one child that trains."""

    ledger: Ledger
    process: PoolProcess

    def outcome(self, job: Any) -> Any:
        return self.ledger.wait(self.ledger.submit(job).job_id, WAIT_SECONDS)

    def has_loaded_pyarrow(self) -> bool:
        [child] = self.process.children()
        return "libarrow" in Path(f"/proc/{child.pid}/maps").read_text()


@pytest.fixture
def pool(ledger: Ledger, start_pool: Callable[..., PoolProcess]) -> Pool:
    return Pool(ledger, start_pool(queue="train", real=True, concurrency=1, CORNERMAN_THREADS="1"))


def matrix() -> pd.DataFrame:
    """Fights whose columns of text have letters that are not ASCII, blanks and days in several spellings."""
    rng = np.random.default_rng(5)
    n = 320
    frame = pd.DataFrame({"red_x": rng.normal(size=n), "blue_x": rng.normal(size=n), "diff_age": rng.normal(size=n)})
    frame.loc[::7, "diff_age"] = np.nan
    night = np.arange(n) // 8
    days = [str(pd.Timestamp("2015-01-01").date() + pd.Timedelta(days=7 * int(k))) for k in night]
    return frame.assign(
        won=(frame["red_x"] - frame["blue_x"] + rng.normal(size=n) > 0).astype(int),
        event=[f" İstanbul, Ñight {k} " if k % 2 else f"night {k}" for k in night],
        date=[f"{day}T22:00:00-05:00" if k % 3 else day for k, day in enumerate(days)],
        red_price=np.where(rng.random(n) < 0.2, np.nan, 1.9),
        blue_price=2.0,
    )


def training(data: Path, columns: MatrixColumns | None) -> TrainEnsemble:
    return TrainEnsemble(data=str(data), matrix=columns, bootstrap_samples=0, alias=None, **SMALL)


def digest_here(job: TrainEnsemble, folder: Path) -> str:
    """Return the model's digest of the training in this process, whose pandas has pyarrow."""
    assert pd.Series(["text"]).dtype == pd.StringDtype("pyarrow", na_value=np.nan)
    folder.mkdir()
    return train_in_process(job, folder, lambda stage, done, total: None, float("inf"), 1).digest


def test_matrices_in_csv_and_parquet_give_the_bits_of_a_process_with_pyarrow(pool: Pool, tmp_path: Path) -> None:
    frame = matrix()
    frame.to_csv(tmp_path / "fights.csv", index=False)
    frame.to_parquet(tmp_path / "fights.parquet", index=False)
    typed = frame.assign(
        event=frame["event"].astype("category"), won=frame["won"].astype("Int64"), date=frame["date"].str.slice(0, 10)
    )
    typed.assign(date=pd.to_datetime(typed["date"])).to_parquet(tmp_path / "typed.parquet", index=False)
    digests = set()
    for name in ("fights.csv", "fights.parquet", "typed.parquet"):
        job = training(tmp_path / name, COLUMNS)
        outcome = pool.outcome(job)
        assert outcome.report is not None, outcome.failure
        assert pool.has_loaded_pyarrow() == (name != "fights.csv")
        digests |= {outcome.report.model, digest_here(job, tmp_path / f"here {name}")}
    assert len(digests) == 1


def test_fight_logs_in_csv_and_parquet_give_the_same_model_and_backtest(pool: Pool, tmp_path: Path) -> None:
    log = simulate_league(LeagueConfig(fights=500, seed=6)).log
    models, backtests = [], []
    for suffix in (".csv.gz", ".parquet"):
        data = tmp_path / f"log{suffix}"
        write_fight_log(log, data, suffix)
        job = training(data, None)
        models += [pool.outcome(job).report.model, digest_here(job, tmp_path / f"here{suffix}")]
        first_day = log.fights["date"].iloc[-40].date()
        report = pool.outcome(Backtest(data=str(data), bootstrap_samples=0, first_day=first_day, **SMALL)).report
        backtests.append(report)
    assert len(set(models)) == 1
    assert backtests[0] == backtests[1]


def test_faults_in_parquet_are_refused_with_the_same_words(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no table PAR1")
    matrix().assign(red_x=["text", *["1.0"] * 319], date=[None, *["2020-01-01"] * 319]).to_parquet(
        tmp_path / "faulty.parquet", index=False
    )
    for name in ("broken.parquet", "faulty.parquet"):
        job = training(tmp_path / name, COLUMNS)
        with pytest.raises(ValidationError) as here:
            digest_here(job, tmp_path / f"here {name}")
        failure = pool.outcome(job).failure
        assert (failure.code, failure.message) == (FailureCode.INVALID_INPUT, str(here.value))
