"""Commands about tokens of gateways: `tokens create`, `list`, `revoke`, `limit`, `history`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from ledger.operations.tokens import CallerLimits, Role, TokenRecord
from producer.cli.options.audit import audit_options
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.report_tables import records_table

DAY_SECONDS = 86_400.0
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
@json_option
def tokens() -> None:
    """Manage tokens of gateways and limits of callers.

    A request with a token comes from its caller, in its role: a reader reads, a producer also submits cards, an
    operator may do everything.
    """


def _limit_options(command: Command) -> Command:
    """Add the options that limit a caller."""
    for option in (
        click.option("--jobs-per-day", type=click.IntRange(min=1), metavar="JOBS", help="New jobs of a day (UTC)."),
        click.option(
            "--burst",
            type=click.IntRange(min=1),
            metavar="N",
            help="Requests that may come at once. Default: those of a second.",
        ),
        click.option(
            "--rate", type=click.FloatRange(min=0.001), metavar="R", help="Requests of the caller in a second."
        ),
    ):
        command = option(command)
    return command


@tokens.command()
@click.argument("caller")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What its bearer may do.")
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DAYS",
    help="How long it is valid. Default: for ever.",
)
@_limit_options
@audit_options(required=False)
@json_option
@pass_console
def create(
    console: Console,
    caller: str,
    role: str,
    days: float | None,
    rate: float | None,
    burst: int | None,
    jobs_per_day: int | None,
    user: str,
    reason: str,
) -> None:
    """Make a token of a caller and print it, this once.

    The ledger stores its digest alone: a token that is lost is revoked, and replaced by a new one. A caller may have
    several. Limits are those of the caller; without any option it keeps the ones that it has.
    """
    limits = _limits(rate, burst, jobs_per_day)
    with Client.from_env() as client:
        new = client.ledger.tokens.create(
            caller,
            Role(role),
            user=user,
            reason=reason,
            expires_seconds=None if days is None else days * DAY_SECONDS,
            limits=None if limits == CallerLimits() else limits,
        )
    console.output({"text": new.text, "token": new.record}, new.text)
    console.note(f"Token {new.record.token_id} of {caller} ({role}). Store it now: it cannot be shown again.")


@tokens.command("list")
@json_option
@pass_console
def list_tokens(console: Console) -> None:
    """List all tokens, also revoked and expired ones."""
    with Client.from_env() as client:
        found, now = client.ledger.tokens.all(), datetime.fromtimestamp(client.ledger.server.time(), UTC)
    rows = [
        {
            "token": token.token_id,
            "caller": token.caller,
            "role": token.role.value,
            "state": _state(token, now),
            "created": _moment(token.created_at),
            "by": token.created_by,
            "last_used": _moment(token.last_used_at),
            "limits": _limits_text(token.limits),
        }
        for token in found
    ]
    console.output({"tokens": found}, *([records_table("Tokens", list(rows[0]), rows)] if rows else []))
    if not rows:
        console.note("No tokens: a gateway on a loopback address takes everybody for an operator.")


@tokens.command()
@click.argument("token_ids", nargs=-1, required=True, metavar="TOKEN...")
@audit_options(required=False)
@json_option
@pass_console
def revoke(console: Console, token_ids: tuple[str, ...], user: str, reason: str) -> None:
    """Revoke tokens for ever, by their ids.

    A gateway refuses them within a few seconds. Jobs that were submitted with them go on.
    """
    with Client.from_env() as client:
        rows = [
            {"token": token_id, "revoked": client.ledger.tokens.revoke(token_id, user=user, reason=reason)}
            for token_id in token_ids
        ]
    console.output({"revoked": rows})
    for row in rows:
        console.note(f"{row['token']} {'revoked' if row['revoked'] else 'was revoked before'}.")


@tokens.command()
@click.argument("caller")
@_limit_options
@audit_options(required=False)
@json_option
@pass_console
def limit(
    console: Console,
    caller: str,
    rate: float | None,
    burst: int | None,
    jobs_per_day: int | None,
    user: str,
    reason: str,
) -> None:
    """Set the limits of a caller: all of them; those without an option end.

    They hold at once, for all of its tokens and at all gateways together.
    """
    limits = _limits(rate, burst, jobs_per_day)
    with Client.from_env() as client:
        client.ledger.tokens.set_limits(caller, limits, user=user, reason=reason)
    console.output({"caller": caller, "limits": limits})
    console.note(f"{caller}: {_limits_text(limits)}.")


@tokens.command()
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number to show.")
@json_option
@pass_console
def history(console: Console, limit: int) -> None:
    """Show who created, revoked and limited what, newest first."""
    with Client.from_env() as client:
        changes = client.ledger.tokens.changes(limit)
    rows = [
        {
            "at": _moment(change.at),
            "who": change.who,
            "what": change.what,
            "caller": change.caller,
            "token": change.token_id,
            "limits": None if change.limits is None else _limits_text(change.limits),
            "why": change.why,
        }
        for change in changes
    ]
    console.output({"changes": changes}, *([records_table("Changes", list(rows[0]), rows)] if rows else []))


def _limits(rate: float | None, burst: int | None, jobs_per_day: int | None) -> CallerLimits:
    if burst is not None and rate is None:
        raise click.UsageError("--burst needs --rate")
    return CallerLimits(
        requests_per_second=rate,
        burst=burst or max(1, round(rate or 1)),
        jobs_per_day=jobs_per_day,
    )


def _state(token: TokenRecord, now: datetime) -> str:
    if token.revoked_at is not None:
        return f"revoked {_moment(token.revoked_at)}"
    if token.expires_at is None:
        return "valid"
    return f"{'expired' if token.expires_at <= now else 'valid until'} {_moment(token.expires_at)}"


def _moment(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _limits_text(limits: CallerLimits) -> str:
    """Return limits in words."""
    parts = []
    if limits.requests_per_second is not None:
        parts.append(f"{limits.requests_per_second:g} requests/s, {limits.burst} at once")
    if limits.jobs_per_day is not None:
        parts.append(f"{limits.jobs_per_day:,} jobs a day")
    return "; ".join(parts) or "no limits"
