"""Tables of a replay's report. Layout only."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from ledger.contracts.provenance import RuntimeEnvironment
from ledger.contracts.replay_report import NUMBER_TOLERANCE, ReplayReport

NOTHING = "-"
OBSTACLES = {
    "no_outcome": "it has no outcome yet",
    "no_origin": "no worker computed its outcome, or the worker's version did not record the provenance",
    "expired": "its deadline passed, and no report was computed or stored",
    "cancelled": "its caller cancelled it",
    "worker_lost": "it crashed its worker: there is no report to recompute",
    "time_limit_exceeded": "it depended on the time taken, which differs each time",
    "memory_limit_exceeded": "it depended on the free memory, which differs each time",
    "model_not_found": "it depended on the models at that time: submit the job again with --force",
    "model_corrupt": "it depended on the files at that time: submit the job again with --force",
    "itself_a_replay": "it is a replay: replay the original job",
    "changes_things": "it deletes files, and a replay would delete others",
    "results_decided": "it depended on the results at that time: use cornerman models review or models compare",
    "part_of_another": "it is a part or the shadow of another job: replay that job",
}


def replay_tables(report: ReplayReport) -> list[Table]:
    """Return the table of the verdict, and one of the runtime environments if these differ."""
    table = _table(
        f"Replay of {report.job_kind} {report.job_id}", "verdict", "first difference", "stored", "recomputed"
    )
    table.add_row(
        Text(report.verdict.replace("_", " "), style="green" if report.agrees else "red"),
        *(Text(NOTHING if cell is None else cell) for cell in _difference(report)),
    )
    table.caption = replay_text(report)
    before, now = report.made_in, report.replayed_in
    if before is None or now is None or before == now:
        return [table]
    return [table, _surroundings(before, now)]


def _difference(report: ReplayReport) -> tuple[str | None, ...]:
    first = report.first_difference
    return (None, None, None) if first is None else (first.field, first.kept, first.again)


def replay_text(report: ReplayReport) -> str:
    """Describe the verdict of a replay."""
    match report.verdict:
        case "same":
            return "every bit is the same"
        case "not_replayable":
            return f"not replayable: {OBSTACLES.get(report.obstacle or '', report.obstacle)}"
        case "close" if report.agrees:
            return (
                f"numbers differ by at most {report.largest_difference:.1e} "
                f"(allowed: {NUMBER_TOLERANCE:g}), all text is "
                "equal: expected with another processor or other libraries"
            )
        case "close":
            return f"numbers differ by at most {report.largest_difference:.1e}, although the environments are equal"
        case _:
            return "THE STORED OUTCOME DIFFERS FROM THE RECOMPUTED ONE: see the first difference"


def _surroundings(before: RuntimeEnvironment, now: RuntimeEnvironment) -> Table:
    table = _table("Differences of the environments", "what", "then", "now")
    if before.processor != now.processor:
        table.add_row("processor", Text(before.processor), Text(now.processor))
    for name in sorted(before.libraries.keys() | now.libraries.keys()):
        versions = (before.libraries.get(name, NOTHING), now.libraries.get(name, NOTHING))
        if versions[0] != versions[1]:
            table.add_row(Text(name), *map(Text, versions))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
