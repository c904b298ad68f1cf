"""The deliveries of one webhook, for as long as a relay holds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog

from gateway.settings import GatewaySettings
from gateway.webhooks.metrics import RelayMetrics
from gateway.webhooks.retries import Response, Step, next_step
from gateway.webhooks.sender import Sender
from gateway.webhooks.signature import signed_headers
from ledger.contracts.failures import LedgerError
from ledger.webhooks.delivery_queue import (
    MAX_READ,
    DeliveryPlan,
    DeliveryQueue,
    DeliveryResult,
    DueDelivery,
    HeldWebhook,
)
from ledger.webhooks.events import Message, matches

T = TypeVar("T")
InThread = Callable[..., Awaitable[Any]]
RETRY_SECONDS = 1.0
"""How long a webhook that has no room for further deliveries waits before it looks again."""
PLAN_SECONDS = 30.0
"""How long a plan is used without being loaded again: an old secret stops to sign without a change of the webhook."""
TEST_EVENT = "webhook.test"


class DeliveryLoop:
    """Reads outcomes for one webhook and delivers them; ends if the webhook is lost or the ledger fails.

    Attributes
    ----------
    held
        The webhook and its fence.
    valid_until_seconds
        End of the lease on the monotonic clock. No attempt begins after it.
    draining
        True if no delivery is to be taken any more.
    unsettled
        Results that could not be stored; the next loop of the same webhook stores them first.
    """

    def __init__(
        self,
        held: HeldWebhook,
        queue: DeliveryQueue,
        sender: Sender,
        settings: GatewaySettings,
        in_thread: InThread,
        metrics: RelayMetrics,
        valid_until_seconds: float,
        unsettled: Sequence[DeliveryResult] = (),
    ) -> None:
        self.held = held
        self.valid_until_seconds = valid_until_seconds
        self.draining = False
        self.unsettled: list[DeliveryResult] = list(unsettled)
        self._queue = queue
        self._sender = sender
        self._settings = settings
        self._in_thread = in_thread
        self._metrics = metrics
        self._sending: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._unread = True
        self._log = structlog.get_logger("gateway.webhooks").bind(webhook=held.id)

    def renew(self, held: HeldWebhook, valid_until_seconds: float) -> None:
        """Prolong the lease; look at the webhook again if it has changed."""
        if held.revision != self.held.revision:
            self._wake.set()
        self.held = held
        self.valid_until_seconds = valid_until_seconds

    def notify(self) -> None:
        """Say that there are outcomes to read."""
        self._unread = True
        self._wake.set()

    def drain(self) -> None:
        """Take no further deliveries; the loop ends when those under way have ended."""
        self.draining = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until the webhook is lost or drained. A failure of the ledger ends the loop, too."""
        try:
            await self._deliver()
        except LedgerError as error:
            self._log.warning("webhook waits for the ledger", error=str(error))
            await self._end_attempts(cancel=False)
        finally:
            await self._end_attempts(cancel=True)

    async def _deliver(self) -> None:
        plan, loaded_seconds = await self._in_thread(self._queue.load, self.held.id), time.monotonic()
        while plan is not None:
            full = not self.draining and self._unread and not await self._read()
            results, self.unsettled = self.unsettled, []
            room = 0 if self.draining else self._settings.webhook_concurrency - len(self._sending)
            try:
                due = await self._in_thread(self._queue.exchange, self.held, results, room)
            except LedgerError:
                self.unsettled += results
                raise
            if due is None:
                self._log.info("webhook given up: disabled, deleted or held by another relay")
                return
            if due.revision != plan.revision or time.monotonic() - loaded_seconds > PLAN_SECONDS:
                loaded_seconds = time.monotonic()
                plan = await self._in_thread(self._queue.load, self.held.id)
                if plan is None:
                    return
            for delivery in due.deliveries:
                task = asyncio.create_task(self._attempt(plan, delivery))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            if self.draining and not self._sending and not self.unsettled:
                return
            await self._wait(due.next_seconds if room > len(due.deliveries) else None, full)

    async def _wait(self, next_seconds: float | None, full: bool) -> None:
        """Wait for a result, an outcome, a change, or the time at which a delivery is due."""
        limits = [seconds for seconds in (next_seconds, RETRY_SECONDS if full else None) if seconds is not None]
        reads = self._unread and not full and not self.draining
        if not self.unsettled and not reads:
            try:
                async with asyncio.timeout(min(limits, default=None)):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._wake.clear()

    async def _read(self) -> bool:
        """Read outcomes and queue those that match, one step; False if there is no room for more."""
        if not await self._in_thread(self._queue.has_room, self.held.id):
            return False
        self._unread = False
        # Loaded each time: the filters may have changed, and a lost reply may hide that the cursor was moved.
        plan: DeliveryPlan | None = await self._in_thread(self._queue.load, self.held.id)
        if plan is None:
            return True
        batch = await self._in_thread(self._queue.read, plan.cursor, plan.seen)
        if batch.outcomes or batch.missed or batch.cursor != batch.before:
            matching = [outcome for outcome in batch.outcomes if matches(plan.definition, outcome)]
            await self._in_thread(self._queue.enqueue, self.held, batch, matching)
            if batch.missed:
                self._log.warning("outcomes missed", count=batch.missed, after=batch.before, place=batch.cursor)
        self._unread |= len(batch.outcomes) + batch.missed >= MAX_READ
        return True

    async def _attempt(self, plan: DeliveryPlan, due: DueDelivery) -> None:
        """Make one attempt and note its result."""
        try:
            result = await self._result_of(plan, due)
        except LedgerError as error:
            self._log.warning("delivery put back", error=str(error))
            result = DeliveryResult(due=due, verdict="back")
        except Exception as error:  # noqa: BLE001 - else its card would wait for as long as this relay holds the webhook
            self._log.exception("delivery not attempted", delivery=due.delivery)
            step = self._next_step(Response(error=type(error).__name__), due)
            result = DeliveryResult(
                due=due,
                verdict=step.verdict,
                entry={"message_id": "", "type": "outcome", "attempt": due.attempts + 1, "result": step.verdict},
                error=f"the relay failed: {type(error).__name__}; its log has the reason",
                delay_seconds=step.delay_seconds,
            )
        self.unsettled.append(result)
        self._wake.set()

    async def _result_of(self, plan: DeliveryPlan, due: DueDelivery) -> DeliveryResult:
        message: Message | None = await self._in_thread(self._queue.message, self.held.id, due)
        if message is None:
            error = "the outcome is no longer stored (CORNERMAN_RETENTION_SECONDS)"
            entry = {
                "message_id": "",
                "type": "outcome",
                "job_id": due.event[1:],
                "attempt": due.attempts,
                "result": "dead",
                "error": error,
            }
            return DeliveryResult(due=due, verdict="gone", entry=entry, error=error)
        if time.monotonic() >= self.valid_until_seconds:
            return DeliveryResult(due=due, verdict="back")
        started_seconds = time.monotonic()
        headers = signed_headers(plan.secrets, message.message_id, int(time.time()), message.body)
        response = await self._sender.post(plan.definition.url, {**headers, **message.trace_headers}, message.body)
        step = self._next_step(response, due)
        return self._settled(due, message, response, step, time.monotonic() - started_seconds)

    def _next_step(self, response: Response, due: DueDelivery) -> Step:
        return next_step(
            response,
            due.attempts,
            due.waited_seconds,
            first_seconds=self._settings.webhook_first_retry_seconds,
            give_up_seconds=self._settings.webhook_give_up_seconds,
        )

    def _settled(
        self, due: DueDelivery, message: Message, response: Response, step: Step, duration_seconds: float
    ) -> DeliveryResult:
        again = step.verdict == "retry" and message.type != TEST_EVENT
        entry = {
            "message_id": message.message_id,
            "type": message.type,
            "attempt": due.attempts + 1,
            "result": _LOGGED.get(step.verdict, step.verdict) if again or step.verdict != "retry" else "dead",
            "duration_seconds": round(duration_seconds, 4),
        }
        details = {
            "job_id": message.job_id,
            "card_id": message.card_id,
            "status_code": response.status,
            "error": response.error or None,
            "retry_in_seconds": round(step.delay_seconds, 3) if again else None,
        }
        self._metrics.observe_attempt(str(entry["result"]), duration_seconds)
        entry |= {name: value for name, value in details.items() if value is not None}
        if step.verdict != "delivered":
            self._log.warning("delivery failed", **entry)
        dropped = message.type == TEST_EVENT and step.verdict in ("retry", "dead")
        return DeliveryResult(
            due=due,
            verdict="drop" if dropped else step.verdict,
            entry=entry,
            error=response.error,
            delay_seconds=step.delay_seconds if again else 0.0,
            hold_seconds=step.hold_seconds,
        )

    async def _end_attempts(self, *, cancel: bool) -> None:
        """Wait for the attempts under way, or cut them off."""
        sending = list(self._sending)
        if cancel:
            for task in sending:
                task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


_LOGGED = {"disable": "disabled"}
