"""Tables of webhooks, attempts and dead letters. Layout only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from ledger.contracts.webhooks import DeliveryAttempt, Webhook, WebhookDeadLetter
from producer.output.table_parts import NOTHING, STYLES, duration_text, wrapping_table

_RESULT_STYLES = {"delivered": STYLES["succeeded"], "retry": "yellow", "dead": STYLES["failed"], "disabled": "red"}


def webhooks_table(webhooks: Sequence[Webhook]) -> Table:
    """Return the table of all webhooks."""
    columns = ("id", "url", "receives", "state", "delivered", "failed", "waiting", "dead", "missed", "behind")
    table = wrapping_table("Webhooks", *columns)
    for webhook in webhooks:
        table.add_row(
            webhook.id,
            Text(webhook.url),
            Text(filters_text(webhook)),
            Text(state_text(webhook), style=_state_style(webhook)),
            f"{webhook.delivered:,}",
            f"{webhook.failed_attempts:,}",
            f"{webhook.waiting:,}",
            f"{webhook.dead_letters:,}",
            f"{webhook.missed:,}",
            _behind(webhook),
        )
    return table


def webhook_table(webhook: Webhook) -> Table:
    """Return the table of one webhook."""
    table = wrapping_table(f"Webhook {webhook.id}", "what", "value")
    rows = {
        "url": webhook.url,
        "description": webhook.description or NOTHING,
        "receives": filters_text(webhook),
        "state": state_text(webhook),
        "created": f"{_moment(webhook.created_at)} by {webhook.created_by}",
        "changed": f"{_moment(webhook.changed_at)} by {webhook.changed_by}",
        "delivered": f"{webhook.delivered:,}, the last at {_moment(webhook.delivered_at)}",
        "failed attempts": f"{webhook.failed_attempts:,}",
        "waiting": f"{webhook.waiting:,}, behind by {_behind(webhook)}",
        "dead letters": f"{webhook.dead_letters:,}",
        "missed outcomes": f"{webhook.missed:,}",
        "relay": webhook.relay or NOTHING,
    }
    for what, value in rows.items():
        table.add_row(what, Text(value))
    return table


def attempts_table(attempts: Sequence[DeliveryAttempt]) -> Table:
    """Return the table of attempts."""
    table = wrapping_table("Deliveries", "at", "type", "job", "card", "attempt", "result", "took", "answer")
    for attempt in attempts:
        later = "" if attempt.retry_in_seconds is None else f" in {duration_text(attempt.retry_in_seconds)}"
        answer = attempt.error or (f"HTTP {attempt.status_code}" if attempt.status_code is not None else NOTHING)
        table.add_row(
            _moment(attempt.at),
            attempt.type,
            Text(attempt.job_id or NOTHING),
            Text(attempt.card_id or NOTHING),
            str(attempt.attempt),
            Text(f"{attempt.result}{later}", style=_RESULT_STYLES[attempt.result]),
            f"{attempt.duration_seconds:.2f} s",
            Text(answer),
        )
    return table


def letters_table(letters: Sequence[WebhookDeadLetter]) -> Table:
    """Return the table of dead letters."""
    table = wrapping_table("Dead letters", "id", "died", "type", "job", "card", "attempts", "reason")
    for letter in letters:
        table.add_row(
            letter.id,
            _moment(letter.died_at),
            letter.type,
            Text(letter.job_id or NOTHING),
            Text(letter.card_id or NOTHING),
            str(letter.attempts),
            Text(letter.error),
        )
    return table


def filters_text(webhook: Webhook) -> str:
    """Return in words which outcomes a webhook receives."""
    filters = (webhook.kinds, webhook.cards, webhook.states, (webhook.decision or "",))
    parts = [", ".join(values) for values in filters]
    return "; ".join(filter(None, parts)) or "all outcomes"


def state_text(webhook: Webhook) -> str:
    """Return in words how a webhook stands."""
    if not webhook.enabled:
        return f"disabled: {webhook.disabled_reason}"
    if webhook.failing_since is not None:
        return f"failing since {_moment(webhook.failing_since)}: {webhook.error}"
    return "delivering" if webhook.relay else "no relay holds it"


def _state_style(webhook: Webhook) -> str:
    if not webhook.enabled or webhook.failing_since is not None:
        return STYLES["failed"]
    return STYLES["succeeded"] if webhook.relay else "yellow"


def _behind(webhook: Webhook) -> str:
    return NOTHING if webhook.oldest_seconds is None else duration_text(webhook.oldest_seconds)


def _moment(at: datetime | None) -> str:
    return NOTHING if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
