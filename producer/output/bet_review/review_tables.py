"""Tables of a review of bets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import UNSET
from rich.table import Table

from ledger.contracts.job_reports.bets_report import BetFigures, BetGroup, BetsReport, DrawdownFigures
from ledger.contracts.jobs import DecisionRules
from producer.output.numbers import NOTHING, estimate_text, number_table, share_text
from producer.output.table_parts import percent

_COLUMNS = ("bets", "events", "won", "staked", "profit", "return on stake", "closing-line value", "beat the close")


class ReviewTables(NamedTuple):
    """The tables of a review by subject, as far as there are bets; `groups` are by bookmaker and by probability."""

    total: Table
    rules: tuple[Table, ...]
    groups: tuple[Table, ...]
    abstentions: tuple[Table, ...]


def review_tables_by_subject(report: BetsReport) -> ReviewTables:
    """Return the tables of a review."""
    groups = [("By bookmaker", report.bookmakers), ("By probability of the backed fighter", report.bands)]
    return ReviewTables(
        total=_total(report),
        rules=_rules(report),
        groups=tuple(_groups(title, found) for title, found in groups if found),
        abstentions=_abstentions(report),
    )


def bet_review_tables(report: BetsReport) -> list[Table]:
    """Return all tables in the order in which they are shown."""
    tables = review_tables_by_subject(report)
    return [tables.total, *tables.rules, *tables.groups, *tables.abstentions]


def range_text(report: BetsReport) -> str:
    """Describe the bets of a review: their mode and the starts of their cards."""
    since = "" if report.since is None else f" from {report.since:%Y-%m-%d %H:%M}"
    until = "" if report.until is None else f" until {report.until:%Y-%m-%d %H:%M}"
    rule = "" if report.rule is UNSET else f" by the rules {report.rule}"
    return f"{report.mode.capitalize()} bets{rule}{since}{until}"


def rules_text(rules: DecisionRules) -> str:
    """Describe rules by their values that are not the defaults."""
    given = msgspec.to_builtins(rules)
    return ", ".join(f"{name} {value:g}" for name, value in given.items()) or "default values"


def few_results(figures: BetFigures) -> str:
    """Return why a return has no interval, '' if it has one or there are no bets."""
    estimate = figures.return_on_stake
    if estimate is None or estimate.lower is not None:
        return ""
    return "too few events, wins or losses for an interval of the return"


def _total(report: BetsReport) -> Table:
    table = number_table(range_text(report), "", *_COLUMNS)
    table.add_row("all", *_figure_cells(report.total))
    fall, run = _drawdown_cells(report.drawdown)
    counts = f"{report.open:,} open, {report.void:,} void; bankroll before: {report.start:,}"
    lost = f"drawdown {fall}, longest losing run {run}"
    notes = (few_results(report.total), "amounts in the smallest unit; [95% interval], by event")
    table.caption = "; ".join(filter(None, (counts, lost, *notes)))
    return table


def _rules(report: BetsReport) -> tuple[Table, ...]:
    if not report.rules:
        return ()
    title = "By decision rules"
    if report.rules_tried > 1:
        title += f": {report.rules_tried:,} were tried, so the best is partly luck"
    figures = number_table(title, "rules", *_COLUMNS)
    names = number_table(
        "The rules", "rules", "values", "return, all rules at once", "p-value", "drawdown", "longest losing run"
    )
    for rule in report.rules:
        figures.add_row(rule.digest[:12], *_figure_cells(rule.figures))
        names.add_row(
            rule.digest[:12],
            rules_text(rule.rules),
            share_text(rule.simultaneous),
            NOTHING if rule.p_value is None else f"{rule.p_value:.3f}",
            *_drawdown_cells(rule.drawdown),
        )
    names.caption = (
        "all rules at once: intervals that hold together for all rules that were tried (Bonferroni); "
        "p-value: of no return above 0, adjusted for all of them (Holm)"
    )
    return figures, names


def _groups(title: str, groups: Iterable[BetGroup]) -> Table:
    table = number_table(title, "", *_COLUMNS)
    for group in groups:
        table.add_row(group.name, *_figure_cells(group.figures))
    return table


def _abstentions(report: BetsReport) -> tuple[Table, ...]:
    if not report.abstentions:
        return ()
    table = number_table(
        "Fights without a bet: one unit on the best side at the offered price",
        *("reason", "fights", "made in units", "per fight"),
    )
    for one in report.abstentions:
        mean = estimate_text(one.per_fight, lambda value: f"{value:+.3f}")
        table.add_row(one.reason.replace("_", " "), f"{one.fights:,}", f"{one.profit:+.2f}", mean)
    table.caption = (
        "above 0 it was forgone, below 0 it was saved; a fight counts under each of its reasons; "
        f"{report.unpriced:,} had no price, {report.waiting:,} fights have no result yet"
    )
    return (table,)


def _figure_cells(figures: BetFigures) -> tuple[str, ...]:
    closing = figures.closing
    return (
        *(f"{count:,}" for count in (figures.bets, figures.events, figures.won, figures.staked, figures.profit)),
        share_text(figures.return_on_stake),
        share_text(None if closing is None else closing.edge),
        share_text(None if closing is None else closing.beaten),
    )


def _drawdown_cells(found: DrawdownFigures) -> tuple[str, str]:
    share = "" if found.share is None else f" ({percent(found.share)})"
    return f"{found.amount:,}{share}", f"{found.longest_losing_run:,}"
