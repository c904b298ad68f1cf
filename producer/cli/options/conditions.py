"""Options for when a job is queued, which cards it replaces, and its trace (`ledger.jobs.conditions`)."""

from __future__ import annotations

from typing import Any, TypeVar

import click

from ledger.jobs.conditions import SubmitConditions
from producer.cli.options.moments import MomentParam

Decorated = TypeVar("Decorated", bound=Any)


def waiting_options(command: Decorated) -> Decorated:
    """Add --not-before, --after and --traceparent."""
    for option in (
        click.option(
            "--traceparent",
            metavar="HEADER",
            help="Trace that the job belongs to, as in the header traceparent of the W3C's Trace Context.",
        ),
        click.option("--after", metavar="JOB_ID", help="Queue the job when this one has succeeded."),
        click.option("--not-before", type=MomentParam(), help="Queue the job at this time of the server's clock."),
    ):
        command = option(command)
    return command


def superseding_options(command: Decorated) -> Decorated:
    """Add --supersede and --supersedes."""
    for option in (
        click.option(
            "--supersedes",
            metavar="CARD",
            help="Card, or id of a job, that the card replaces, too: for example, the card before its start moved.",
        ),
        click.option(
            "--supersede",
            is_flag=True,
            help="Replace the earlier jobs of the same card, model, options and caller.",
        ),
    ):
        command = option(command)
    return command


def pop_conditions(options: dict[str, Any]) -> SubmitConditions:
    """Remove the values of these options from those of a command, and return those that were given."""
    conditions: SubmitConditions = {}
    if (not_before := options.pop("not_before", None)) is not None:
        conditions["not_before"] = not_before
    if (after := options.pop("after", None)) is not None:
        conditions["after"] = after
    if (traceparent := options.pop("traceparent", None)) is not None:
        conditions["traceparent"] = traceparent
    if options.pop("supersede", False):
        conditions["supersede"] = True
    if (supersedes := options.pop("supersedes", None)) is not None:
        conditions["supersedes"] = supersedes
    return conditions
