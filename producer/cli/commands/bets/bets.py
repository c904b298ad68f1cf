"""The group of commands `bets`."""

from __future__ import annotations

import click

from producer.cli.commands.bets.bet_review import export, review
from producer.output.console import json_option


@click.group()
@json_option
def bets() -> None:
    """Manage the register of bets, and review it."""


bets.add_command(review)
bets.add_command(export)
