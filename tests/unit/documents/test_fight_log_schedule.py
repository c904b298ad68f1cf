"""The schedule in the page about fight logs is one that the ledger takes."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ledger.contracts.jobs import kind_of
from ledger.contracts.schedules import Schedule

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "fight-log-import.md"


def test_the_chain_of_the_night_is_a_schedule() -> None:
    jobs = [
        quoted or f'{{"kind": "{kind}"}}' for quoted, kind in re.findall(r"--job (?:'([^']+)'|(\w+))", PAGE.read_text())
    ]
    (cron,) = re.findall(r'--cron "([^"]+)"', PAGE.read_text())
    document = f'{{"name": "nightly", "cron": "{cron}", "jobs": [{", ".join(jobs)}]}}'
    schedule = msgspec.json.decode(document, type=Schedule)
    kinds = [kind_of(job) for job in schedule.jobs]
    assert kinds == ["update_fight_log", "settle_bets", "review_model", "train_ensemble", "judge_models"]
