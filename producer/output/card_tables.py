"""Tables of a card's report: the numbers of each fighter, and each fight's decision with its reasons. Layout only.

The tables fit a terminal of 80 columns, and use more if there are more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from ledger.contracts.failures import Failure
from ledger.contracts.jobs import PredictCard
from ledger.contracts.reports import CardReport, FighterAnswer, FightFailure, FightReport, Interval
from producer.output.contribution_tables import contributions_table
from producer.output.decision_text import decision_text, edge_texts, reason_texts
from producer.output.table_parts import NOTHING, STYLES, failures_table, percent

INTERVAL_LEVEL = 0.95
SHOWN_NOTES = 3  # per fight; --json has all

Truth = Mapping[str, Mapping[str, float | str]]


def card_tables(
    report: CardReport, card: PredictCard | None = None, *, truth: Truth | None = None, truth_title: str = "truth"
) -> list[Table]:
    """Return the tables of a card's numbers, decisions, contributions and failed fights, without empty tables.

    `card` is the job, whose rules and prices explain the reasons. `truth` adds a column with the true probability or
    result, by fight id and fighter's name. The band of the market-aware probability has the title "assumed", because
    results cannot test its width.
    """
    fights = [fight for fight in report.fights if isinstance(fight, FightReport)]
    failed = [fight for fight in report.fights if isinstance(fight, FightFailure)]
    tables = [_numbers(report, fights, truth, truth_title), _decisions(fights, card)] if fights else []
    if any(answer.contributions for fight in fights for answer in fight.fighters):
        tables.append(contributions_table(fights))
    if failed:
        failures: list[tuple[str, Failure]] = [(" v ".join(fight.names), fight.failure) for fight in failed]
        tables.append(failures_table(failures, title="Fights without a prediction"))
    return tables


def _numbers(report: CardReport, fights: Sequence[FightReport], truth: Truth | None, truth_title: str) -> Table:
    table = Table(title=f"Card {report.card_id}", caption=_caption(report), title_justify="left")
    table.add_column("fighter", min_width=14, overflow="fold")
    for title, band in (("statistics", "interval"), ("market aware", "assumed")):
        table.add_column(f"{title}\n{INTERVAL_LEVEL:.0%} {band}", justify="right", no_wrap=True)
    for title in ("market", "price", *([] if truth is None else [truth_title])):
        table.add_column(title, justify="right", no_wrap=True)
    for fight in fights:
        known = None if truth is None else truth.get(fight.id, {})
        for place, answer in enumerate(fight.fighters):
            table.add_row(*_cells(answer, known), end_section=place == 1)
    return table


def _cells(answer: FighterAnswer, known: Mapping[str, float | str] | None) -> list[str | Text]:
    aware = answer.market_aware
    cells: list[str | Text] = [
        Text(answer.name),
        _bounded(answer.probability, answer.intervals),
        _bounded(aware.probability, aware.band) if aware else NOTHING,
        percent(answer.market_probability),
        f"{answer.best.price:.2f}" if answer.best else NOTHING,
    ]
    return cells if known is None else [*cells, _known(known.get(answer.name))]


def _decisions(fights: Sequence[FightReport], card: PredictCard | None) -> Table:
    table = Table(title="Decisions, by the interval of statistics", title_justify="left")
    table.add_column("fight", ratio=3, overflow="fold")
    table.add_column("decision", ratio=3, overflow="fold")
    table.add_column("reasons", ratio=5, overflow="fold")
    for fight in fights:
        bet = fight.decision.action == "bet"
        decision = Text(decision_text(fight, card), style=STYLES["bet"] if bet else "")
        names = "\n".join(answer.name for answer in fight.fighters)
        table.add_row(Text(names), decision, Text("\n".join(_why(fight, card))), end_section=True)
    return table


def _why(fight: FightReport, card: PredictCard | None) -> list[str]:
    named = not {"same_bout", "conflicting_bouts"}.isdisjoint(fight.decision.reasons)  # the notes name the other bout
    shown = fight.notes if named else fight.notes[:SHOWN_NOTES]
    left = len(fight.notes) - len(shown)
    more = [f"and {left} more notes: --json"] if left else []
    flags = [f"flags: {', '.join(fight.flags)}"] if fight.flags else []
    return [*reason_texts(fight, card), *edge_texts(fight), *flags, *shown, *more]


def _caption(report: CardReport) -> str:
    switches = f"; switched: {', '.join(report.switches)}" if report.switches else ""
    state = report.state
    age = "" if state is None else f", state of {state.cutoff} ({state.digest[:12]}, {state.age_days:,} days old)"
    return f"model {report.model[:12]}, trained on fights up to {report.data_cutoff}{age}{switches}"


def _bounded(probability: float, intervals: Sequence[Interval]) -> str:
    """Format a probability, with its bounds at the shown level if the report has them."""
    bounds = [f" ({one.lower:.0%}-{one.upper:.0%})" for one in intervals if one.level == INTERVAL_LEVEL]
    return percent(probability) + "".join(bounds)


def _known(truth: float | str | None) -> str:
    return truth if isinstance(truth, str) else percent(truth)
