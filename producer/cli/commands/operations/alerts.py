"""The command `alerts`: what is wrong now, and what to do."""

from __future__ import annotations

import click

from producer.client import Client
from producer.operations.alerts import alert_kinds, current_alerts
from producer.output.alert_tables import alerts_table
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode


@click.command()
@json_option
@pass_console
def alerts(console: Console) -> None:
    """Show what is wrong now, and what to do.

    Shows the alerts that the living pools report, and those that the ledger itself shows: also if no pool is alive.
    Each names its heading in docs/guides/operators.md. CORNERMAN_ALERTS changes thresholds, as for pools. The exit code
    is 1 while an alert stands.
    """
    kinds = alert_kinds()
    with Client.from_env() as client:
        found = current_alerts(client.ledger, kinds)
    console.output({"alerts": found}, *([alerts_table(found)] if found else []))
    if found:
        click.get_current_context().exit(ExitCode.FAILED)
    console.note("Nothing is wrong.")
