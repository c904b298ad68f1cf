"""The webhooks of a ledger: create, change, delete, rotate secrets, and read how their deliveries go."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, Struct, structs

from ledger.contracts.codec import check_text, job_refused
from ledger.contracts.failures import LedgerError, NotFoundError
from ledger.contracts.jobs import ROUTES
from ledger.contracts.lazy_decoder import convert, decode
from ledger.contracts.webhooks import (
    CreatedWebhook,
    DeliveryAttempt,
    Webhook,
    WebhookChange,
    WebhookDeadLetter,
    WebhookDefinition,
)
from ledger.server.server import Server, to_datetime
from ledger.webhooks.events import event_of_test, ordering_key, test_message_id
from ledger.webhooks.targets import allowed_hosts, check_url

MAX_WEBHOOKS = 100
SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins
SECRET_BYTES = 32
MAX_OVERLAP_SECONDS = 30 * 86_400.0
INTERNAL_KINDS = frozenset({"shadow_card", "train_part", "backtest_part"})
"""Kinds whose outcomes are not in the stream."""
KINDS = tuple(sorted(ROUTES.keys() - INTERNAL_KINDS))
"""Kinds that a filter can name."""

SWITCHED_OFF = "switched off by an operator"
_AGAIN = 5
_LETTERS_AT_ONCE = 1_000
_PLACE = re.compile("[0-9]{1,19}(-[0-9]{1,19})?")


class UnknownWebhookError(NotFoundError):
    """There is no webhook of this id."""


class WebhookFigures(Struct, frozen=True, kw_only=True):
    """Figures of all webhooks together, for metrics. Times in seconds, of the enabled webhooks only."""

    delivering: int = 0
    failing: int = 0
    disabled: int = 0
    relays: int = 0
    waiting: int = 0
    dead_letters: int = 0
    oldest_seconds: float = 0.0
    failing_seconds: float = 0.0
    delivered: int = 0
    failed_attempts: int = 0
    missed: int = 0


class Webhooks:
    """Webhooks of a ledger."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._allowed = allowed_hosts(server.settings.webhook_allowed_hosts)

    def create(self, definition: WebhookDefinition, *, user: str, after: str = "$") -> CreatedWebhook:
        """Create a webhook and return it with its secret, which is not shown again.

        Parameters
        ----------
        definition
            Where to post, and which outcomes.
        user
            Who creates it; stored with it.
        after
            It receives what is settled after this place in the stream of outcomes: "$" from now on, "0" with the oldest
            that is kept.

        Raises
        ------
        JobRefusedError
            The URL, a filter or a text is invalid, or there are `MAX_WEBHOOKS` already.
        """
        check_text("user", user)
        self._check(definition)
        if after != "$" and not _PLACE.fullmatch(after):
            raise job_refused(f"{after[:60]!r} is no place in the stream of outcomes: give 0, $, or one like 1700000-0")
        webhook_id, secret = f"wh_{secrets.token_hex(8)}", new_secret()
        encoded = msgspec.json.encode(definition)
        if not self._server.run_script("webhook_create", webhook_id, encoded, user, after, secret, MAX_WEBHOOKS):
            raise job_refused(f"there are {MAX_WEBHOOKS} webhooks already: delete one (cornerman webhooks list)")
        return CreatedWebhook(webhook=self.get(webhook_id), secret=secret)

    def all(self) -> list[Webhook]:
        """Return all webhooks, oldest first."""
        ids = self._server.execute("ZRANGEBYSCORE", self._server.key("webhooks"), "-inf", "+inf")
        found = (self._read(webhook_id.decode()) for webhook_id in ids)
        return [webhook for webhook in found if webhook is not None]

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook. Raises UnknownWebhookError."""
        return self._read(webhook_id) or _unknown(webhook_id)

    def change(self, webhook_id: str, change: WebhookChange, *, user: str) -> Webhook:
        """Change a webhook and return it. What waits already is delivered whether or not a new filter matches it.

        Raises UnknownWebhookError, and JobRefusedError as from `create`.
        """
        check_text("user", user)
        given = {name: value for name, value in structs.asdict(change).items() if value is not UNSET}
        enabled = given.pop("enabled", None)
        for _ in range(_AGAIN):
            text, revision, was, reason = self._server.execute(
                "HMGET", self._key(webhook_id), "definition", "revision", "enabled", "disabled"
            )
            if text is None:
                _unknown(webhook_id)
            definition = structs.replace(_definition(text), **given)
            self._check(definition)
            on = was == b"1" if enabled is None else enabled
            why = "" if on else (reason.decode() if was == b"0" else SWITCHED_OFF)
            arguments = (revision, msgspec.json.encode(definition), "1" if on else "0", why, user)
            done = self._server.run_script("webhook_change", webhook_id, *arguments)
            if done:
                return self.get(webhook_id)
        raise LedgerError(f"webhook {webhook_id} is changed by others all the time, nothing was changed: try again")

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook with its log, its dead letters and what waits. Raises UnknownWebhookError."""
        if not self._server.run_script("webhook_delete", webhook_id):
            _unknown(webhook_id)

    def rotate_secret(self, webhook_id: str, *, user: str, overlap_seconds: float = 86_400.0) -> CreatedWebhook:
        """Give a webhook a new secret. For `overlap_seconds` the one before signs each request, too.

        Raises UnknownWebhookError, and JobRefusedError if the overlap is out of range.
        """
        check_text("user", user)
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise job_refused(f"`overlap_seconds` is 0 to {MAX_OVERLAP_SECONDS:,.0f}, not {overlap_seconds:g}")
        secret = new_secret()
        if not self._server.run_script("webhook_rotate", webhook_id, secret, round(overlap_seconds * 1000), user):
            _unknown(webhook_id)
        return CreatedWebhook(webhook=self.get(webhook_id), secret=secret)

    def test(self, webhook_id: str) -> str:
        """Send a webhook an event `webhook.test`, and return its message id: the log has what became of it.

        Raises UnknownWebhookError.
        """
        nonce, now_ms = secrets.token_hex(16), round(self._server.time() * 1000)
        delivery = (ordering_key(f"test {nonce}"), now_ms, event_of_test(nonce, now_ms))
        if not self._server.run_script("webhook_enqueue", webhook_id, "", "", "", "", 0, *delivery):
            _unknown(webhook_id)
        return test_message_id(nonce)

    def deliveries(self, webhook_id: str, limit: int = 100) -> list[DeliveryAttempt]:
        """Return the latest attempts, newest first. Raises UnknownWebhookError."""
        self._require(webhook_id)
        entries = self._server.execute("XREVRANGE", self._key(webhook_id, "log"), "+", "-", "COUNT", limit)
        return [_attempt(place, fields) for place, fields in entries]

    def dead_letters(self, webhook_id: str, limit: int = 100) -> list[WebhookDeadLetter]:
        """Return dead letters, newest first. Raises UnknownWebhookError."""
        self._require(webhook_id)
        dead, letters = self._key(webhook_id, "dead"), self._key(webhook_id, "letters")
        found = self._server.execute("ZREVRANGE", dead, 0, limit - 1, "WITHSCORES")
        if not found:
            return []
        numbers, times = found[::2], found[1::2]
        texts = self._server.execute("HMGET", letters, *numbers)
        return [_letter(number, died, text) for number, died, text in zip(numbers, times, texts, strict=True) if text]

    def replay(self, webhook_id: str, letter_ids: Sequence[str] | None = None) -> int:
        """Send dead letters again (None: all), each after what waits for its card; return how many there were.

        Raises UnknownWebhookError.
        """
        return self._letters(webhook_id, "replay", letter_ids)

    def purge(self, webhook_id: str, letter_ids: Sequence[str] | None = None) -> int:
        """Remove dead letters (None: all) and return how many there were. Raises UnknownWebhookError."""
        return self._letters(webhook_id, "purge", letter_ids)

    def figures(self) -> WebhookFigures:
        """Return the figures of all webhooks together."""
        webhooks = self.all()
        on = [webhook for webhook in webhooks if webhook.enabled]
        failing = [webhook.failing_since for webhook in on if webhook.failing_since is not None]
        now = self._server.time()
        relays = self._server.execute("ZCARD", self._server.key("relays"))
        return WebhookFigures(
            delivering=len(on) - len(failing),
            failing=len(failing),
            disabled=len(webhooks) - len(on),
            relays=relays,
            waiting=sum(webhook.waiting for webhook in webhooks),
            dead_letters=sum(webhook.dead_letters for webhook in webhooks),
            oldest_seconds=max((webhook.oldest_seconds or 0.0 for webhook in on), default=0.0),
            failing_seconds=max((now - since.timestamp() for since in failing), default=0.0),
            delivered=sum(webhook.delivered for webhook in webhooks),
            failed_attempts=sum(webhook.failed_attempts for webhook in webhooks),
            missed=sum(webhook.missed for webhook in webhooks),
        )

    def _check(self, definition: WebhookDefinition) -> None:
        try:  # a definition that was made in Python
            convert(msgspec.to_builtins(definition), WebhookDefinition)
        except msgspec.ValidationError as error:
            raise job_refused(f"the webhook is invalid: {error}") from error
        check_url(definition.url, self._allowed)
        if definition.description:
            check_text("description", definition.description)
        if unknown := sorted(set(definition.kinds) - set(KINDS)):
            raise job_refused(f"`kinds` are among {', '.join(KINDS)}; {unknown[0][:60]!r} is not")

    def _letters(self, webhook_id: str, what: str, letter_ids: Sequence[str] | None) -> int:
        self._require(webhook_id)
        if letter_ids is None:
            dead = self._key(webhook_id, "dead")
            letter_ids = [number.decode() for number in self._server.execute("ZREVRANGE", dead, 0, -1)]
            letter_ids = sorted(letter_ids, key=int)  # in the order in which they were first sent
        count = 0
        for first in range(0, len(letter_ids), _LETTERS_AT_ONCE):
            some = letter_ids[first : first + _LETTERS_AT_ONCE]
            count += max(0, int(self._server.run_script("webhook_letters", webhook_id, what, *some)))
        return count

    def _require(self, webhook_id: str) -> None:
        if not self._server.execute("EXISTS", self._key(webhook_id)):
            _unknown(webhook_id)

    def _read(self, webhook_id: str) -> Webhook | None:
        fields, waiting, oldest, dead, now = self._server.transaction(
            ("HGETALL", self._key(webhook_id)),
            ("ZCARD", self._key(webhook_id, "waiting")),
            ("ZRANGEBYSCORE", self._key(webhook_id, "ages"), "-inf", "+inf", "WITHSCORES", "LIMIT", 0, 1),
            ("ZCARD", self._key(webhook_id, "dead")),
            ("TIME",),
        )
        if b"definition" not in fields:
            return None
        now_ms = int(now[0]) * 1000 + int(now[1]) // 1000
        after = fields[b"cursor"].decode()
        unread = self._server.execute("XRANGE", self._server.key("outcomes"), f"({after}", "+", "COUNT", 1)
        settled = [int(float(oldest[1]))] if oldest else []
        settled += [int(unread[0][0].decode().partition("-")[0])] if unread else []
        lives = b"owner" in fields and int(fields.get(b"until", b"0")) > now_ms
        return Webhook(
            **structs.asdict(_definition(fields[b"definition"])),
            **_state(webhook_id, fields),
            waiting=waiting,
            oldest_seconds=max(0.0, (now_ms - min(settled)) / 1000) if settled else None,
            dead_letters=dead,
            relay=fields[b"owner"].decode() if lives else None,
        )

    def _key(self, webhook_id: str, *parts: str) -> str:
        return self._server.key("webhook", webhook_id, *parts)


