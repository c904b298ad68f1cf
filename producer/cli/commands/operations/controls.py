"""Commands that change the live controls: `set`, `unset`, `scale`, `pause`, `resume`, `drain`.

Each changes controls in the ledger, which running pools apply within two seconds; every change is audited.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import click
import msgspec

from ledger.contracts.codec import job_refused
from ledger.contracts.controls import ControlValue, find_control
from ledger.contracts.failures import WaitTimeoutError
from ledger.contracts.jobs import QUEUES
from ledger.operations.control_store import ControlChange
from producer.cli.options.audit import NO_REASON, audit_options
from producer.client import Client
from producer.operations.controls import change_controls, list_controls, read_value
from producer.output.console import Console, json_option, pass_console
from producer.output.report_tables import records_table

POLL_SECONDS = 0.5


@click.command("set")
@click.argument("assignments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--expect", multiple=True, metavar="NAME=VALUE", help="Fail unless the current value is this; `NAME=` for not set."
)
@click.option("--list", "listed", is_flag=True, help="List every control.")
@click.option("--history", is_flag=True, help="Show the latest changes.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Maximum number of changes with --history.",
)
@audit_options(required=False)
@json_option
@pass_console
def set_controls(
    console: Console,
    assignments: tuple[str, ...],
    expect: tuple[str, ...],
    listed: bool,
    history: bool,
    limit: int,
    user: str,
    reason: str,
) -> None:
    """Change live controls, all of those named or none.

    For example `cornerman set bootstrap=off --reason "replicas look wrong"`. Jobs claimed afterwards use the new
    values. --reason is required here. See docs/guides/operators.md. `model.ALIAS=DIGEST` moves an alias after a worker
    has loaded the model, without an evaluation; to evaluate it first, use `cornerman models promote`.
    """
    if bool(assignments) + listed + history != 1:
        raise click.UsageError("give NAME=VALUE, or --list, or --history")
    if assignments and reason == NO_REASON:
        raise click.UsageError("give --reason TEXT; the history records it")
    with Client.from_env() as client:
        if listed:
            _list(console, client)
        elif history:
            _show(console, client.ledger.controls.changes(limit), "Changes, newest first")
        else:
            values = dict(_read(client, text) for text in assignments)
            expected = dict(_read(client, text) for text in expect)
            _show(console, change_controls(client.ledger, values, user=user, reason=reason, expected=expected))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@audit_options(required=False)
@json_option
@pass_console
def unset(console: Console, names: tuple[str, ...], user: str, reason: str) -> None:
    """Reset controls to their defaults."""
    with Client.from_env() as client:
        _show(console, client.ledger.controls.set(dict.fromkeys(names), user=user, reason=reason))


@click.command()
@click.argument("children", type=click.IntRange(1, find_control("max_children.predict").max_value), metavar="N")
@click.option("--pool", type=click.Choice(QUEUES), required=True, help="Kind of the pools.")
@audit_options(required=False)
@json_option
@pass_console
def scale(console: Console, children: int, pool: str, user: str, reason: str) -> None:
    """Set the number of children of every pool of a kind to N.

    Busy children finish first. To let pools scale between two numbers: cornerman set min_children.predict=1
    max_children.predict=8. To undo: cornerman unset min_children.predict max_children.predict.
    """
    values: dict[str, ControlValue] = {f"min_children.{pool}": children, f"max_children.{pool}": children}
    with Client.from_env() as client:
        _show(console, client.ledger.controls.set(values, user=user, reason=reason))


@click.command()
@click.argument("queue", type=click.Choice(QUEUES))
@audit_options(required=False)
@json_option
@pass_console
def pause(console: Console, queue: str, user: str, reason: str) -> None:
    """Pause a queue: workers claim no more of its jobs.

    Running jobs finish, jobs can still be submitted, and they still expire at their deadlines.
    """
    with Client.from_env() as client:
        _show(console, client.ledger.controls.set({f"pause.{queue}": True}, user=user, reason=reason))


@click.command()
@click.argument("where", metavar="NODE|QUEUE@NODE")
@click.option("--wait", is_flag=True, help="Wait until the node's running jobs have finished.")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS")
@audit_options(required=False)
@json_option
@pass_console
def drain(console: Console, where: str, wait: bool, timeout: float, user: str, reason: str) -> None:
    """Drain a node: finish its jobs and claim no more.

    The pools stay up, idle, until you stop them, and so do pools started on that node later. To undo: cornerman resume.
    """
    with Client.from_env() as client:
        if not (pools := _pools_at(client, where)):
            nodes = sorted({str(pool.get("node")) for pool in client.ledger.pools.alive()})
            raise job_refused(f"no pool is alive at {where!r}; nodes with pools: {', '.join(nodes) or 'none'}")
        changes = client.ledger.controls.set({f"drain.{where}": True}, user=user, reason=reason)
        if wait:
            _wait_until_idle(client, {pool["name"] for pool in pools}, timeout)
    _show(console, changes)


@click.command()
@click.argument("where", metavar="QUEUE|NODE|QUEUE@NODE")
@audit_options(required=False)
@json_option
@pass_console
def resume(console: Console, where: str, user: str, reason: str) -> None:
    """Resume a queue that was paused, or a node that was drained."""
    name = f"pause.{where}" if where in QUEUES else f"drain.{where}"
    find_control(name)
    with Client.from_env() as client:
        stopped = client.ledger.controls.current().flag(name)
        changes = client.ledger.controls.set({name: None}, user=user, reason=reason) if stopped else []
    _show(console, changes)
    if not stopped:
        console.note(f"{where} was neither paused nor drained.")


def _read(client: Client, assignment: str) -> tuple[str, ControlValue | None]:
    """Parse NAME=VALUE. Raises JobRefusedError."""
    name, equals, text = assignment.partition("=")
    if not equals:
        raise job_refused(f"{assignment!r} is not NAME=VALUE (cornerman set --list shows the names)")
    return name, read_value(client.ledger, name, text)


def _pools_at(client: Client, where: str) -> list[dict[str, Any]]:
    queue, _, node = where.rpartition("@")
    return [
        pool
        for pool in client.ledger.pools.alive()
        if pool.get("node") == node and (not queue or queue in pool.get("queues", ()))
    ]


def _wait_until_idle(client: Client, names: Iterable[str], timeout_seconds: float) -> None:
    """Wait until the pools report that they neither claim nor run jobs, or have ended. Raises WaitTimeoutError."""
    waited_for, end = set(names), time.monotonic() + timeout_seconds
    while True:
        alive = {pool["name"]: pool for pool in client.ledger.pools.alive()}
        waited_for = {name for name in waited_for if name in alive and not _idle(alive[name])}
        if not waited_for:
            return
        if time.monotonic() >= end:
            raise WaitTimeoutError(f"after {timeout_seconds:g} s jobs still run in {', '.join(sorted(waited_for))}")
        time.sleep(POLL_SECONDS)


def _idle(pool: Mapping[str, Any]) -> bool:
    return pool.get("busy") == 0 and set(pool.get("stopped", ())) == set(pool.get("queues", ()))


def _show(console: Console, changes: list[ControlChange], title: str = "Changed") -> None:
    rows = [
        {
            "at": f"{change.at:%Y-%m-%d %H:%M:%S}",
            "who": change.who,
            "name": change.name,
            "from": _short(change.name, change.before),
            "to": _short(change.name, change.after),
            "why": change.why,
        }
        for change in changes
    ]
    columns = ["at", "who", "name", "from", "to", "why"]
    console.output({"changes": changes}, *([records_table(title, columns, rows)] if rows else []))


def _short(name: str, text: str | None) -> str | None:
    return text[:12] if text is not None and name.startswith("model.") else text


def _list(console: Console, client: Client) -> None:
    """Show every control: those that are set by full name, the others by pattern."""
    listed = list_controls(client.ledger)
    columns = ["name", "value", "default", "unit", "set_by", "meaning"]
    shown = [msgspec.to_builtins(row) | {"value": _short(row.name, row.value)} for row in listed]
    console.output({"controls": listed}, records_table("Controls", columns, shown))
