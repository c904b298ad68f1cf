"""Tables of the model registry: the list, one model, differences of two, and moves of aliases. Layout only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from ledger.operations.control_store import ControlChange
from producer.output.report_tables import records_table

SHOWN_IN_LIST = {
    "data.cutoff": "cutoff",
    "state.cutoff": "state",
    "derived.base": "base",
    "data.fights": "fights",
    "metrics.log_loss": "log_loss",
    "interval_method": "interval_method",
}
"""Facts of a summary in the list of models, with the titles of their columns."""
REPLACED = {"state": "fights", "base": "interval_method"}
"""Columns that are left out of a list with the column before the colon, so that the dates stay whole."""
_BASE_CHARACTERS = 8
CONTROL_PREFIX = "model."


def models_table(models: Iterable[Mapping[str, Any]]) -> Table:
    """Return the list of models, for a terminal of 80 columns; `cornerman models show` has all details."""
    rows = []
    for model in models:
        facts = flatten(model["summary"])
        figures = {title: facts[name] for name, title in SHOWN_IN_LIST.items() if name in facts}
        if "base" in figures:
            figures["base"] = figures["base"][:_BASE_CHARACTERS]
        rows.append({"digest": model["digest"][:12], "aliases": model["aliases"], **figures})
    found = dict.fromkeys(column for row in rows for column in row)
    left_out = {other for column, other in REPLACED.items() if column in found}
    columns = [column for column in ("digest", "aliases", *SHOWN_IN_LIST.values()) if column in found.keys() - left_out]
    table = records_table("Models", columns, rows)
    for column in table.columns[:1]:  # the digest must stay whole to be copied
        column.no_wrap = True
    return table


def model_tables(model: Mapping[str, Any], history: Iterable[ControlChange]) -> list[Table]:
    """Return the registry's record of one model, and the moves of aliases to and from it."""
    facts = {"digest": model["digest"], "aliases": model["aliases"], **flatten(model["summary"])}
    rows = [{"what": name, "value": value} for name, value in facts.items()]
    return [records_table(f"Model {model['digest'][:12]}", ["what", "value"], rows), history_table(history)]


def diff_table(one: Mapping[str, Any], other: Mapping[str, Any], differences: Mapping[str, tuple[Any, Any]]) -> Table:
    """Return the differences of two models, a line each."""
    first, second = one["digest"][:12], other["digest"][:12]
    rows = [{"what": name, first: values[0], second: values[1]} for name, values in differences.items()]
    return records_table("Differences", ["what", first, second], rows)


def history_table(changes: Iterable[ControlChange], title: str = "History, newest first") -> Table:
    """Return a table of alias moves, in the given order."""
    rows = [
        {
            "at": f"{change.at:%Y-%m-%d %H:%M:%S}",
            "who": change.who,
            "alias": change.name.removeprefix(CONTROL_PREFIX),
            "from": change.before and change.before[:12],
            "to": change.after and change.after[:12],
            "how": how_moved(change),
            "why": change.why,
        }
        for change in changes
    ]
    return records_table(title, ["at", "who", "alias", "from", "to", "how", "why"], rows)


def how_moved(change: ControlChange) -> str:
    """Describe the cause of an alias move; the JSON has the evidence."""
    evidence = change.evidence or {}
    if change.rollback:
        return "rolled back"
    if "training" in evidence:
        return "by its training"
    if "update" in evidence:
        return "updated"
    if "reanchoring" in evidence:
        return "re-anchored"
    if evidence.get("forced"):
        return "FORCED against the gate"
    return "evaluated and promoted" if "judgement" in evidence else "set by hand"


def summary_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts in which two summaries differ, by dotted name; None for a missing fact."""
    first, second = flatten(one), flatten(other)
    names = [*first, *(name for name in second if name not in first)]
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def flatten(parts: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Flatten nested facts into one mapping by dotted name."""
    facts: dict[str, Any] = {}
    for name, value in parts.items():
        facts |= flatten(value, f"{within}{name}.") if isinstance(value, dict) else {f"{within}{name}": value}
    return facts