def new_secret() -> str:
    """Return a new secret: `whsec_` and 256 random bits in base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _unknown(webhook_id: str) -> NoReturn:
    raise UnknownWebhookError(f"there is no webhook {webhook_id[:80]!r}: see `cornerman webhooks list`")


def _definition(text: bytes) -> WebhookDefinition:
    return decode(text, WebhookDefinition)


def _state(webhook_id: str, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    def moment(name: bytes) -> Any:
        return to_datetime(fields[name]) if fields.get(name) else None

    return {
        "id": webhook_id,
        "created_at": moment(b"created"),
        "created_by": fields[b"created_by"].decode(),
        "changed_at": moment(b"changed"),
        "changed_by": fields[b"changed_by"].decode(),
        "enabled": fields[b"enabled"] == b"1",
        "disabled_reason": fields[b"disabled"].decode() or None,
        "delivered": int(fields.get(b"delivered", b"0")),
        "failed_attempts": int(fields.get(b"failed", b"0")),
        "missed": int(fields.get(b"missed", b"0")),
        "missed_at": moment(b"missed_at"),
        "delivered_at": moment(b"delivered_at"),
        "failing_since": moment(b"failing_since"),
        "error": fields[b"error"].decode() if b"error" in fields else None,
    }


def _attempt(place: bytes, fields: Mapping[bytes, bytes]) -> DeliveryAttempt:
    entry = msgspec.json.decode(fields[b"entry"])
    at = to_datetime(float(place.decode().partition("-")[0]))
    return convert({**entry, "place": place.decode(), "at": at}, DeliveryAttempt)


def _letter(number: bytes, died: bytes, text: bytes) -> WebhookDeadLetter:
    entry = msgspec.json.decode(text.partition(b"\n")[0])
    return WebhookDeadLetter(
        id=number.decode(),
        died_at=to_datetime(died),
        message_id=entry["message_id"],
        type=entry["type"],
        attempts=entry["attempt"],
        error=entry.get("error", ""),
        job_id=entry.get("job_id"),
        card_id=entry.get("card_id"),
        status_code=entry.get("status_code"),
    )
