"""Options for what a submission waits for before it returns."""

from __future__ import annotations

from typing import Any, TypeVar

import click

from ledger.contracts.job_state import Durability

Decorated = TypeVar("Decorated", bound=Any)


def durable_options(command: Decorated) -> Decorated:
    """Add --durable and --durable-replica; both set `durable`."""
    for option in (
        click.option(
            "--durable-replica",
            "durable",
            flag_value="replica",
            help="Return after CORNERMAN_DURABLE_REPLICAS replicas have the jobs, too.",
        ),
        click.option(
            "--durable", "durable", flag_value="disk", help="Return after the server has written the jobs to disk."
        ),
    ):
        command = option(command)
    return command


def durability(given: str | None) -> Durability:
    """Return the value of these options as `Ledger.submit` takes it."""
    return "replica" if given == "replica" else given is not None
