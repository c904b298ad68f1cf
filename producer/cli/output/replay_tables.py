"""Tables of a replay's report. Layout only; every figure stands in the report."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from ledger.contracts.provenance import Surroundings
from ledger.contracts.replay_report import TOLERANCE, ReplayReport

NOTHING = "-"
OBSTACLES = {
    "no_outcome": "it has no outcome yet",
    "no_origin": "no worker made its outcome, or one of a version that did not keep what it was made from",
    "expired": "its deadline decided, and no answer was made or kept",
    "cancelled": "its caller took it back",
    "worker_lost": "it took its worker down: there is no answer to make again",
    "time_limit_exceeded": "the time that it took decided, which is another each time",
    "memory_limit_exceeded": "the memory that there was decided, which is another each time",
    "model_not_found": "the models that there were decided: ask the same job again with --force",
    "model_corrupt": "the files that there were decided: ask the same job again with --force",
    "itself_a_replay": "it is a replay: replay the job that it was about",
    "changes_things": "it takes things away, and done again it would take away others",
    "results_decided": "it depended on the results at that time: use cornerman models review or models compare",
    "part_of_another": "it is a part or the shadow of another job: replay that",
}


def replay_tables(report: ReplayReport) -> list[Table]:
    """Return what came out, and the surroundings of both outcomes where they are not the same."""
    table = _table(f"Replay of {report.job_kind} {report.job_id}", "verdict", "first difference", "kept", "again")
    table.add_row(
        Text(report.verdict.replace("_", " "), style="green" if report.agrees else "red"),
        *(Text(NOTHING if cell is None else cell) for cell in _difference(report)),
    )
    table.caption = _said(report)
    before, now = report.made_in, report.replayed_in
    if before is None or now is None or before == now:
        return [table]
    return [table, _surroundings(before, now)]


def _difference(report: ReplayReport) -> tuple[str | None, ...]:
    first = report.first_difference
    return (None, None, None) if first is None else (first.field, first.kept, first.again)


def _said(report: ReplayReport) -> str:
    match report.verdict:
        case "same":
            return "every bit is the same"
        case "not_replayable":
            return f"not replayable: {OBSTACLES.get(report.obstacle or '', report.obstacle)}"
        case "close" if report.agrees:
            return (
                f"numbers differ by at most {report.largest_difference:.1e} ({TOLERANCE:g} is allowed), all words are "
                "the same: other processors and libraries may do that"
            )
        case "close":
            return f"numbers differ by at most {report.largest_difference:.1e}, although nothing about the machine does"
        case _:
            return "THE OUTCOME THAT IS KEPT IS NOT WHAT ITS JOB GIVES: look at the first difference"


def _surroundings(before: Surroundings, now: Surroundings) -> Table:
    table = _table("What is not the same around it", "what", "then", "now")
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
