"""The command `enqueue`: a feed, or a card, handed in and answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

import click
import msgspec
from rich.console import RenderableType

from ledger.failures import Failure, JobRefused, WaitTimeout
from ledger.jobs import MAX_PAYLOAD_BYTES, PredictCard, kind_of
from ledger.outcomes import Outcome, Receipt
from ledger.reports import Report
from ledger.wire import decode_job, refuse
from producer.client import Client
from producer.exits import ExitCode, next_step
from producer.feed import MAX_FEED_BYTES, read_cards
from producer.identity import identity_options, key_of, said_of, stored_outcome
from producer.notation import PriceFormat
from producer.screen import Screen, json_option, pass_screen
from producer.tables import failures_table, records_table, report_tables
from producer.watch import watch

PRICE_FORMATS = [name.value for name in PriceFormat]


class Moment(click.ParamType[datetime]):
    """A moment with a time zone."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read ISO 8601."""
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a moment like 2030-01-01T00:00:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no time zone: write 2030-01-01T00:00:00Z", param, ctx)
        return moment.astimezone(UTC)


@dataclass
class Entry:
    """A card on its way: its receipt or why it was refused, then its outcome."""

    card_id: str
    receipt: Receipt[Report] | None = None
    refused: Failure | None = None
    outcome: Outcome | None = None

    @property
    def failure(self) -> Failure | None:
        """Why there is no answer, as far as that is known."""
        return self.refused or (self.outcome.failure if self.outcome else None)


@click.command()
@click.argument("feed", required=False, type=click.File("rb"), metavar="[FEED.json]")
@click.option("--format", "price_format", type=click.Choice(PRICE_FORMATS), help="How the feed writes prices.")
@click.option("--deadline", type=Moment(), help="No answer is wanted after it. Default: the card's start.")
@click.option("--debutant", "debutants", multiple=True, metavar="NAME", help="One without a record. Repeatable.")
@click.option("--model", metavar="NAME", help="Alias or digest. Default: champion.")
@click.option("--max-quote-age", type=click.FloatRange(min=1), metavar="SECONDS", help="Older prices are stale_odds.")
@click.option("--card", type=click.File("rb"), metavar="CARD.json", help="A card as a job's JSON, not a feed.")
@identity_options
@click.option("--durable", is_flag=True, help="Return only when the server has the job on disk.")
@click.option("--correlation-id", metavar="ID", help="Comes back in the outcome.")
@click.option("--wait", is_flag=True, help="Wait for the answers and show them.")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS")
@json_option
@pass_screen
def enqueue(
    screen: Screen,
    /,
    feed: BinaryIO | None,
    card: BinaryIO | None,
    key: str | None,
    again: bool,
    max_quote_age: float | None,
    wait: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Enqueue a feed's cards, or one card.

    FEED.json is the body of a response of The Odds API v4 (- for stdin); --card takes one card.

    The events that share a commence time are one card. A fault in a quote turns that quote away; a fault in
    an event refuses the whole feed. A card whose time has passed is refused alone.

    The same card is the same job: asked twice, it is answered once, also by a failure. --again asks anew.
    """
    key_of(key, again)
    submission = {name: options.pop(name) for name in ("durable", "correlation_id")}
    reading = {name: value for name, value in options.items() if value}
    cards = _cards(feed, card, reading)
    if max_quote_age is not None:
        cards = [msgspec.structs.replace(job, max_quote_age_seconds=max_quote_age) for job in cards]
    if key is not None and len(cards) > 1:
        raise click.UsageError(f"--key names one job, but the feed has {len(cards)} cards.")
    with Client.from_env() as client:
        entries = [_submit(client, job, {"key": key_of(key, again), **submission}) for job in cards]
        for entry in entries:
            if entry.receipt and (said := said_of(entry.receipt, stored_outcome(client, entry.receipt))):
                screen.remark(f"{entry.card_id}: {said}")
        if wait:
            _collect(client, screen, entries, timeout)
    screen.answer({"cards": entries}, *_tables(entries, waited=wait))
    hints = [next_step(entry.failure, stored=entry.outcome is not None) for entry in entries if entry.failure]
    for hint in filter(None, dict.fromkeys(hints)):
        screen.remark(hint)
    if not cards:
        screen.remark("The feed holds no events; nothing was enqueued.")
    if said := _turned_away(cards):
        screen.remark(said)
    click.get_current_context().exit(_exit_code(entries, waited=wait))


def _cards(feed: BinaryIO | None, card: BinaryIO | None, reading: dict[str, Any]) -> list[PredictCard]:
    if card is not None:
        if feed is not None or reading:
            raise click.UsageError("--card says everything itself: give no feed, --format, --deadline or the like.")
        job = decode_job(card.read(MAX_PAYLOAD_BYTES + 1))
        if not isinstance(job, PredictCard):
            raise refuse(f"this is a {kind_of(job)} job, --card takes a predict_card")
        return [job]
    if feed is None:
        raise click.UsageError("Name a feed (FEED.json, - for stdin), or --card CARD.json.")
    if "price_format" not in reading:
        raise click.UsageError("Say how the feed writes prices: --format american or --format decimal.")
    return read_cards(feed.read(MAX_FEED_BYTES + 1), **reading)


def _submit(client: Client, card: PredictCard, submission: dict[str, Any]) -> Entry:
    try:
        return Entry(card.card_id, receipt=client.enqueue(card, **submission))
    except JobRefused as refusal:
        return Entry(card.card_id, refused=refusal.failure)


def _collect(client: Client, screen: Screen, entries: Sequence[Entry], timeout_seconds: float) -> None:
    """Wait for all outcomes within one time; those that did not come stay absent."""
    end = time.monotonic() + timeout_seconds
    for entry in entries:
        if entry.receipt is not None:
            try:
                entry.outcome = watch(client, screen, entry.receipt.job_id, max(0.0, end - time.monotonic()))
            except WaitTimeout as late:
                screen.remark(str(late))


def _turned_away(cards: Sequence[PredictCard]) -> str | None:
    """Say how many quotes were turned away; a wrong --format shows here first."""
    rejected = [sentence for card in cards for fight in card.fights for sentence in fight.invalid_quotes]
    if not rejected:
        return None
    quotes = len(rejected) + sum(len(fight.quotes) for card in cards for fight in card.fights)
    return f"{len(rejected)} of {quotes} quotes were turned away, the first: {rejected[0]}"


def _tables(entries: Sequence[Entry], *, waited: bool) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for entry in entries:
        if entry.outcome is not None and entry.outcome.report is not None:
            shown += report_tables(entry.outcome.report)
    accepted = [
        {"card": entry.card_id, "job": entry.receipt.job_id, "new": "yes" if entry.receipt.created else "no"}
        for entry in entries
        if entry.receipt is not None
    ]
    if accepted and not waited:
        shown += [records_table("Enqueued", ["card", "job", "new"], accepted), "See one: cornerman result JOB"]
    if failed := [(entry.card_id, entry.failure) for entry in entries if entry.failure]:
        shown.append(failures_table(failed))
    return shown


def _exit_code(entries: Sequence[Entry], *, waited: bool) -> ExitCode:
    if any(entry.refused for entry in entries):
        return ExitCode.REFUSED
    if any(entry.failure for entry in entries):
        return ExitCode.FAILED
    return ExitCode.TIMEOUT if waited and any(entry.outcome is None for entry in entries) else ExitCode.OK
