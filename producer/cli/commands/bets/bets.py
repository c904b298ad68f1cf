"""The group of commands `bets`."""

from __future__ import annotations

import click

from producer.cli.commands.bets.bet_register import account, exposure, list_bets, place, settle, show, void
from producer.cli.commands.bets.bet_review import export, review
from producer.cli.commands.bets.follow_bets import follow
from producer.output.console import json_option


@click.group()
@json_option
def bets() -> None:
    """Manage the register of bets, and review it."""


for command in (list_bets, show, place, void, settle, exposure, account, follow, review, export):
    bets.add_command(command)
