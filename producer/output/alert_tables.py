"""The table of alerts that stand. Layout only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ledger.operations.alert_table import CRITICAL
from producer.operations.alerts import Alert
from producer.output.table_parts import NOTHING


def alerts_table(alerts: Sequence[Alert]) -> Table:
    """Return the table of the alerts that stand, each with what to do."""
    table = Table(title="Alerts", title_justify="left")
    for column in ("severity", "alert", "since", "what is wrong", "what to do"):
        table.add_column(column, overflow="fold")
    for alert in alerts:
        table.add_row(
            Text(alert.severity, style="bold red" if alert.severity == CRITICAL else "yellow"),
            alert.name,
            NOTHING if alert.since is None else f"{alert.since:%Y-%m-%d %H:%M:%S}",
            Text(alert.sentence),
            Text(f"{alert.action} ({alert.runbook})"),
        )
    return table
