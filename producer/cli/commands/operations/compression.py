"""Command `compression`: whether the server's payloads and reports are compressed, and the switch."""

from __future__ import annotations

import click
import msgspec

from producer.cli.options.audit import NO_REASON, audit_options
from producer.client import Client
from producer.output.console import Console, json_option, pass_console


@click.command()
@click.argument("state", required=False, type=click.Choice(["on", "off"]), metavar="[on|off]")
@click.option("--rewrite", is_flag=True, help="Rewrite the kept payloads and reports, too.")
@audit_options(required=False)
@json_option
@pass_console
def compression(console: Console, state: str | None, rewrite: bool, user: str, reason: str) -> None:
    """Show or switch compression of stored payloads and reports.

    New ledgers compress. One of an earlier version does so from the moment you switch it on, once every pool, gateway
    and caller is updated; it is refused while a living pool could not read compressed values. --reason is required
    here. Values that are kept stay readable either way. Before you install an earlier version again: cornerman
    compression off --rewrite.
    """
    if state is not None and reason == NO_REASON:
        raise click.UsageError("give --reason TEXT; the history records it")
    with Client.from_env() as client:
        store = client.ledger.stored_format
        changed = state is not None and store.set_compression(state == "on", user=user, reason=reason)
        rewritten = None
        if rewrite:
            for count in store.rewrite():
                rewritten = count
        found = store.state()
    lines = [f"Compression is {'on' if found.on else 'off'}{'' if changed or state is None else ' already'}."]
    if found.pools_without:
        lines.append(f"These pools cannot read compressed values: {', '.join(found.pools_without)}.")
    if rewritten is not None:
        lines.append(
            f"Rewrote {rewritten.replaced:,} of {rewritten.looked_at:,} values: {rewritten.bytes_before:,} bytes are "
            f"now {rewritten.bytes_after:,}."
        )
    console.output(
        {**msgspec.to_builtins(found), "changed": changed, "rewritten": msgspec.to_builtins(rewritten)}, *lines
    )
