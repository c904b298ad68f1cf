"""Commands about webhooks: create, change, rotate the secret, deliveries, dead letters; and the relay."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click
from msgspec import UNSET

from ledger.contracts.failures import WaitTimeoutError
from ledger.contracts.webhooks import CreatedWebhook, DeliveryAttempt, WebhookChange, WebhookDefinition
from ledger.webhooks.webhook_store import KINDS, MAX_OVERLAP_SECONDS
from producer.cli.options.audit import user_option
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.webhook_tables import attempts_table, letters_table, webhook_table, webhooks_table
from producer.service.service_process import relay_command
from producer.settings import child_environment, data_folder, ledger_settings

STATES = ("succeeded", "failed", "expired", "cancelled")
DECISIONS = ("bet", "abstain")
DAY_HOURS = 24.0
POLL_SECONDS = 0.2

Command = TypeVar("Command", bound=Callable[..., Any])

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Maximum number to show."
)


def filter_options(command: Command) -> Command:
    """Add the options that choose outcomes."""
    options = (
        click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind. Repeatable."),
        click.option(
            "--card", "cards", multiple=True, metavar="ID", help="Only this card; * stands for any text. Repeatable."
        ),
        click.option(
            "--state", "states", multiple=True, type=click.Choice(STATES), help="Only jobs that ended so. Repeatable."
        ),
        click.option(
            "--decision",
            type=click.Choice(DECISIONS),
            help="Only answered cards with at least one bet, or without any.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
@json_option
def webhooks() -> None:
    """Manage webhooks: URLs to which outcomes are posted.

    A running gateway delivers them (cornerman serve), or a relay alone (cornerman relay). Requests are signed as
    www.standardwebhooks.com describes; docs/guides/webhooks.md has examples of receivers.
    """


@webhooks.command()
@click.argument("url")
@filter_options
@click.option("--description", default="", help="A text to recognise it by.")
@click.option("--after", default="$", show_default=True, help="Begin after this place; 0: the oldest outcome stored.")
@user_option
@json_option
@pass_console
def create(
    console: Console,
    url: str,
    kinds: tuple[str, ...],
    cards: tuple[str, ...],
    states: tuple[Any, ...],
    decision: Any,
    description: str,
    after: str,
    user: str,
) -> None:
    """Create a webhook and print its secret, which is not shown again.

    Without filters it receives every outcome except those of health checks.
    """
    definition = WebhookDefinition(
        url=url, kinds=kinds, cards=cards, states=states, decision=decision, description=description
    )
    with Client.from_env() as client:
        created = client.ledger.webhooks.create(definition, user=user, after=after)
    _show_secret(console, created)


@webhooks.command("list")
@json_option
@pass_console
def list_webhooks(console: Console) -> None:
    """List webhooks and how their deliveries go."""
    with Client.from_env() as client:
        found = client.ledger.webhooks.all()
    console.output({"webhooks": found}, *([webhooks_table(found)] if found else []))
    if not found:
        console.note("No webhooks.")


@webhooks.command()
@click.argument("webhook_id")
@json_option
@pass_console
def show(console: Console, webhook_id: str) -> None:
    """Show one webhook."""
    with Client.from_env() as client:
        webhook = client.ledger.webhooks.get(webhook_id)
    console.output(webhook, webhook_table(webhook))


@webhooks.command()
@click.argument("webhook_id")
@click.option("--url", help="Post to another URL.")
@filter_options
@click.option(
    "--any",
    "cleared",
    multiple=True,
    type=click.Choice(("kind", "card", "state", "decision")),
    help="Remove this filter. Repeatable.",
)
@click.option("--description", help="A text to recognise it by.")
@click.option("--enable/--disable", "enabled", default=None, help="Resume or stop its deliveries.")
@user_option
@json_option
@pass_console
def update(
    console: Console,
    webhook_id: str,
    url: str | None,
    kinds: tuple[str, ...],
    cards: tuple[str, ...],
    states: tuple[Any, ...],
    decision: Any,
    cleared: tuple[str, ...],
    description: str | None,
    enabled: bool | None,
    user: str,
) -> None:
    """Change a webhook; what is not named stays as it is.

    A disabled webhook misses nothing: its outcomes wait, as long as the stream of outcomes has them.
    """

    def chosen(name: str, value: Any) -> Any:
        if name in cleared:
            return None if name == "decision" else ()
        return value or UNSET

    change = WebhookChange(
        url=UNSET if url is None else url,
        kinds=chosen("kind", kinds),
        cards=chosen("card", cards),
        states=chosen("state", states),
        decision=chosen("decision", decision),
        description=UNSET if description is None else description,
        enabled=UNSET if enabled is None else enabled,
    )
    if change == WebhookChange():
        raise click.UsageError("name what to change")
    with Client.from_env() as client:
        webhook = client.ledger.webhooks.change(webhook_id, change, user=user)
    console.output(webhook, webhook_table(webhook))


@webhooks.command()
@click.argument("webhook_id")
@json_option
@pass_console
def delete(console: Console, webhook_id: str) -> None:
    """Delete a webhook with its log, its dead letters and what waits."""
    with Client.from_env() as client:
        client.ledger.webhooks.delete(webhook_id)
    console.output({"deleted": webhook_id})
    console.note(f"{webhook_id} deleted.")


@webhooks.command("rotate-secret")
@click.argument("webhook_id")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0, MAX_OVERLAP_SECONDS / 3600),
    default=DAY_HOURS,
    show_default=True,
    help="For how long the former secret signs, too; 0 if it is known to others.",
)
@user_option
@json_option
@pass_console
def rotate_secret(console: Console, webhook_id: str, overlap_hours: float, user: str) -> None:
    """Give a webhook a new secret and print it; it is not shown again."""
    with Client.from_env() as client:
        rotated = client.ledger.webhooks.rotate_secret(webhook_id, user=user, overlap_seconds=overlap_hours * 3600)
    _show_secret(console, rotated)


@webhooks.command()
@click.argument("webhook_id")
@limit_option
@json_option
@pass_console
def deliveries(console: Console, webhook_id: str, limit: int) -> None:
    """Show the latest attempts, newest first."""
    with Client.from_env() as client:
        attempts = client.ledger.webhooks.deliveries(webhook_id, limit)
    console.output({"deliveries": attempts}, *([attempts_table(attempts)] if attempts else []))
    if not attempts:
        console.note("No attempts yet.")


@webhooks.command("dead-letters")
@click.argument("webhook_id")
@limit_option
@click.option("--purge", is_flag=True, help="Remove all of them instead of listing them.")
@json_option
@pass_console
def dead_letters(console: Console, webhook_id: str, limit: int, purge: bool) -> None:
    """List the events that were not delivered, newest first."""
    with Client.from_env() as client:
        if purge:
            purged = client.ledger.webhooks.purge(webhook_id)
            console.output({"purged": purged})
            console.note(f"{purged} purged.")
            return
        letters = client.ledger.webhooks.dead_letters(webhook_id, limit)
    console.output({"dead_letters": letters}, *([letters_table(letters)] if letters else []))
    if not letters:
        console.note("No dead letters.")


@webhooks.command()
@click.argument("webhook_id")
@click.argument("letter_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Select every dead letter.")
@json_option
@pass_console
def replay(console: Console, webhook_id: str, letter_ids: tuple[str, ...], everything: bool) -> None:
    """Send dead letters again, each after what waits for its card."""
    if bool(letter_ids) == everything:
        raise click.UsageError("name the dead letters, or give --all")
    with Client.from_env() as client:
        replayed = client.ledger.webhooks.replay(webhook_id, None if everything else letter_ids)
    console.output({"replayed": replayed})
    console.note(f"{replayed} sent again.")


@webhooks.command("test")
@click.argument("webhook_id")
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS")
@json_option
@pass_console
def test_webhook(console: Console, webhook_id: str, timeout: float) -> None:
    """Send an event of type webhook.test, once, and show the receiver's answer."""
    with Client.from_env() as client:
        message_id = client.ledger.webhooks.test(webhook_id)
        attempt = _attempt_at(client, webhook_id, message_id, timeout)
    console.output(attempt, attempts_table([attempt]))
    if attempt.result != "delivered":
        click.get_current_context().exit(ExitCode.FAILED)


