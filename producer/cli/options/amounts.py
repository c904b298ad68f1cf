"""Command-line type for an amount of money."""

from __future__ import annotations

import click

from ledger.contracts.bets import MAX_AMOUNT


class AmountParam(click.IntRange):
    """Command-line type for an amount: a whole number of the smallest unit of the currency."""

    name = "amount: give a whole number of the smallest unit of the currency, such as 2550 for 25.50"

    def __init__(self) -> None:
        super().__init__(min=1, max=MAX_AMOUNT)
