"""The command `enqueue`: submit the cards of a feed, or one card, and show the outcomes."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, get_args

import click
import msgspec
from rich.console import RenderableType
from rich.table import Table

from ledger.contracts.codec import decode_job, job_refused
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError, LedgerError, WaitTimeoutError
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import (
    MAX_PAYLOAD_BYTES,
    MAX_QUOTE_AGE_SECONDS,
    DeclaredRecord,
    DevigMethod,
    PredictCard,
    kind_of,
)
from ledger.contracts.reports import CardReport, FightFailure
from producer.cli.options.conditions import pop_conditions, superseding_options, waiting_options
from producer.cli.options.durability import durability, durable_options
from producer.cli.options.idempotency import describe_existing, idempotency_options, stored_outcome, submission_key
from producer.cli.options.moments import MomentParam
from producer.client import Client
from producer.feed.declared_records import parse_record
from producer.feed.odds_api import MAX_FEED_BYTES, FeedError, FeedReading, read_feed
from producer.feed.parsing import ParseError, PriceFormat
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode, hint_for
from producer.output.progress import fetch_card, submit_with_retry, wait_with_progress
from producer.output.report_tables import records_table, report_tables
from producer.output.table_parts import failures_table
from producer.polling import CardSubmission, enqueue_if_changed, prepare_cards, submit_card

SECONDS = click.FloatRange(min=1, max=MAX_QUOTE_AGE_SECONDS)
DEVIG_METHODS = list(get_args(DevigMethod))
PRICE_FORMATS = [name.value for name in PriceFormat]


class CommissionParam(click.ParamType[tuple[str, float]]):
    """Command-line type for a bookmaker's commission on net winnings."""

    name = "commission"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Parse BOOK=SHARE."""
        book, _, written = str(value).partition("=")
        try:
            share = float(written)
        except ValueError:
            share = -1.0
        if not book or not 0.0 <= share < 1.0:
            self.fail(f"{value!r} is not a bookmaker and a share in [0, 1), like betfair_ex_uk=0.02", param, ctx)
        return book, share


class RecordParam(click.ParamType[tuple[str, DeclaredRecord]]):
    """Command-line type for a debutant's record."""

    name = "record"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, DeclaredRecord]:
        """Parse NAME=RECORD."""
        fighter, _, written = str(value).partition("=")
        if not fighter.strip() or not written:
            self.fail(f"{value!r} is not a name and a record, like 'Ann Archer=14-1'", param, ctx)
        try:
            return fighter.strip(), parse_record(written)
        except ParseError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("feed", required=False, type=click.File("rb"), metavar="[FEED.json]")
