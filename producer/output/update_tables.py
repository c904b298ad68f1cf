"""Tables of the report of a state update: what was renewed, and the verdict. Layout only."""

from __future__ import annotations

from rich.table import Table

from ledger.contracts.job_reports.update_report import Anchoring, FighterState, StateDifference, UpdateReport
from producer.output.numbers import number_table
from producer.output.table_parts import wrapping_table


def update_tables(report: UpdateReport) -> list[Table]:
    """Return the tables of an update and of its verdict."""
    title = "Updated" if report.changed else "Nothing new: the model stays as it is"
    about = wrapping_table(title, "what", "before", "after")
    about.add_row("model", report.base[:12], report.model[:12])
    about.add_row("fights up to", str(report.base_state.cutoff), str(report.state.cutoff))
    about.add_row("state", _digest(report.base_state), _digest(report.state))
    about.caption = (
        f"{report.new_fights:,} new fights, {report.new_fighters:,} new fighters; "
        f"{report.corrected_fighters:,} known fighters have another past in this log"
    )
    verdict = wrapping_table(
        "The update may be promoted" if report.verdict.promote else "The update is not promoted", "what", "figures"
    )
    for reason in report.verdict.reasons:
        verdict.add_row(reason.code.replace("_", " "), reason.message)
    verdict.add_row("corrections of the past", _difference(report.past))
    verdict.add_row("new fights", _difference(report.change))
    return [about, *([] if report.anchoring is None else [_anchoring(report.anchoring)]), verdict]


def _anchoring(found: Anchoring) -> Table:
    table = number_table("Intervals moved by newer closes", "level", "closes inside", "width before", "width after")
    for each in found.levels:
        table.add_row(f"{each.level:.0%}", f"{each.inside:.1%}", f"{each.width_before:.3f}", f"{each.width_after:.3f}")
    table.caption = f"{found.fights:,} fights with closing odds up to {found.until}; slope x {found.slope_factor:.3f}"
    return table


def _digest(state: FighterState) -> str:
    return state.digest[:12]


def _difference(found: StateDifference) -> str:
    return (
        f"move the answers to {found.pairs:,} known pairs by {found.mean:.4f} on average, {found.largest:.4f} at most"
    )
