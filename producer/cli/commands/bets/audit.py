"""Commands about audit files: `audit export`, `audit verify`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click
from rich.table import Table

from producer.audit.audit_files import Format
from producer.audit.export import export_audit
from producer.audit.verification import IntactFile, verify_file, verify_files
from producer.cli.options.moments import MomentOrAgeParam, moment_of
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.report_tables import records_table

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
@json_option
def audit() -> None:
    """Export what happened in a ledger, and verify such files.

    Each line has the hash of the one before, so that every later change of a file shows. Note the last hash, which both
    commands print, where no user who can write the file can change it.
    """


@audit.command()
@click.option("--since", type=MomentOrAgeParam(), metavar="TIME|AGE", help="Begin here; default: with the oldest.")
@click.option("--until", type=MomentOrAgeParam(), metavar="TIME|AGE", help="End before this time; default: now.")
@click.option(
    "--continue",
    "former",
    type=_FILE,
    metavar="FILE",
    help="Begin where this audit file ends, with its last hash. The file is verified first.",
)
@click.option("--format", "kind", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=_FILE, required=True, metavar="FILE", help="File to write.")
@json_option
@pass_console
def export(
    console: Console,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    former: Path | None,
    kind: Format,
    output: Path,
) -> None:
    """Write submissions, outcomes, changes and bets of a range of time to FILE.

    The file has jobs as submitted, outcomes with their provenance, changes of controls, aliases and schedules, drift
    alarms, changes of fight results and of listed fights, and bets. It has no passwords, tokens or secrets. Jobs are
    held until their retention ends: export at least that often, with --continue.
    """
    if former is not None and since is not None:
        raise click.UsageError("--continue begins where that file ends: leave --since out")
    continued = None if former is None else verify_file(former)
    with Client.from_env() as client:
        now = client.ledger.server.time()
        done = export_audit(
            client.ledger,
            output,
            kind,
            since=moment_of(since, now),
            until=moment_of(until, now),
            former=continued,
        )
    console.output(done, *_tables([done]))
    if (lost := done.counts.get("lost_outcomes", 0)) > 0:
        console.note(f"{lost} lines name outcomes that were no longer held: export more often than jobs are retained.")


@audit.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option("--last-hash", metavar="HASH", help="What the hash of the last line must be.")
@json_option
@pass_console
def verify(console: Console, files: tuple[Path, ...], last_hash: str | None) -> None:
    """Verify that audit files are as they were written.

    Several files must continue each other in this order. If one is broken, the first wrong line is named, with what
    happened to it: changed, missing, reordered, repeated or truncated.
    """
    found = verify_files(files, last_hash)
    console.output({"files": found}, *_tables(found))


def _tables(files: list[IntactFile]) -> list[Table | str]:
    rows = [
        {
            "file": found.file,
            "since": f"{found.range.since:%Y-%m-%d %H:%M:%S}",
            "until": f"{found.range.until:%Y-%m-%d %H:%M:%S}",
            "lines": found.lines,
            "of": ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.counts.items())) or "nothing",
        }
        for found in files
    ]
    return [records_table("Audit files", list(rows[0]), rows), f"Last hash: {files[-1].hash}"]
