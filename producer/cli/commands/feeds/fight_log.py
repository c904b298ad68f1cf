"""The commands `fight-log import`, `fight-log links` and `fight-log changes`."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

import click

from ledger.contracts.codec import job_refused
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.jobs import LinkChoice, SourceFormat, UpdateFightLog
from ledger.contracts.local_protocol import ImportFights
from ledger.dataset_files import current_version
from producer.client import Client, require_report
from producer.local.subprocess_runner import import_fights
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.fight_log_tables import fight_log_tables
from producer.output.progress import submit_with_retry, wait_with_progress
from producer.output.report_tables import records_table

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


class LinkParam(click.ParamType[LinkChoice]):
    """Command-line type for a link that an operator has chosen."""

    name = "link"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> LinkChoice:
        """Parse `fighter:ufcstats:ID=LOG_ID`."""
        if isinstance(value, LinkChoice):
            return value
        source, equals, log_id = str(value).rpartition("=")
        kind, _, rest = source.partition(":")
        name, _, source_id = rest.partition(":")
        if not (equals and log_id and name and source_id and kind in ("fight", "fighter")):
            self.fail(f"{value!r} is not like fighter:ufcstats:ID=LOG_ID, or =new", param, ctx)
        return LinkChoice(kind=cast("Any", kind), source=name, source_id=source_id, log_id=log_id)


@click.group("fight-log")
@json_option
def fight_log() -> None:
    """Import fights and results into a fight log."""


@fight_log.command("import")
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path), metavar="SOURCE...")
@click.option("--log", "folder", required=True, type=click.Path(path_type=Path), help="Folder of the fight log.")
@click.option(
    "--format",
    "source_format",
    type=click.Choice(get_args(SourceFormat)),
    default="auto",
    show_default=True,
    help="Format of the sources; auto: found out by their columns.",
)
@click.option("--skip-faulty", is_flag=True, help="Import what is without fault; otherwise a fault refuses everything.")
@click.option("--dry-run", is_flag=True, help="Report what would change, and write nothing.")
@click.option(
    "--link",
    "links",
    type=LinkParam(),
    multiple=True,
    metavar="KIND:SOURCE:ID=LOG_ID",
    help="Link an ambiguous fight or fighter; =new for none of the log.",
)
@click.option("--local", is_flag=True, help="Import on this machine, without a server: no closes, no results.")
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE", help="With --local: write all lists as JSON."
)
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit; default: none.")
@json_option
@pass_console
def import_sources(
    console: Console,
    /,
    sources: tuple[Path, ...],
    folder: Path,
    source_format: str,
    links: tuple[LinkChoice, ...],
    local: bool,
    report: Path | None,
    timeout: float | None,
    skip_faulty: bool,
    dry_run: bool,
) -> None:
    """Import SOURCE... into a fight log.

    A source is a folder with an export of UFC Stats, a public table, a file of scores, or tables of a fight log, on the
    machine of the monitoring pool. Importing the same again changes nothing. A worker also fills in closing prices that
    the ledger has kept, and adds the results to the ledger.

    The exit code of a dry run is 1 if there are faults.
    """
    if report is not None and not local:
        raise job_refused("--report needs --local: a worker writes all lists to last-import.json in the log's folder")
    job = UpdateFightLog(
        log=str(folder.absolute()),
        sources=tuple(str(source.absolute()) for source in sources),
        format=cast("SourceFormat", source_format),
        links=links,
        skip_faulty=skip_faulty,
        dry_run=dry_run,
        nonce=uuid.uuid4().hex,
    )
    if local:
        found = import_fights(ImportFights(job=job, report=None if report is None else str(report)), console)
        console.output(found, *fight_log_tables(found))
    else:
        with Client.from_env() as client:
            receipt = submit_with_retry(client, console, lambda: client.enqueue(job), None, timeout)
            outcome = wait_with_progress(client, console, receipt.job_id, timeout)
        found = cast("FightLogReport", require_report(outcome))
        console.output({"outcome": outcome}, *fight_log_tables(found))
    if found.dry_run and found.faults:
        click.get_current_context().exit(ExitCode.FAILED)


@fight_log.command()
@click.argument("folder", type=_FOLDER)
@click.option("--id", "wanted", metavar="ID", help="Only links from or to this id.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show.")
@json_option
@pass_console
def links(console: Console, folder: Path, wanted: str | None, limit: int) -> None:
    """List the links from the ids of sources to those of the log in FOLDER."""
    rows = [row for row in _read(folder, "links.csv") if wanted in (None, row["source_id"], row["log_id"])]
    _show(console, "links", "Links", ("kind", "source", "source_id", "log_id", "how"), rows[:limit], len(rows))


@fight_log.command()
@click.argument("folder", type=_FOLDER)
@click.option("--all", "every", is_flag=True, help="Show values for blanks, too.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show.")
@json_option
@pass_console
def changes(console: Console, folder: Path, every: bool, limit: int) -> None:
    """List what imports have changed in the log in FOLDER, newest first: overturned results and corrected values."""
    rows = [row for row in reversed(_read(folder, "changes.csv")) if every or row["change"] != "filled"]
    columns = ("known_at", "change", "table", "fight_id", "fighter_id", "column", "before", "after", "source")
    _show(console, "changes", "Changes, newest first", columns, rows[:limit], len(rows))


def _read(folder: Path, name: str) -> list[dict[str, str]]:
    path = current_version(folder) / name
    if not path.is_file():
        raise job_refused(f"{folder} has no {name}: nothing has been imported into it yet")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _show(
    console: Console, name: str, title: str, columns: Sequence[str], rows: Sequence[dict[str, str]], known: int
) -> None:
    tables = [records_table(title, list(columns), list(rows))] if rows else []
    console.output({name: list(rows), "known": known}, *tables)
    if not rows:
        console.note(f"No {name}.")
    elif known > len(rows):
        console.note(f"{known:,} in total; --limit shows more.")
