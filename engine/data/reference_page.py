"""The reference page of a fight log's tables, generated from their columns.

    python -m engine.data.reference_page docs/reference/fight-log.md

The example comes from the folder `examples/fight-log` next to the page. A test reads the example as a training does,
and compares the page with the output of this module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engine.data.fight_log_tables import FIGHTERS_TABLE, FIGHTS_TABLE, STAT_LINES_TABLE, Column

TABLES = {
    "fights": ("one row for each fight", FIGHTS_TABLE),
    "stat_lines": ("one row for each fighter of a fight: both fighters of it, or none", STAT_LINES_TABLE),
    "fighters": ("one row for each fighter", FIGHTERS_TABLE),
}
MEANINGS = {
    "fight_id": "names the fight in both tables",
    "date": "the day as it is written, whatever the time of day or the offset after it",
    "event": "an event is a name and a day",
    "weight_class": "in any case and punctuation",
    "women": "1 if women fight",
    "title_bout": "1 for a title",
    "scheduled_rounds": "how many rounds were agreed on",
    "red_id": "fighter in the red corner, or listed first",
    "blue_id": "fighter in the blue corner, or listed second",
    "winner": "the result as it stands today; nc: no contest",
    "method": "how it ended, in any of the usual spellings (TKO, U-DEC, SUB ...)",
    "end_time_seconds": "fought time from the first bell",
    "corner_reliable": "1 if `red` is the official red corner, 0 if the source only lists someone first",
    "red_decimal_odds": "closing price of red",
    "blue_decimal_odds": "closing price of blue",
    "red_early_decimal_odds": "price of red days before the event",
    "blue_early_decimal_odds": "price of blue days before the event",
    "announced_winner": "the result that was announced on the day, if it was changed later; blank: as `winner`",
    "history_only": "1 for a bout, as of another promotion, that moves records and ratings but is no label; blank: 0",
    "known_at": "when this log first had the fight; blank: the day after it. `cornerman fight-log import` writes it",
    "fighter_id": "names the fighter in all tables",
    "knockdowns": "scored by this fighter, as all that follow",
    "submission_attempts": "",
    "takedowns_landed": "",
    "takedowns_attempted": "",
    "significant_strikes_landed": "",
    "significant_strikes_attempted": "",
    "control_seconds": "seconds in control; blank if not counted",
    "name": "as feeds spell it",
    "date_of_birth": "",
    "height_cm": "",
    "reach_cm": "",
    "stance": "`Southpaw` is what counts, in any case; blank: unknown",
    "ambiguous_name": "1 if this id may stand for several people",
    "declared_wins": "bouts won before the first fight of this log; at that time, not today",
    "declared_losses": "bouts lost before it; given if `declared_wins` is",
    "declared_draws": "blank: none",
    "declared_knock_out_wins": "part of `declared_wins`",
    "declared_submission_wins": "part of `declared_wins`",
    "declared_knock_out_losses": "part of `declared_losses`",
    "declared_submission_losses": "part of `declared_losses`",
    "declared_last_bout": "day of the last of these bouts",
}
KINDS = {
    "text": "text",
    "date": "date, YYYY-MM-DD",
    "moment": "time with its offset from UTC",
    "number": "number",
    "count": "whole number",
    "flag": "0 or 1",
    "price": "decimal odds above 1",
}


def reference_page(examples: Path) -> str:
    """Return the page as Markdown, with the example of the folder `examples`."""
    lines = [
        "# The tables of a fight log",
        "",
        "`cornerman train FOLDER`, `backtest` and `check` read three tables in one folder, each as `.csv`,",
        "`.csv.gz` or `.parquet`. Other columns are ignored. `cornerman check FOLDER` names every fault with",
        "its file and line.",
        "",
    ]
    for name, (rows, columns) in TABLES.items():
        lines += _section(name, rows, columns, examples)
    return "\n".join(lines)


def _section(name: str, rows: str, columns: Sequence[Column], examples: Path) -> Iterator[str]:
    yield from (f"## {name}", "", f"{rows[0].upper()}{rows[1:]}.", "", "| column | value | blank | meaning |")
    yield "|---|---|---|---|"
    for column in columns:
        blank = "column may be missing" if not column.required else "yes" if column.blank else ""
        yield f"| `{column.name}` | {_values(column)} | {blank} | {MEANINGS[column.name]} |"
    yield from ("", "```", (examples / f"{name}.csv").read_text(encoding="utf-8").rstrip(), "```", "")


def _values(column: Column) -> str:
    if column.choices:
        return ", ".join(f"`{choice}`" for choice in column.choices)
    bounds = {"above": column.exclusive_min, "at least": column.min_value, "at most": column.max_value}
    limits = [f"{words} {bound:,g}" for words, bound in bounds.items() if np.isfinite(bound)]
    unit = f" of {column.unit}" if column.unit else ""
    return f"{KINDS[column.kind]}{unit}" + (f", {', '.join(limits)}" if limits else "")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(reference_page(target.parent / "examples" / "fight-log"), encoding="utf-8")
