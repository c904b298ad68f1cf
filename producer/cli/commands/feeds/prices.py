"""Commands about price histories: `prices history`, `at`, `close`, `export`, `list`, `archive`."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

import click

from ledger.contracts.codec import job_refused
from ledger.contracts.jobs import ArchivePrices
from ledger.prices.as_of import close_of, quotes_at
from ledger.prices.price_reader import PriceReader
from ledger.prices.prices import last_start
from producer.cli.options.moments import MomentParam
from producer.client import Client, require_report
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.feed_tables import moment_text
from producer.output.price_tables import changes_csv, changes_table, fights_table, quotes_table
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables
from producer.settings import price_archive


@click.group()
@json_option
def prices() -> None:
    """Show the price histories of fights.

    FIGHT is the id of the fight in its feed. Histories that are no longer on the server are read from the archive in
    the store of the pools: CORNERMAN_STORE, or CORNERMAN_DATA.
    """


@prices.command()
@click.argument("fight")
@json_option
@pass_console
def history(console: Console, fight: str) -> None:
    """Show every change of a fight's prices, oldest first."""
    with Client.from_env() as client:
        found = _reader(client).history(fight)
    console.output({"fight_id": fight, "changes": found}, *([changes_table(fight, found)] if found else []))
    _end(console, fight, known=bool(found))


@prices.command()
@click.argument("fight")
@click.argument("moment", type=MomentParam())
@json_option
@pass_console
def at(console: Console, fight: str, moment: datetime) -> None:
    """Show the quotes that stood at a moment.

    Only what had been read by then counts.
    """
    with Client.from_env() as client:
        prices = _reader(client).read(fight)
    found = quotes_at(prices.changes, moment)
    tables = [quotes_table(f"At {moment_text(moment)}", found)] if found else []
    console.output({"fight_id": fight, "at": moment, "quotes": found}, *tables)
    _end(console, fight, known=bool(prices.changes), empty=None if found else f"No quotes stood at {moment}.")


@prices.command()
@click.argument("fight")
@click.option("--bell", type=MomentParam(), help="Start of the fight. Default: as its last reading has it.")
@json_option
@pass_console
def close(console: Console, fight: str, bell: datetime | None) -> None:
    """Show the close: of each bookmaker the last quote before the bell."""
    with Client.from_env() as client:
        prices = _reader(client).read(fight)
    bell = bell or last_start(prices.starts)
    found = () if bell is None else close_of(prices.changes, bell)
    tables = [quotes_table(f"Close at {moment_text(bell)}", found)] if found else []
    console.output({"fight_id": fight, "bell": bell, "quotes": found}, *tables)
    _end(console, fight, known=bool(prices.changes), empty=None if found else f"No quotes stood at the bell, {bell}.")


@prices.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="FILE.csv")
@click.argument("fights", nargs=-1, metavar="FIGHT...")
@click.option("--all", "everything", is_flag=True, help="All fights whose prices are on the server.")
@json_option
@pass_console
def export(console: Console, file: Path, fights: tuple[str, ...], everything: bool) -> None:
    """Write the changes of fights to a CSV file (- for stdout)."""
    with Client.from_env() as client:
        names = client.ledger.prices.fights() if everything else list(fights)
        if not names:
            raise click.UsageError("Name the fights, or give --all.")
        reader = _reader(client)
        changes = [change for name in names for change in reader.history(name)]
    text = changes_csv(changes)
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise job_refused(f"{file} cannot be written: {error.strerror}") from error
    document = {"file": str(file), "fights": len(names), "changes": len(changes)}
    console.output(document, f"{len(changes):,} changes of {len(names):,} fights are in {file}.")


@prices.command("list")
@json_option
@pass_console
def list_fights(console: Console) -> None:
    """List the fights whose prices are on the server, the earliest start first."""
    with Client.from_env() as client:
        found = [state for state in client.ledger.prices.states(client.ledger.prices.fights()) if state is not None]
    console.output({"fights": found}, *([fights_table(found)] if found else []))
    if not found:
        console.note("No prices. Read some: cornerman feed run SOURCE")


@prices.command()
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Keep fights on the server that started or were read within this time.",
)
@click.option("--timeout", type=click.FloatRange(min=0), default=600.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def archive(console: Console, keep_days: float, timeout: float) -> None:
    """Write all histories into the store, and remove old ones from the server.

    A monitoring worker runs the job, on the store of its pool. To do so every night: cornerman schedules put prices
    --cron "30 3 * * *" --job archive_prices.
    """
    job = ArchivePrices(keep_days=keep_days, nonce=uuid.uuid4().hex)
    with Client.from_env() as client:
        report = require_report(wait_with_progress(client, console, client.enqueue(job).job_id, timeout))
    console.output(report, *report_tables(report))


def _reader(client: Client) -> PriceReader:
    return PriceReader(client.ledger.prices, price_archive())


def _end(console: Console, fight: str, *, known: bool, empty: str | None = None) -> None:
    """Say why nothing is shown; end with an exit code of its own if the fight has no prices at all."""
    if not known:
        console.note(f"No quotes of {fight!r}. Fights with prices: cornerman prices list")
        click.get_current_context().exit(ExitCode.UNKNOWN_JOB)
    if empty is not None:
        console.note(empty)
