"""Which job a command means: the one that its content names, one under a key, or one asked anew.

The same content is the same job, so a command that is typed twice asks once and shows what is stored. That holds for a
failure too, until its retention is over; `--again` is the way out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ledger.contracts.job_state import Outcome, Receipt
from ledger.contracts.reports import Report
from producer.client import Client

Command = TypeVar("Command", bound=Callable[..., Any])


def identity_options(command: Command) -> Command:
    """Give a command `--key` and `--again`, which exclude each other."""
    again = click.option("--again", is_flag=True, help="Ask anew, as another job, what was asked before.")
    return click.option("--key", metavar="KEY", help="Id of the job; default: a digest of its content.")(again(command))


def key_of(key: str | None, again: bool) -> str | None:
    """Return the key to submit one job under, a fresh one for `again`. Raises click.UsageError for both."""
    if key is not None and again:
        raise click.UsageError("--key names a job, --again makes a new one: give one of them.")
    return uuid.uuid4().hex if again else key


def stored_outcome(client: Client, receipt: Receipt[Report]) -> Outcome | None:
    """Return the outcome that was there before this command asked; None where its own asking leads to one."""
    return None if receipt.created else client.outcome(receipt.job_id)


def said_of(receipt: Receipt[Report], stored: Outcome | None) -> str | None:
    """Say that a job was there already, and how to ask anew; None for a new one."""
    if receipt.created:
        return None
    if stored is None:
        return f"job {receipt.job_id} is already there and has not ended yet"
    ended = f"{stored.settled_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"job {receipt.job_id} is already there: ended as {stored.state} at {ended}; --again asks anew"
