"""Tables of a played season: the book, the calibration, and the counts of what must be there exactly once."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from producer.output.table_parts import NOTHING, STYLES, percent, wrapping_table
from producer.season.calibration import Calibration
from producer.season.count import Count
from producer.season.summary import SeasonSummary

SHOWN = 5


def season_tables(summary: SeasonSummary) -> list[RenderableType]:
    """Return the tables of a season, and a sentence on each item that is lost, doubled or wrong."""
    return [
        _course(summary),
        _book(summary),
        _calibration(summary.calibration),
        _counts(summary.counts),
        *(Text(sentence, style=STYLES["failed"]) for sentence in _findings(summary)),
    ]


def _course(summary: SeasonSummary) -> Table:
    table = wrapping_table("The season", "what", "how much")
    killed = ", ".join(f"{name} ({times})" for name, times in summary.killed.items())
    rows = {
        "cards and bouts": f"{summary.cards} and {summary.bouts} in {summary.seconds:.0f} s",
        "incidents": ", ".join(f"{name.replace('_', ' ')} {times}" for name, times in summary.incidents.items()),
        "requests to the provider": f"{summary.requests:,}, of which {summary.failed_requests} failed",
        "answers": f"{summary.answers:,}, of which {summary.superseded:,} were superseded by newer ones",
        "killed (SIGKILL)": killed or NOTHING,
        "challenger trained and judged": summary.judgement or NOTHING,
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def _book(summary: SeasonSummary) -> Table:
    account = summary.account
    table = wrapping_table("The book (paper)", "what", "how much")
    table.add_row("bets", f"{account.placed}: {account.won} won, {account.lost} lost, {account.void} void")
    table.add_row("staked and profit", f"{_money(account.staked)} and {_money(account.profit)}")
    table.add_row("return on stakes", percent(account.profit / account.staked if account.staked else None))
    table.add_row("closing-line value", percent(summary.closing_edge))
    table.add_row("bankroll", f"{_money(account.start)} to {_money(account.bankroll)}")
    return table


def _calibration(calibration: Calibration) -> Table:
    title = f"Against the league's truth, {calibration.fights} fights with an answer and a close"
    table = wrapping_table(title, "forecast", "expected log loss", "above the truth's")
    for name, loss in (
        ("the truth itself", calibration.truth),
        ("closing prices", calibration.closes),
        ("answers, from statistics", calibration.answers),
        ("answers, market aware", calibration.market_aware),
    ):
        above = None if loss is None or calibration.truth is None else loss - calibration.truth
        table.add_row(name, *(NOTHING if value is None else f"{value:.4f}" for value in (loss, above)))
    for level, inside in calibration.inside.items():
        table.add_row(f"truth inside the {float(level):.0%} interval", f"{inside} of {calibration.fights}", "")
    return table


def _counts(counts: Mapping[str, Count]) -> Table:
    table = wrapping_table("Counted", "what", "expected", "lost", "doubled", "wrong")
    for name, count in counts.items():
        found = (count.lost, count.doubled, count.wrong)
        cells = [Text(str(len(items)), style=STYLES["failed"] if items else "") for items in found]
        table.add_row(name, f"{count.expected:,}", *cells)
    return table


def _findings(summary: SeasonSummary) -> list[str]:
    found = [
        f"{kind}: {sentence}"
        for count in summary.counts.values()
        for kind, sentences in (("lost", count.lost), ("doubled", count.doubled), ("wrong", count.wrong))
        for sentence in sentences
    ]
    found += [f"missing: {sentence}" for sentence in summary.missing]
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more: --json"] if len(found) > SHOWN else [])


def _money(amount: int) -> str:
    return f"{amount / 100:,.2f}"
