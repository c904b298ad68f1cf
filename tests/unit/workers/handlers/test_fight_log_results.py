from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from engine.data.fight_log import FightLog
from engine.fight_log_import.import_sources import ImportResult
from tests.support.small_models import small_league
from workers.handlers.fight_log.update_fight_log import recent_results


def test_an_overturned_fight_comes_with_the_result_as_it_was_announced() -> None:
    log = small_league().log
    fights = log.fights.copy()
    last = fights.index[-1]
    fights.loc[last, ["winner", "announced_winner"]] = ["nc", "blue"]
    changed = FightLog(fights, log.stat_lines, log.fighters)
    now = datetime.combine(changed.data_cutoff, datetime.min.time(), UTC) + pd.Timedelta(days=1)
    results = recent_results(ImportResult(None, changed.digest(), [], log=changed), now)
    (overturned,) = [result for result in results if result.first is not None]
    assert (overturned.winner, overturned.ending) == (None, "no_contest")
    assert overturned.first is not None
    assert (overturned.first.winner, overturned.first.ending) == (1, "won")
    assert overturned.first.fighters == overturned.fighters
    assert len(results) > 1
