"""Commands of odds feeds: run one, show their state and their retrievals, forget one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from ledger.contracts.codec import job_refused
from producer.cli.options.moments import MomentParam
from producer.client import Client
from producer.feed.parsing import PriceFormat
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.feed_tables import changes_table, feed_table, feeds_table, retrievals_table
from producer.service.service_process import require_modules
from producer.settings import ledger_settings


@click.group()
@json_option
def feed() -> None:
    """Run odds feeds: retrieve, store prices, submit cards."""


@feed.command("run")
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--name", metavar="NAME", help="Name of the feed. Default: made from the source.")
@click.option(
    "--format", "price_format", type=click.Choice([each.value for each in PriceFormat]), help="Notation of the prices."
)
@click.option("--model", metavar="NAME", help="Alias or digest. Default: champion.")
@click.option("--keep", metavar="FOLDER", help="Keep each payload of prices in a folder, compressed.")
@click.option("--metrics-port", type=click.IntRange(0, 65_535), help="Port of /metrics; 0: none.", metavar="PORT")
@click.option("--no-cards", is_flag=True, help="Store prices only; submit no cards.")
@click.option("--once", is_flag=True, help="End after one poll of odds-api.")
@click.option("--follow", is_flag=True, help="Go on searching folders for new dumps.")
@click.option("--from", "first", type=MomentParam(), help="Of past prices: the first moment.")
@click.option("--to", "last", type=MomentParam(), help="Of past prices: the last moment.")
@click.option(
    "--step", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Of past prices: time between two."
)
@json_option
@pass_console
def run(
    console: Console,
    sources: tuple[str, ...],
    name: str | None,
    price_format: str | None,
    model: str | None,
    keep: str | None,
    metrics_port: int | None,
    no_cards: bool,
    once: bool,
    follow: bool,
    first: datetime | None,
    last: datetime | None,
    step: float,
) -> None:
    """Run a feed runner until Ctrl-C, or until the end of the source.

    SOURCE is odds-api (The Odds API, polled by the time to the next event and inside its budget), odds-api-history
    (its past prices, from --from to --to), files and folders of dumps, or - for standard input. Any number of feed
    runners of one name may run: one leads, the others stand by and take over. Settings are CORNERMAN_FEED_...
    variables; the API key is CORNERMAN_FEED_API_KEY, or a file named by CORNERMAN_FEED_API_KEY_FILE. Log lines are
    JSON, on stderr.
    """
    require_modules("feed", "httpx", "prometheus_client", "stamina")
    from producer.feed_runner.runner import HISTORY, LIVE, FeedRunner, RunOptions, checked_sources
    from producer.feed_runner.settings import FeedSettings

    if not sources:
        raise click.UsageError("Name a source: odds-api, odds-api-history, files and folders of dumps, or -.")
    given: dict[str, Any] = {
        "feed_name": name,
        "feed_format": price_format,
        "feed_model": model,
        "feed_keep": keep,
        "feed_metrics_port": metrics_port,
    }
    try:
        settings = FeedSettings.from_env(**given)
    except ValueError as error:
        raise job_refused(str(error)) from None
    options = RunOptions(
        sources=checked_sources(sources),
        once=once,
        follow=follow,
        submit_cards=not no_cards,
        first=first,
        last=last,
        step=timedelta(seconds=step),
    )
    if options.sources[0] == HISTORY and (first is None or last is None or first > last):
        raise click.UsageError("Past prices are read from one moment to another: give --from and --to.")
    if not options.from_provider and not settings.feed_format:
        raise click.UsageError("Name the notation of the dumps' prices: --format american or --format decimal.")
    server = ledger_settings()
    Client.from_env().close()
    console.note("The feed runner starts. Ctrl-C stops it.")
    runner = FeedRunner(server, settings, options)
    complete = runner.run()
    read = {what: runner.totals[what] for what in ("retrievals", "quotes", "changes", "cards", "faults")}
    console.output(
        {"feed": runner.name, "complete": complete, **read},
        f"Feed {runner.name}: {read['retrievals']:,} retrievals, {read['quotes']:,} quotes, "
        f"{read['changes']:,} changed prices, {read['cards']:,} cards submitted, {read['faults']:,} events refused.",
    )
    if read["faults"]:
        console.note(f"Show what was refused: cornerman feed status {runner.name}")
    if not complete and once:
        click.get_current_context().exit(ExitCode.FAILED)
    endless = follow or (options.sources[0] == LIVE and not once)
    if not complete or (read["faults"] and not endless):
        click.get_current_context().exit(ExitCode.PARTLY_REFUSED)


@feed.command("status")
@click.argument("name", required=False)
@json_option
@pass_console
def status(console: Console, name: str | None) -> None:
    """Show the registered feeds, or one of them."""
    with Client.from_env() as client:
        if name is not None:
            found = client.ledger.feeds.status(name)
            console.output(found, feed_table(found))
            return
        feeds = client.ledger.feeds.all()
    console.output({"feeds": feeds}, *([feeds_table(feeds)] if feeds else []))
    if not feeds:
        console.note("No feed is registered. Start one: cornerman feed run odds-api")


@feed.command("retrievals")
@click.argument("name")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number to show.")
@json_option
@pass_console
def retrievals(console: Console, name: str, limit: int) -> None:
    """Show the last retrievals of a feed, newest first."""
    with Client.from_env() as client:
        client.ledger.feeds.status(name)
        found = client.ledger.feeds.retrievals(name, limit)
    console.output({"retrievals": found}, retrievals_table(name, found))


@feed.command("events")
@click.argument("name")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show.")
@json_option
@pass_console
def events(console: Console, name: str, limit: int) -> None:
    """Show what has changed about the fights of a feed, newest first.

    These are moved starts, replaced fighters, fights that the feed stopped listing (withdrawn) or lists again
    (returned), and bouts that have another id now; with the bets that were voided, and those that a person has to
    check.
    """
    with Client.from_env() as client:
        client.ledger.feeds.status(name)
        found = client.ledger.feeds.changes.events(name, limit=limit)
        pending = client.ledger.feeds.changes.pending(name)
    changes = [change for _, change in found]
    console.output({"changes": changes, "pending": pending}, changes_table(name, changes))
    if to_check := [bet for change in changes for bet in change.bets_to_check]:
        console.note(f"To be checked by a person: {', '.join(to_check)}. Show one: cornerman bets show BET")


@feed.command("remove")
@click.argument("name")
@json_option
@pass_console
def remove(console: Console, name: str) -> None:
    """Forget a feed that has no feed runner; its price history stays."""
    with Client.from_env() as client:
        client.ledger.feeds.remove(name)
    console.output({"removed": name}, f"Removed {name}.")
