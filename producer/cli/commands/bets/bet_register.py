"""Commands of the register of bets: list, show, place, void, settle, exposure, account."""

from __future__ import annotations

import uuid

import click

from ledger.bets.bet_register import MAX_ENTRIES, StoredBet
from ledger.contracts.bets import BetMode, BetRequest, BetResult
from ledger.contracts.jobs import SettleBets
from producer.betting.bet_requests import place_request
from producer.cli.options.amounts import AmountParam
from producer.cli.options.audit import audit_options, user_option
from producer.cli.options.idempotency import receipt_text
from producer.client import Client, require_report
from producer.output.bet_tables import account_table, bets_table, entries_table, exposure_tables
from producer.output.console import Console, json_option, pass_console
from producer.output.progress import wait_with_progress
from producer.output.report_tables import report_tables

_MODE = click.Choice(["paper", "live"])
_ANY_MODE = click.option("--mode", type=_MODE, help="Mode; default: the present one.")


@click.command("list")
@click.option("--mode", type=_MODE, help="Only bets of this mode.")
@click.option("--all", "ended", is_flag=True, help="Show all bets, newest first.")
@click.option("--limit", type=click.IntRange(1, MAX_ENTRIES), default=100, show_default=True, help="Maximum to show.")
@json_option
@pass_console
def list_bets(console: Console, mode: BetMode | None, ended: bool, limit: int) -> None:
    """List open bets, oldest first."""
    with Client.from_env() as client:
        register = client.ledger.bets
        if ended:
            found = register.newest(limit, mode=mode)
        else:
            every = register.open_bets(mode)
            found = [StoredBet(bet=bet, state="open") for bet in every[:limit]]
    console.output({"bets": found}, *([bets_table("Bets", found)] if found else []))
    if not found:
        console.note("No bets." if ended else "No open bets. Show all: cornerman bets list --all")
    elif not ended and len(every) > len(found):
        console.note(f"{len(found):,} of {len(every):,} open bets. Show more: --limit")


@click.command()
@click.argument("bet_id", metavar="BET")
@json_option
@pass_console
def show(console: Console, bet_id: str) -> None:
    """Show a bet and its entries."""
    with Client.from_env() as client:
        stored = client.ledger.bets.get(bet_id)
        entries = client.ledger.bets.history(bet_id)
    console.output({"bet": stored, "entries": entries}, bets_table("Bet", [stored]), entries_table(entries))


@click.command()
@click.argument("job_id", metavar="JOB")
@click.argument("fight_id", metavar="FIGHT")
@click.option(
    "--stake", type=AmountParam(), required=True, metavar="AMOUNT", help="In the smallest unit of the currency."
)
@click.option("--fighter", metavar="NAME", help="Default: that of the decision.")
@click.option("--bookmaker", metavar="NAME", help="Default: that of the decision.")
@click.option("--price", type=click.FloatRange(min=1, min_open=True), metavar="DECIMAL", help="Price that was taken.")
@click.option("--commission", type=click.FloatRange(0, 1, max_open=True), metavar="SHARE", help="Of an exchange.")
@click.option("--mode", type=_MODE, help="Default: that of the control betting.")
@click.option("--bet-id", default="", metavar="ID", help="Default: a digest of job, fight and mode.")
@click.option("--taken", is_flag=True, help="It was taken already: record it whatever the caps say.")
@user_option
@json_option
@pass_console
def place(
    console: Console,
    job_id: str,
    fight_id: str,
    stake: int,
    fighter: str | None,
    bookmaker: str | None,
    price: float | None,
    commission: float | None,
    mode: BetMode | None,
    bet_id: str,
    taken: bool,
    user: str,
) -> None:
    """Record a bet on a fight of an answered card.

    What is not given is that of the answer's decision. Placing a bet again has no effect.
    """
    request = BetRequest(
        job_id=job_id,
        fight_id=fight_id,
        stake=stake,
        fighter=fighter,
        bookmaker=bookmaker,
        price=price,
        commission=commission,
        mode=mode,
        bet_id=bet_id,
        taken=taken,
    )
    with Client.from_env() as client:
        receipt = place_request(client.ledger, request, user=user)
    summary = f"Bet {receipt.bet.bet_id} is {'placed' if receipt.created else f'known, and {receipt.state}'}."
    console.output(receipt, summary)


@click.command()
@click.argument("bet_ids", nargs=-1, metavar="BET...")
@click.option("--fight", "fight_id", metavar="ID", help="Void all open bets on this fight.")
@audit_options(required=True)
@json_option
@pass_console
def void(console: Console, bet_ids: tuple[str, ...], fight_id: str | None, user: str, reason: str) -> None:
    """Void open bets: their stakes come back."""
    if not bet_ids and fight_id is None:
        raise click.UsageError("name bets, or a fight with --fight")
    with Client.from_env() as client:
        voided = client.ledger.bets.void(bet_ids, fight_id=fight_id, user=user, reason=reason)
    console.output({"voided": voided}, f"{len(voided)} bets are void now.")


@click.command()
@click.argument("bet_id", required=False, metavar="[BET]")
@click.option("--result", type=click.Choice(["won", "lost", "void"]), help="Settle one bet by hand.")
@click.option("--replace", is_flag=True, help="Settle it again if it is settled otherwise; the first entry stays.")
@click.option("--wait", is_flag=True, help="Wait, and show what was settled.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Limit of --wait; default: none.")
@user_option
@json_option
@pass_console
def settle(
    console: Console,
    bet_id: str | None,
    result: BetResult | None,
    replace: bool,
    wait: bool,
    timeout: float | None,
    user: str,
) -> None:
    """Settle all bets whose results are known, by a job; or one BET by hand."""
    if (bet_id is None) != (result is None):
        raise click.UsageError("a bet is settled by hand with its --result; without both, by the known results")
    with Client.from_env() as client:
        if bet_id is not None and result is not None:
            settled = client.ledger.bets.settle({bet_id: result}, user=user, replace=replace)
            console.output({"settled": settled}, f"{len(settled)} bets were settled.")
            return
        receipt = client.enqueue(SettleBets(nonce=uuid.uuid4().hex))
        if not wait:
            console.output(receipt, receipt_text(receipt))
            return
        report = require_report(wait_with_progress(client, console, receipt.job_id, timeout))
    console.output(report, *report_tables(report))


@click.command()
@_ANY_MODE
@json_option
@pass_console
def exposure(console: Console, mode: BetMode | None) -> None:
    """Show what is at stake, and what the caps leave."""
    with Client.from_env() as client:
        found = client.ledger.bets.exposure(mode)
    console.output(found, *exposure_tables(found))


@click.command()
@_ANY_MODE
@json_option
@pass_console
def account(console: Console, mode: BetMode | None) -> None:
    """Show bankroll, profit and drawdown."""
    with Client.from_env() as client:
        found = client.ledger.bets.account(mode)
    console.output(found, account_table(found))
