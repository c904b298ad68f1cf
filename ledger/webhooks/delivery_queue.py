"""What a relay does with the ledger: hold webhooks, read outcomes for them, and take and settle their deliveries.

A relay holds a webhook by a lease with a fence; every write names the fence, so that a relay that lost the webhook can
change nothing. The order of calls: `hold`, then for each webhook `load`, `read` and `enqueue` to fetch outcomes, and
`exchange` to store results and take what is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from ledger.contracts.lazy_decoder import decode
from ledger.contracts.webhooks import MissedOutcomes, WebhookDefinition
from ledger.server.server import Server
from ledger.webhooks import events
from ledger.webhooks.events import Message, StoredOutcome

MAX_WAITING = 10_000
"""Deliveries of a webhook that may wait. Beyond it the relay reads no further outcomes, which stay in the stream."""
MAX_READ = 100
MAX_LOG_ENTRIES = 1_000
MAX_DEAD_LETTERS = 10_000
_OUTCOMES_CACHED = 5_000

Verdict = Literal["delivered", "retry", "dead", "gone", "drop", "disable", "back"]


class HeldWebhook(Struct, frozen=True):
    """A webhook that a relay holds. `revision` grows when its definition, its secrets or its deliveries change."""

    id: str
    fence: int
    revision: int


class DeliveryPlan(Struct, frozen=True, kw_only=True):
    """What a relay must know of a webhook. `secrets` sign; the current one comes first."""

    definition: WebhookDefinition
    secrets: tuple[str, ...]
    revision: int
    cursor: str
    seen: int | None


class OutcomeBatch(Struct, frozen=True, kw_only=True):
    """Outcomes that were read after a cursor; `missed` were dropped from the stream before."""

    before: str
    cursor: str
    seen: int | None
    outcomes: tuple[StoredOutcome, ...] = ()
    missed: int = 0


class DueDelivery(Struct, frozen=True, kw_only=True):
    """A delivery that was handed out. `attempts` were made before, `waited_seconds` passed between them."""

    delivery: str
    attempts: int
    waited_seconds: float

    @property
    def event(self) -> str:
        """The event that is delivered, as `ledger.webhooks.events` names it."""
        return self.delivery.split(":", 3)[3]


class DeliveryResult(Struct, frozen=True, kw_only=True):
    """What became of a delivery that was handed out.

    `retry`: again after `delay_seconds`. `dead`: to the dead letters. `gone`: the same, as its outcome is no longer
    stored. `drop`: it is not sent again. `disable`: disable the webhook, for `error`. `back`: there was no attempt.
    `hold_seconds`: send this webhook nothing for so long. `entry` goes into the log.
    """

    due: DueDelivery
    verdict: Verdict
    entry: Mapping[str, object] | None = None
    error: str = ""
    delay_seconds: float = 0.0
    hold_seconds: float = 0.0


class DueDeliveries(Struct, frozen=True, kw_only=True):
    """The reply to `exchange`. `next_seconds`: when the next delivery will be due, None if none waits."""

    revision: int
    next_seconds: float | None
    deliveries: tuple[DueDelivery, ...]


class DeliveryQueue:
    """The deliveries of all webhooks, for relays."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cache: dict[str, StoredOutcome] = {}

    def hold(self, relay: str, delivers: Iterable[HeldWebhook]) -> tuple[int, list[HeldWebhook]]:
        """Announce a relay and renew its leases, and take over free webhooks up to its share.

        `delivers` are the webhooks that it delivers now; one that it holds and does not name is taken over again, with
        a new fence. Returns how many webhooks the relay has above its share, and those that it holds.
        """
        named = [part for held in delivers for part in (held.id, held.fence)]
        surplus, *rest = self._server.run_script("webhook_hold", relay, *named)
        found = [
            HeldWebhook(webhook_id.decode(), int(fence), int(revision))
            for webhook_id, fence, revision in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        ]
        return int(surplus), found

    def release(self, relay: str, webhooks: Iterable[HeldWebhook], *, ends: bool = False) -> None:
        """Give up webhooks, so that another relay takes them over at once. `ends`: the relay ends."""
        named = [part for held in webhooks for part in (held.id, held.fence)]
        self._server.run_script("webhook_release", relay, "1" if ends else "", *named)

    def load(self, webhook_id: str) -> DeliveryPlan | None:
        """Return the plan of a webhook, None if it was deleted."""
        names = ("definition", "revision", "cursor", "seen")
        found, signing, now = self._server.transaction(
            ("HMGET", self._server.key("webhook", webhook_id), *names),
            ("HMGET", secrets_key(self._server), webhook_id, f"{webhook_id}:previous"),
            ("TIME",),
        )
        definition, revision, cursor, seen = found
        current, previous = signing
        if definition is None or current is None:
            return None
        until, _, before = (previous or b"0 ").decode().partition(" ")
        return DeliveryPlan(
            definition=decode(definition, WebhookDefinition),
            secrets=(current.decode(), *([before] if int(until) > int(now[0]) * 1000 else [])),
            revision=int(revision),
            cursor=cursor.decode(),
            seen=int(seen) if seen else None,
        )

    def has_room(self, webhook_id: str) -> bool:
        """Return True if a webhook has fewer deliveries than may wait."""
        return int(self._server.execute("ZCARD", self._server.key("webhook", webhook_id, "waiting"))) < MAX_WAITING

    def read(self, cursor: str, seen: int | None) -> OutcomeBatch:
        """Return the outcomes after a cursor, `MAX_READ` at most; `seen` is the number of the last one before."""
        entries, count = self._server.transaction(
            ("XRANGE", self._server.key("outcomes"), f"({cursor}", "+", "COUNT", MAX_READ),
            ("HGET", self._server.key("counts"), "outcomes"),
        )
        if not entries:
            gone = int(count or 0) - (int(count or 0) if seen is None else seen)
            return OutcomeBatch(before=cursor, cursor=cursor, seen=int(count or 0), missed=max(gone, 0))
        place = entries[-1][0].decode()
        numbers = [int(fields[b"number"]) if b"number" in fields else None for _, fields in entries]
        last = numbers[-1]
        missed = max(last - seen - len(entries), 0) if last is not None and seen is not None else 0
        found = self._stored([fields[b"job"].decode() for _, fields in entries], [at.decode() for at, _ in entries])
        outcomes = tuple(outcome for outcome in found if outcome is not None)
        missed += len(entries) - len(outcomes)  # the retention of these ended before
        return OutcomeBatch(before=cursor, cursor=place, seen=last, outcomes=outcomes, missed=missed)

    def enqueue(self, held: HeldWebhook, batch: OutcomeBatch, matching: Sequence[StoredOutcome]) -> bool:
        """Add deliveries of outcomes, and of the gap if there is one, and move the cursor; False if it was moved."""
        deliveries: list[str | int] = []
        if batch.missed:
            now_ms = round(self._server.time() * 1000)
            gap = MissedOutcomes(count=batch.missed, after=batch.before, place=batch.cursor)
            deliveries += [events.ordering_key("missed"), now_ms, events.event_of_gap(gap, now_ms)]
        for outcome in matching:
            deliveries += [outcome.key, outcome.settled_ms, events.event_of_job(outcome.job_id)]
        seen = "" if batch.seen is None else batch.seen
        place = (held.id, held.fence, batch.before, batch.cursor, seen, batch.missed)
        return bool(self._server.run_script("webhook_enqueue", *place, *deliveries))

    def exchange(self, held: HeldWebhook, results: Iterable[DeliveryResult], limit: int) -> DueDeliveries | None:
        """Store results and take up to `limit` deliveries that are due; None if the webhook is another relay's."""
        arguments: list[str | int | bytes] = []
        for result in results:
            waited = result.due.waited_seconds + result.delay_seconds
            arguments += [
                result.due.delivery,
                result.verdict,
                round(result.delay_seconds * 1000),
                round(result.hold_seconds * 1000),
                f"{result.due.attempts + 1} {round(waited * 1000)}",
                b"" if result.entry is None else msgspec.json.encode(result.entry),
                result.error,
            ]
        state, *rest = self._server.run_script(
            "webhook_deliver", held.id, held.fence, limit, MAX_LOG_ENTRIES, MAX_DEAD_LETTERS, *arguments
        )
        if state == b"lost":
            return None
        revision, next_ms, *found = rest
        return DueDeliveries(
            revision=int(revision),
            next_seconds=None if int(next_ms) < 0 else int(next_ms) / 1000,
            deliveries=tuple(_due(*pair) for pair in zip(found[::2], found[1::2], strict=True)),
        )

    def message(self, webhook_id: str, due: DueDelivery) -> Message | None:
        """Return what is to be posted, None if the outcome is no longer stored."""
        return events.message_of(self._server, webhook_id, due.event)

    def wait_for_outcomes(self, after: str, seconds: float) -> str:
        """Wait until outcomes were settled after a place, and return the place of the latest that was read."""
        block = max(1, round(seconds * 1000))
        stream = self._server.key("outcomes")
        answer = self._server.execute(
            "XREAD", "COUNT", 1_000, "BLOCK", block, "STREAMS", stream, after, blocks_seconds=seconds
        )
        return answer[0][1][-1][0].decode() if answer else after

    def _stored(self, job_ids: Sequence[str], places: Sequence[str]) -> list[StoredOutcome | None]:
        """Return outcomes of the stream; several webhooks read the same ones."""
        new = [(job_id, place) for job_id, place in zip(job_ids, places, strict=True) if place not in self._cache]
        if new:
            while len(self._cache) > _OUTCOMES_CACHED:
                self._cache.pop(next(iter(self._cache)), None)
            for (_, place), outcome in zip(
                new, events.stored_outcomes(self._server, [job_id for job_id, _ in new]), strict=True
            ):
                if outcome is not None:
                    self._cache[place] = outcome
        return [self._cache.get(place) for place in places]


def secrets_key(server: Server) -> str:
    """Return the key of the secrets, which is outside of the namespace: users may read that who must not know them."""
    return server.restricted_key("webhooks:secrets")


def _due(delivery: bytes, progress: bytes) -> DueDelivery:
    attempts, _, waited_ms = progress.decode().partition(" ")
    return DueDelivery(
        delivery=delivery.decode(), attempts=int(attempts or 0), waited_seconds=int(waited_ms or 0) / 1000
    )
