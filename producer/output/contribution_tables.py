"""Table of contributions: what each group of features adds to the logit of a fight's likelier fighter. Layout only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ledger.contracts.reports import Contributions, FightReport
from producer.output.table_parts import percent

_SMALLEST = 0.005  # shown with two decimals


def contributions_table(fights: Sequence[FightReport]) -> Table:
    """Return the table of the fights that have contributions."""
    table = Table(title="Contributions to the logit of statistics", title_justify="left", caption_justify="left")
    table.add_column("likelier fighter", ratio=2, overflow="fold")
    table.add_column("logit", justify="right", no_wrap=True)
    table.add_column("contributions, largest first", ratio=5, overflow="fold")
    for fight in fights:
        answer = max(fight.fighters, key=lambda one: one.probability)
        if answer.contributions is not None:
            table.add_row(
                Text(f"{answer.name}, {percent(answer.probability)}"),
                f"{answer.contributions.logit:+.2f}",
                contributions_text(answer.contributions),
                end_section=True,
            )
    table.caption = "They describe the model: no causes. Smaller ones than 0.005 are left out; --json has all."
    return table


def contributions_text(found: Contributions) -> str:
    """Format contributions in descending order of their size, without small ones."""
    terms = {"corner": found.corner, **found.groups}
    order = sorted(terms, key=lambda name: -abs(terms[name]))
    shown = [f"{name.replace('_', ' ')} {terms[name]:+.2f}" for name in order if abs(terms[name]) >= _SMALLEST]
    return ", ".join(shown) or "none"
