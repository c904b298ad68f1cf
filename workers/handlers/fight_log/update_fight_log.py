"""Handler of `UpdateFightLog`: import sources into a fight log, and add their results to the ledger.

The log gets its new version first. A worker that dies before the results are added leaves a log that the repeated job
finds unchanged, so results are taken from the log and not from what this attempt changed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import ValidationError
from engine.fight_log_import.closes import CloseOf
from engine.fight_log_import.import_sources import (
    FaultyImportError,
    ImportOptions,
    ImportResult,
    import_sources,
)
from engine.fight_log_import.links import Link
from engine.fight_log_import.score_feed import FeedResult, from_feed_results
from ledger.contracts.job_reports.fight_log_report import (
    MAX_LISTED,
    FightLogReport,
    LogChange,
    OpenCase,
    ProposedLink,
    ReadSource,
    SourceFault,
)
from ledger.contracts.jobs import UpdateFightLog
from ledger.contracts.local_protocol import ImportFights
from ledger.contracts.prediction_record import PredictionRecord
from ledger.dataset_files import TABLES, current_version
from ledger.models.fight_results import Ending, FightResult
from workers.handlers.fight_log.fair_closes import fair_close
from workers.jobs.context import JobContext

RESULT_DAYS = 400
"""Results of fights of the last days that the ledger gets: longer than a bet or a review waits for one."""
USER = "fight-log import"
STEPS = 2
_WINNERS: dict[str, Literal[0, 1]] = {"red": 0, "blue": 1}
_ENDINGS: dict[str, Ending] = {"draw": "draw", "nc": "no_contest"}


def update_fight_log(job: UpdateFightLog, context: JobContext) -> FightLogReport:
    """Import into the log, then add the results. Raises FaultyImportError, and ValidationError."""
    ledger = context.ledger
    now = datetime.fromtimestamp(ledger.server.time(), UTC)
    context.progress("importing", 0, STEPS)
    extra = [from_feed_results(known_feed_fights(ledger.prediction_log.entries(), now.date()))]
    close_of = (lambda fight_id: fair_close(ledger.prices.close(fight_id))) if job.closes else None
    result = _run(job, now, extra, close_of)
    context.progress("adding results", 1, STEPS)
    added = None
    if not job.dry_run and result.log is not None:
        results = recent_results(result, now)
        added = msgspec.to_builtins(ledger.fight_results.add(results, user=USER))
    return to_report(job, result, added)


def import_here(request: ImportFights) -> FightLogReport:
    """Import without a ledger: no closes, no results. Raises as `update_fight_log` does."""
    try:
        result = _run(request.job, datetime.now(UTC), [], None)
    except FaultyImportError as error:
        if request.report is not None:
            _write_json(request.report, {"faults": [msgspec.to_builtins(fault) for fault in error.faults]})
        raise
    if request.report is not None:
        _write_json(request.report, result.to_json())
    return to_report(request.job, result, None)


def known_feed_fights(records: Sequence[PredictionRecord], today: date) -> list[FeedResult]:
    """Return the past fights of the prediction log that have an id of their own, for links; results are unknown."""
    by_id: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    first = today - timedelta(days=RESULT_DAYS)
    for record in records:
        if record.fight_id and first <= record.day <= today:
            by_id[record.fight_id].add((record.fighters, record.day))
    return [
        FeedResult(fight_id, day, fighters)
        for fight_id, known in by_id.items()
        if len({fighters for fighters, _ in known}) == 1  # an id that two fights share is none
        for fighters, day in [max(known, key=lambda one: one[1])]
    ]


def recent_results(result: ImportResult, now: datetime) -> list[FightResult]:
    """Return the results of the log's fights of the last `RESULT_DAYS`, with all ids under which sources know them."""
    log = result.log
    if log is None:
        return []
    names = dict(zip(log.fighters["fighter_id"], log.fighters["name"], strict=True))
    ids: dict[str, list[str]] = {}
    for link in result.links:
        if link.kind == "fight":
            ids.setdefault(link.log_id, []).append(link.source_id)
    first = (now - timedelta(days=RESULT_DAYS)).date()
    found: dict[str, FightResult] = {}
    for fight in log.fights[log.fights["date"] >= first.isoformat()].to_dict("records"):
        pair = (names[fight["red_id"]], names[fight["blue_id"]])
        final, announced = fight["winner"], fight["announced_winner"] or fight["winner"]
        one = FightResult(
            date=fight["date"].date(),
            fighters=pair,
            winner=_WINNERS.get(final),
            ending=_ENDINGS.get(final, "won"),
            fight_ids=tuple(ids.get(fight["fight_id"], ())),
            first=None if announced == final else _announced(fight["date"].date(), pair, announced),
        )
        # The ledger has one result of a pair and a day: of two such fights the last one counts.
        found[one.key] = one
    return list(found.values())


def _announced(day: date, fighters: tuple[str, str], winner: str) -> FightResult:
    """Return the result of a fight as it was announced: bets are settled by it."""
    return FightResult(date=day, fighters=fighters, winner=_WINNERS.get(winner), ending=_ENDINGS.get(winner, "won"))


def to_report(job: UpdateFightLog, result: ImportResult, results: dict[str, int] | None) -> FightLogReport:
    """Return the report of an import, with lists of bounded length."""
    lists: dict[str, Sequence[Any]] = {
        "added_fights": result.added_fights,
        "changes": result.changes,
        "proposals": result.proposals,
        "cases": result.cases,
        "faults": result.faults,
        "notes": result.notes,
    }
    counts = Counter({name: len(entries) for name, entries in lists.items()})
    counts["added_fighters"] = len(result.added_fighters)
    counts.update(change.change for change in result.changes)
    counts.update(case.case for case in result.cases)
    types = {"changes": LogChange, "proposals": ProposedLink, "cases": OpenCase, "faults": SourceFault}
    shown: dict[str, Any] = {
        name: tuple(
            msgspec.convert(entry, types[name], from_attributes=True) if name in types else entry
            for entry in entries[:MAX_LISTED]
        )
        for name, entries in lists.items()
    }
    return FightLogReport(
        log=job.log,
        digest_before=result.digest_before,
        digest=result.digest,
        changed=result.changed,
        dry_run=job.dry_run,
        sources=tuple(msgspec.convert(source, ReadSource, from_attributes=True) for source in result.sources),
        counts=dict(sorted(counts.items())),
        warnings=tuple(result.warnings),
        results=results,
        **shown,
    )


def _run(job: UpdateFightLog, now: datetime, extra: Sequence[Any], close_of: CloseOf | None) -> ImportResult:
    if not job.sources and close_of is None:
        raise ValidationError("there is nothing to import: name files or folders")
    folder = Path(job.log)
    choices = [Link(one.kind, one.source, one.source_id, one.log_id, "chosen") for one in job.links]
    options = ImportOptions(
        format=job.format,
        skip_faulty=job.skip_faulty,
        dry_run=job.dry_run,
        known_at=now if _has_log(folder) else None,  # what was imported at first is history
        choices=choices,
    )
    return import_sources(folder, [Path(source) for source in job.sources], options, extra, close_of)


def _has_log(folder: Path) -> bool:
    return any(path.name.startswith(f"{TABLES[0]}.") for path in current_version(folder).glob(f"{TABLES[0]}.*"))


def _write_json(path: str, content: Any) -> None:
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
