"""The log of real fights and its replay, which takes seconds: a test run makes it once."""

from __future__ import annotations

import os
import pickle
from functools import cache
from pathlib import Path

import pytest

from engine.data.fight_log import FightLog, read_fight_log
from engine.data.rated_log import RatedLog, rate_log
from tests.support.shared_files import made_once

DATA = Path(os.environ.get("CORNERMAN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")

needs_real_fights = pytest.mark.skipif(not (DATA / "fights.csv.gz").is_file(), reason=f"no real fights in {DATA}")


@cache
def real_log() -> FightLog:
    """Return the log. Tests change copies of its tables."""
    return read_fight_log(DATA)


@cache
def real_replay() -> RatedLog:
    """Return the replay of the whole log."""
    folder = made_once("replay-of-real-fights", lambda place: _write(place / "replay"))
    replay: RatedLog = pickle.loads((folder / "replay").read_bytes())  # noqa: S301 - written by this test run
    return replay


def _write(path: Path) -> None:
    path.write_bytes(pickle.dumps(rate_log(real_log())))