@click.command()
@json_option
@pass_console
def relay(console: Console) -> None:
    """Deliver outcomes to webhooks, without a gateway.

    The relay replaces this process. Relays on several machines share the webhooks, with each other and with gateways.
    Its log lines are JSON, on stderr.
    """
    command = relay_command()
    settings = ledger_settings()
    Client.from_env().close()
    console.output({"command": command[1:]})
    sys.stdout.flush()
    environment = child_environment(settings.redis_url, data_folder())
    os.execve(command[0], command, environment)  # noqa: S606 - a shell is not wanted


def _attempt_at(client: Client, webhook_id: str, message_id: str, timeout_seconds: float) -> DeliveryAttempt:
    """Wait until the log has an attempt at a message. Raises WaitTimeoutError."""
    end = time.monotonic() + timeout_seconds
    while True:
        for attempt in client.ledger.webhooks.deliveries(webhook_id):
            if attempt.message_id == message_id:
                return attempt
        if time.monotonic() >= end:
            raise WaitTimeoutError(
                f"no relay has sent {message_id} within {timeout_seconds:g} s: is one running (cornerman serve, or "
                "cornerman relay), and is the webhook enabled?"
            )
        time.sleep(POLL_SECONDS)


def _show_secret(console: Console, created: CreatedWebhook) -> None:
    console.output(created, webhook_table(created.webhook), f"secret: {created.secret}")
    console.note("Keep the secret where the receiver reads it; it is not shown again.")