@click.option("--format", "price_format", type=click.Choice(PRICE_FORMATS), help="Notation of the feed's prices.")
@click.option("--deadline", type=MomentParam(), help="Deadline for the prediction. Default: the card's start.")
@click.option(
    "--debutant", "debutants", multiple=True, metavar="NAME", help="Fighter without earlier fights. Repeatable."
)
@click.option(
    "--record",
    "records",
    type=RecordParam(),
    multiple=True,
    metavar="NAME=W-L-D",
    help="Debutant and his record elsewhere, like 'Ann Archer=14-1-0'; after it, each with a comma before, any of "
    "knock_out_wins=5, submission_wins=, knock_out_losses=, submission_losses=, last_bout=2025-03-01. Repeatable.",
)
@click.option("--model", metavar="NAME", help="Alias or digest. Default: champion.")
@click.option(
    "--max-quote-age", type=SECONDS, metavar="SECONDS", help="Fail a card whose prices are older, as stale_odds."
)
@click.option(
    "--quote-age-limit",
    type=SECONDS,
    metavar="SECONDS",
    help="Ignore older quotes. Default: a quarter of the time to the event, at least 15 minutes, at most a day.",
)
@click.option("--read-at", "priced_at", type=MomentParam(), help="Time at which the prices were read. Default: now.")
@click.option(
    "--commission",
    "commissions",
    type=CommissionParam(),
    multiple=True,
    metavar="BOOK=SHARE",
    help="Commission of an exchange on net winnings. Default: 0.05 for known exchanges. Repeatable.",
)
@click.option(
    "--devig",
    "devig_method",
    type=click.Choice(DEVIG_METHODS),
    help="Method that removes the bookmakers' margins. Default: power.",
)
@click.option("--contributions", is_flag=True, help="Show what each group of features adds to a probability's logit.")
@click.option("--strict", is_flag=True, help="Refuse the whole feed if any of its events is refused.")
@click.option(
    "--card",
    type=click.File("rb"),
    metavar="CARD.json",
    help="Submit one card, as the JSON of a job, in place of a feed.",
)
@idempotency_options
@waiting_options
@superseding_options
@durable_options
@click.option("--correlation-id", metavar="ID", help="Id to return with the outcome.")
@click.option("--wait", is_flag=True, help="Wait for the outcomes and show them.")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def enqueue(
    console: Console,
    /,
    feed: BinaryIO | None,
    card: BinaryIO | None,
    key: str | None,
    force: bool,
    max_quote_age: float | None,
    quote_age_limit: float | None,
    contributions: bool,
    strict: bool,
    wait: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Enqueue a feed's cards, or one card.

    FEED.json is the body of a response of The Odds API v4 (- for stdin); --card takes one card.

    Events with the same commence time form one card. An invalid quote is ignored with a note. An invalid event, or
    one of another sport, is refused, and the others are enqueued (with --strict the whole feed is refused). A card
    that has begun is refused alone.

    The same card is the same job: submitting it again shows the stored outcome, which may be a failure. --force
    submits a new job. Reading a feed again makes jobs only for the cards that have changed.
    """
    submission_key(key, force)
    submission: dict[str, Any] = {
        "correlation_id": options.pop("correlation_id"),
        "durable": durability(options.pop("durable")),
        **pop_conditions(options),
    }
    options |= {name: dict(options[name]) for name in ("commissions", "records")}
    given = {name: value for name, value in options.items() if value}
    reading = _card(card, feed, given, strict=strict) if card is not None else _feed(feed, given, strict=strict)
    ages = {"max_quote_age_seconds": max_quote_age, "quote_age_limit_seconds": quote_age_limit}
    changes: dict[str, Any] = {name: seconds for name, seconds in ages.items() if seconds is not None}
    if contributions:
        changes["contributions"] = True
    cards = [msgspec.structs.replace(job, **changes) for job in reading.cards]
    if key is not None and len(cards) > 1:
        raise click.UsageError(f"--key names one job, but the feed has {len(cards)} cards.")
    with Client.from_env() as client:
        prepared = (
            cards
            if card is not None
            else submit_with_retry(client, console, lambda: prepare_cards(client, cards), key, timeout)
        )
        named = card is not None or key is not None or force
        keys = [submission_key(key, force) for _ in prepared]
        entries: list[CardSubmission] = []
        for job, name in zip(prepared, keys, strict=True):
            submit = partial(submit_card, key=name) if named else enqueue_if_changed
            entries.append(
                _enqueue(client, console, partial(submit, client, job, **submission), name, entries, timeout)
            )
        for entry in entries:
            if entry.receipt and (note := describe_existing(entry.receipt, stored_outcome(client, entry.receipt))):
                console.note(f"{entry.card_id}: {note}")
        if wait:
            _collect(client, console, entries, timeout)
        answered = [_answer_tables(client, entry.outcome) for entry in entries if entry.outcome is not None]
    refused = [error.failure for error in reading.refused]
    console.output(
        {"cards": entries, "events_refused": refused},
        *chain.from_iterable(answered),
        *_tables(entries, refused, waited=wait),
    )
    accepted = any(entry.receipt for entry in entries)
    failed = [entry for entry in entries if entry.failure and not (entry.refused and accepted)]
    hints = [hint_for(entry.failure, stored=entry.outcome is not None) for entry in failed if entry.failure]
    for hint in filter(None, dict.fromkeys(hints)):
        console.note(hint)
    if not cards:
        console.note("The feed contains no events; nothing was enqueued.")
    unused = _unused_commissions(options["commissions"], cards)
    for note in filter(None, (_refused_events(refused), _invalid_quotes(cards), unused, _unknown_fighters(entries))):
        console.note(note)
    click.get_current_context().exit(_exit_code(entries, refused, waited=wait))


def _enqueue(
    client: Client,
    console: Console,
    submit: Callable[[], CardSubmission],
    key: str | None,
    before: Sequence[CardSubmission],
    timeout: float,
) -> CardSubmission:
    """Enqueue one of the cards; on an error, print the ids of the jobs that were enqueued before it."""
    try:
        return submit_with_retry(client, console, submit, key, timeout)
    except (LedgerError, KeyboardInterrupt):
        if jobs := [entry.receipt.job_id for entry in before if entry.receipt is not None]:
            console.note(f"Enqueued before that: {', '.join(jobs)}")
        raise


def _card(card: BinaryIO, feed: BinaryIO | None, given: dict[str, Any], *, strict: bool) -> FeedReading:
    if feed is not None or given or strict:
        raise click.UsageError("--card contains all options: leave out the feed, --format, --deadline and the like.")
    job = decode_job(card.read(MAX_PAYLOAD_BYTES + 1))
    if not isinstance(job, PredictCard):
        raise job_refused(f"this is a {kind_of(job)} job, --card takes a predict_card")
    return FeedReading((job,))


def _feed(feed: BinaryIO | None, given: dict[str, Any], *, strict: bool) -> FeedReading:
    """Read a feed. Raises FeedError if no card can be enqueued, or with `strict` if any event is refused."""
    if feed is None:
        raise click.UsageError("Name a feed (FEED.json, - for stdin), or --card CARD.json.")
    if "price_format" not in given:
        raise click.UsageError("Name the notation of the prices: --format american or --format decimal.")
    reading = read_feed(feed.read(MAX_FEED_BYTES + 1), **given)
    if reading.refused and (strict or not reading.cards):
        raise _all_of(reading.refused)
    return reading


def _all_of(refused: Sequence[FeedError]) -> JobRefusedError:
    """Return one error for all refused events: the first, with the messages of all in its details."""
    if len(refused) == 1:
        return refused[0]
    first, messages = refused[0].failure, [error.failure.message for error in refused]
    message = f"{first.message} (and {len(refused) - 1} more)"
    return JobRefusedError(
        msgspec.structs.replace(first, message=message, details={**first.details, "refused": messages})
    )


def _collect(client: Client, console: Console, entries: Sequence[CardSubmission], timeout_seconds: float) -> None:
    """Wait for all outcomes within one timeout; the submissions that miss it stay without an outcome."""
    end = time.monotonic() + timeout_seconds
    for entry in entries:
        if entry.receipt is not None:
            try:
                entry.outcome = wait_with_progress(
                    client, console, entry.receipt.job_id, max(0.0, end - time.monotonic())
                )
            except WaitTimeoutError as late:
                console.note(str(late))


def _invalid_quotes(cards: Sequence[PredictCard]) -> str | None:
    """Return a note on how many quotes are invalid; a wrong --format shows here first."""
    rejected = [sentence for card in cards for fight in card.fights for sentence in fight.invalid_quotes]
    if not rejected:
        return None
    quotes = len(rejected) + sum(len(fight.quotes) for card in cards for fight in card.fights)
    return f"{len(rejected)} of {quotes} quotes are invalid and were ignored, the first: {rejected[0]}"


def _unused_commissions(commissions: Mapping[str, float], cards: Sequence[PredictCard]) -> str | None:
    """Return a note on commissions without effect: the bookmaker's key may be misspelt."""
    quoted = {quote.bookmaker for card in cards for fight in card.fights for quote in fight.quotes}
    unused = [book for book in commissions if book not in quoted]
    return f"--commission has no effect for {', '.join(unused)}: no quote of the feed has this key" if unused else None


def _refused_events(refused: Sequence[Failure]) -> str | None:
    if not refused:
        return None
    return f"{len(refused)} of the feed's events were refused and are on no card; --strict would refuse the whole feed"


def _unknown_fighters(entries: Sequence[CardSubmission]) -> str | None:
    """Return a note on the fighters that the model does not know, with the options that declare them debutants."""
    reports = [entry.outcome.report for entry in entries if entry.outcome is not None]
    failures = [
        fight.failure
        for report in reports
        if isinstance(report, CardReport)
        for fight in report.fights
        if isinstance(fight, FightFailure)
    ]
    unknown = {found["name"]: found["nearest"] for failure in failures for found in failure.details.get("unknown", ())}
    if not unknown:
        return None
    lines = [f"  {name}" + (f" (nearest: {', '.join(near)})" if near else "") for name, near in unknown.items()]
    options = " ".join(f"--debutant {shlex.quote(name)}" for name in unknown)
    subject = "1 fighter is" if len(unknown) == 1 else f"{len(unknown)} fighters are"
    return "\n".join([f"{subject} not in the fight log:", *lines, f"To declare fighters without a record: {options}"])


def _answer_tables(client: Client, outcome: Outcome) -> list[Table]:
    return [] if outcome.report is None else report_tables(outcome.report, fetch_card(client, outcome))


def _tables(entries: Sequence[CardSubmission], refused: Sequence[Failure], *, waited: bool) -> list[RenderableType]:
    shown: list[RenderableType] = []
    accepted = [
        {"card": entry.card_id, "job": entry.receipt.job_id, "new": "yes" if entry.receipt.created else "no"}
        for entry in entries
        if entry.receipt is not None
    ]
    if accepted and not waited:
        shown += [records_table("Enqueued", ["card", "job", "new"], accepted), "Show an outcome: cornerman result JOB"]
    failed = [(entry.card_id, entry.failure) for entry in entries if entry.failure]
    if failed := [*failed, *((_place(failure), failure) for failure in refused)]:
        shown.append(failures_table(failed))
    return shown


def _place(failure: Failure) -> str:
    """Return the name of the refused part of a feed: an event, a card or the whole."""
    return str(failure.details.get("event") or failure.details.get("card") or "the feed")


def _exit_code(entries: Sequence[CardSubmission], refused: Sequence[Failure], *, waited: bool) -> ExitCode:
    faults = [*refused, *(entry.refused for entry in entries if entry.refused)]
    if faults and all(entry.receipt is None for entry in entries):
        return ExitCode.REFUSED
    if any(entry.outcome.failure for entry in entries if entry.outcome):
        return ExitCode.FAILED
    if waited and any(entry.receipt and entry.outcome is None for entry in entries):
        return ExitCode.TIMEOUT
    # Feeds list events until these are over, so an event that has begun is not a fault.
    return ExitCode.PARTLY_REFUSED if any(f.code is not FailureCode.EXPIRED for f in faults) else ExitCode.OK
