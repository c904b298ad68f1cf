"""Idempotency options `--key` and `--force`, and messages about a job that exists already.

The same content is the same job, so repeating a command shows the stored outcome, which may be a failure, until its
retention ends. `--force` submits another job.
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


def idempotency_options(command: Command) -> Command:
    """Add `--key` and `--force`, which exclude each other, to a command."""
    force = click.option("--force", is_flag=True, help="Submit a new job even if the same job exists.")
    return click.option("--key", metavar="KEY", help="Id of the job; default: a digest of its content.")(force(command))


def submission_key(key: str | None, new: bool) -> str | None:
    """Return the key of a submission; a random one if `new`. Raises click.UsageError if both are given."""
    if key is not None and new:
        raise click.UsageError("--key names a job, --force makes a new one: give one of them.")
    return uuid.uuid4().hex if new else key


def stored_outcome(client: Client, receipt: Receipt[Report]) -> Outcome | None:
    """Return the outcome stored before this submission; None if the job is new or has not ended."""
    return None if receipt.created else client.outcome(receipt.job_id)


def describe_existing(receipt: Receipt[Report], stored: Outcome | None, option: str = "--force") -> str | None:
    """Describe a job that exists already, with the option that submits a new one; None if the job is new."""
    if receipt.created:
        return None
    if stored is None:
        return f"job {receipt.job_id} already exists and has not ended yet"
    ended = f"{stored.settled_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"job {receipt.job_id} already exists: ended as {stored.state} at {ended}; {option} submits a new job"


def receipt_text(receipt: Receipt[Report]) -> str:
    """Describe a submission in one line, with the command that shows its outcome."""
    done = "Enqueued" if receipt.created else "Exists already"
    return f"{done}: {receipt.job_id}. Show it: cornerman result {receipt.job_id}"
