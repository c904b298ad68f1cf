"""Commands about chains of jobs: `chains submit`, `chains show`, `chains cancel`."""

from __future__ import annotations

from typing import Any, BinaryIO

import click
import msgspec

from ledger.contracts.codec import decode_job, job_refused
from ledger.contracts.jobs import MAX_PAYLOAD_BYTES, Job
from ledger.jobs.job_entries import MAX_BYTES_PER_STEP
from producer.cli.options.conditions import pop_conditions, waiting_options
from producer.cli.options.durability import durability, durable_options
from producer.client import Client
from producer.output.chain_tables import chain_tables
from producer.output.console import Console, json_option, pass_console
from producer.output.progress import submit_with_retry
from producer.output.report_tables import records_table


@click.group()
@json_option
def chains() -> None:
    """Submit, show and cancel chains of jobs.

    Each job of a chain is queued when the one before has succeeded. If a job does not succeed, those after it end as
    predecessor_failed.
    """


@chains.command()
@click.argument("name")
@click.argument("file", type=click.File("rb"), metavar="JOBS.json")
@waiting_options
@durable_options
@json_option
@pass_console
def submit(console: Console, /, name: str, file: BinaryIO, durable: str | None, **options: Any) -> None:
    """Submit a chain of jobs.

    JOBS.json (- for stdin) is a list of jobs as JSON. Their ids are NAME, NAME/2, NAME/3 and so on. The same chain
    again is the same chain. --not-before and --after are for its first job.
    """
    jobs, conditions = _jobs_in(file.read(MAX_BYTES_PER_STEP + 1)), pop_conditions(options)
    with Client.from_env() as client:
        receipts = submit_with_retry(
            client,
            console,
            lambda: client.ledger.chains.submit(
                name,
                jobs,
                durable=durability(durable),
                not_before=conditions.get("not_before"),
                after=conditions.get("after"),
                traceparent=conditions.get("traceparent"),
            ),
            None,
        )
    rows = [{"job": receipt.job_id, "new": "yes" if receipt.created else "no"} for receipt in receipts]
    console.output(receipts, records_table("Submitted", ["job", "new"], rows))


@chains.command()
@click.argument("name")
@json_option
@pass_console
def show(console: Console, name: str) -> None:
    """Show the state of a chain and of its jobs."""
    with Client.from_env() as client:
        chain = client.ledger.chains.status(name)
    console.output(chain, *chain_tables(chain))


@chains.command()
@click.argument("name")
@json_option
@pass_console
def cancel(console: Console, name: str) -> None:
    """Cancel the jobs of a chain that have not ended."""
    with Client.from_env() as client:
        chain = client.ledger.chains.cancel(name)
    console.output(chain, *chain_tables(chain))


def _jobs_in(text: bytes) -> list[Job]:
    """Read a list of jobs. Raises JobRefusedError, which names the first that is refused."""
    if len(text) > MAX_BYTES_PER_STEP:
        raise job_refused(f"the jobs of a chain have at most {MAX_BYTES_PER_STEP:,} bytes")
    try:
        parts = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise job_refused(f"the jobs of a chain are a JSON list: {error}") from error
    return [decode_job(bytes(part)[: MAX_PAYLOAD_BYTES + 1]) for part in parts]
