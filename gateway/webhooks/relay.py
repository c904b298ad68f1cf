"""The relay: holds webhooks and runs the loop of each. Several relays of a ledger share its webhooks."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from gateway.settings import GatewaySettings
from gateway.webhooks.delivery_loop import DeliveryLoop
from gateway.webhooks.metrics import RelayMetrics
from gateway.webhooks.sender import Sender
from ledger.contracts.failures import LedgerError
from ledger.ledger import Ledger
from ledger.webhooks.delivery_queue import DeliveryResult, HeldWebhook
from ledger.webhooks.targets import allowed_hosts

LEDGER_THREADS = 8
MAX_HEARTBEAT_SECONDS = 1.0
HEARTBEATS_PER_LEASE = 4
STOP_SECONDS = 5.0
"""How long deliveries under way may take when the relay ends."""
FIGURES_SECONDS = 5.0
_TAIL_SECONDS = 1.0


class Relay:
    """Delivers the outcomes of a ledger to its webhooks.

    It holds each webhook by a lease that it renews several times a lease; one that it cannot renew goes to another
    relay. What a relay was sending when it died is sent again. So each event is delivered at least once.
    """

    def __init__(self, ledger: Ledger, settings: GatewaySettings, registry: CollectorRegistry | None = None) -> None:
        self._ledger = ledger
        self._queue = ledger.webhook_queue
        self._settings = settings
        self._metrics = RelayMetrics(registry or CollectorRegistry())
        self._lease_seconds = ledger.settings.lease_seconds
        self.name = f"{socket.gethostname()}#{os.getpid()}-{secrets.token_hex(3)}"
        self._loops: dict[str, tuple[DeliveryLoop, asyncio.Task[None]]] = {}
        self._holds_some = asyncio.Event()
        self._unsettled: dict[str, list[DeliveryResult]] = {}
        self._threads = ThreadPoolExecutor(LEDGER_THREADS, thread_name_prefix="webhooks")
        self._log = structlog.get_logger("gateway.webhooks")
        self._available = True

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then end the deliveries under way and give the webhooks up."""
        allowed = allowed_hosts(self._ledger.settings.webhook_allowed_hosts)
        self._log.info("relay starts", relay=self.name)
        async with Sender(allowed, self._settings.webhook_timeout_seconds) as sender:
            others = [asyncio.create_task(self._again(do)) for do in (self._tail, self._show)]
            try:
                while not stop.is_set():
                    try:
                        await self._beat(sender)
                    except Exception:  # noqa: BLE001 - a relay that has stopped silently is worse than one that tries on
                        self._log.exception("heartbeat failed", relay=self.name)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._pause_seconds):
                            await stop.wait()
            finally:
                for task in others:
                    task.cancel()
                await self._end()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._log.info("relay ends", relay=self.name)

    @property
    def _pause_seconds(self) -> float:
        return min(MAX_HEARTBEAT_SECONDS, self._lease_seconds / HEARTBEATS_PER_LEASE)

    async def _beat(self, sender: Sender) -> None:
        """Renew the leases, and begin and end loops as the reply says."""
        self._sweep()
        asked_seconds = time.monotonic()
        delivers = [loop.held for loop, _ in self._loops.values()]
        try:
            surplus, held = await self._in_thread(self._queue.hold, self.name, delivers)
        except LedgerError as error:
            self._note_outage(str(error))
            for loop, task in self._loops.values():
                if time.monotonic() >= loop.valid_until_seconds:
                    task.cancel()
            return
        self._note_outage(None)
        valid_until_seconds = asked_seconds + self._lease_seconds
        for webhook in held:
            self._continue(webhook, sender, valid_until_seconds)
        current = {webhook.id: webhook.fence for webhook in held}
        for webhook_id, (loop, task) in self._loops.items():
            if current.get(webhook_id) != loop.held.fence:
                task.cancel()
        draining = sum(loop.draining for loop, _ in self._loops.values())
        spare = [loop for loop, _ in self._loops.values() if not loop.draining]
        for loop in spare[: max(surplus - draining, 0)]:
            loop.drain()

    def _continue(self, webhook: HeldWebhook, sender: Sender, valid_until_seconds: float) -> None:
        known = self._loops.get(webhook.id)
        if known is not None:
            if known[0].held.fence == webhook.fence:
                known[0].renew(webhook, valid_until_seconds)
            return  # else it ends first, and the webhook is taken over again by the next call
        loop = DeliveryLoop(
            webhook,
            self._queue,
            sender,
            self._settings,
            self._in_thread,
            self._metrics,
            valid_until_seconds,
            self._unsettled.pop(webhook.id, ()),
        )
        self._loops[webhook.id] = loop, asyncio.create_task(self._run_loop(loop))
        self._holds_some.set()

    async def _run_loop(self, loop: DeliveryLoop) -> None:
        try:
            await loop.run()
        except Exception:  # noqa: BLE001 - the other webhooks go on; this one is taken over again
            self._log.exception("delivery loop failed", webhook=loop.held.id)
        if loop.draining:
            with suppress(LedgerError):
                await self._in_thread(self._queue.release, self.name, [loop.held])

    def _sweep(self) -> None:
        """Forget loops that have ended, and keep the results that they could not store."""
        for webhook_id, (loop, task) in list(self._loops.items()):
            if task.done():
                del self._loops[webhook_id]
                if loop.unsettled:
                    self._unsettled[webhook_id] = loop.unsettled
        if not self._loops:
            self._holds_some.clear()

    async def _again(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do something until the relay ends, also if it fails."""
        while True:
            try:
                await do()
            except LedgerError:  # the heartbeat has noted it
                await asyncio.sleep(self._pause_seconds)
            except Exception:  # noqa: BLE001 - as in `run`
                self._log.exception("relay goes on after an error", relay=self.name)
                await asyncio.sleep(MAX_HEARTBEAT_SECONDS)

    async def _show(self) -> None:
        """Update the metrics of the fleet."""
        self._metrics.show(await self._in_thread(self._ledger.webhooks.figures))
        await asyncio.sleep(FIGURES_SECONDS)

    async def _tail(self) -> None:
        """Wake the loops, if there are any, when outcomes are settled, and now and then in any case."""
        place, told_seconds = "0", 0.0
        while True:
            await self._holds_some.wait()
            before = place
            if place == "0":
                place = await self._in_thread(self._ledger.latest_place)
            else:
                place = await self._in_thread(self._queue.wait_for_outcomes, place, _TAIL_SECONDS)
            now_seconds = time.monotonic()
            if place != before or now_seconds - told_seconds > self._ledger.settings.poll_fallback_seconds:
                told_seconds = now_seconds
                for loop, _ in self._loops.values():
                    loop.notify()
            if place == "0":
                await asyncio.sleep(self._pause_seconds)

    async def _end(self) -> None:
        """End the deliveries under way, and give the webhooks up."""
        for loop, _ in self._loops.values():
            loop.drain()
        tasks = [task for _, task in self._loops.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(LedgerError):
            left = [loop.held for loop, _ in self._loops.values()]
            await self._in_thread(partial(self._queue.release, ends=True), self.name, left)

    def _note_outage(self, error: str | None) -> None:
        """Log that the ledger cannot be reached, once, and that it can again."""
        if error is not None and self._available:
            self._log.warning("relay cannot reach the ledger", relay=self.name, error=error)
        elif error is None and not self._available:
            self._log.info("relay reaches the ledger again", relay=self.name)
        self._available = error is None

    async def _in_thread(self, do: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, do, *arguments)
