"""A kombu transport that reads doorbells instead of messages.

Whatever item is on the list, Celery receives a message of our own that states only "this queue has work". So an item
written by a stranger can call no task, raise no limit, attach no callback and stop no consumption; an item that no
ledger writes is quarantined. A doorbell needs no acknowledgement: the ledger pushes another one for jobs that are not
claimed. So there is no hash of unacknowledged messages and no visibility timeout, and the only keys in use are the
ledger's own lists.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import kombu
import redis
import structlog
from kombu.transport import redis as stock
from kombu.utils.scheduling import round_robin_cycle

from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.ledger import Ledger
from ledger.server.error_replies import error_meaning
from ledger.server.script_keys import key_root
from ledger.server.topology.addresses import read_address
from ledger.server.topology.connections import ResolvingConnection
from ledger.server.topology.pools import open_pool
from ledger.server.topology.resolver import CHECK_SECONDS
from ledger.settings import LedgerSettings

DOORBELL_TASK = "cornerman.doorbell"
RETRY_SECONDS = 1.0
PAUSED_POP_SECONDS = 1
"""How long a pop waits at the server while a queue is paused. A queue that is resumed is waited for after that time."""
DOORBELL = b"!"  # the item that the ledger's scripts push


def doorbell_message(queue: str) -> dict[str, Any]:
    """Return the Celery message (protocol 2) that a doorbell of `queue` stands for."""
    task_id = uuid.uuid4().hex
    return {
        "body": json.dumps([[queue], {}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": DOORBELL_TASK, "id": task_id, "lang": "py", "root_id": task_id, "parent_id": None},
        "properties": {
            "correlation_id": task_id,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_tag": task_id,
        },
    }


def quarantine_with(settings: LedgerSettings) -> Callable[[str, bytes], None]:
    """Return a function that quarantines a foreign queue item.

    Errors are only logged, because they must not stop consumption.
    """

    def keep(queue: str, item: bytes) -> None:
        log = structlog.get_logger("cornerman")
        log.warning("foreign queue item quarantined", queue=queue, bytes=len(item))
        try:
            ledger = Ledger.connect(settings)
            ledger.quarantine.add(queue, item)
            ledger.close()
        except (LedgerUnavailableError, PermissionDeniedError) as error:
            log.warning("foreign queue item lost", queue=queue, error=str(error))

    return keep


class _Client(redis.Redis):
    """A client whose blocking pop returns our own message."""

    def __init__(self, *, on_pop: Callable[[bytes, bytes], tuple[str, str]], **options: Any) -> None:
        super().__init__(**options)
        self._on_pop = on_pop

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            reply = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            if command_name != "BRPOP" or (refusal := error_meaning(error)) is None:
                raise
            # Without a pause a refused pop, or a refused connection, would be retried at once.
            time.sleep(RETRY_SECONDS)
            if refusal.other_server_may_answer:
                raise redis.ConnectionError(refusal.advice) from error
            structlog.get_logger("cornerman").warning("doorbell refused", error=refusal.advice)
            return None
        return self._on_pop(*reply) if command_name == "BRPOP" and reply else reply


class _ConsumableQueues(round_robin_cycle):  # type: ignore[misc]  # kombu ships no types
    """The queues that are consumed now; the doorbells of the others stay for other pools."""

    def __init__(self, may_consume: Callable[[str], bool]) -> None:
        super().__init__()
        self._may_consume = may_consume

    def consume(self, n: int) -> list[str]:
        """Return up to `n` queues, in turn."""
        return [queue for queue in super().consume(n) if self._may_consume(queue)]


class Channel(stock.Channel):  # type: ignore[misc]  # kombu ships no types
    """A channel on the doorbells of one ledger."""

    ack_emulation = False  # no hash of unacknowledged messages
    priority_steps = (0,)  # the ledger knows what is urgent; one list a queue
    do_restore = False  # a doorbell popped at the last moment is not put back as a message: the ledger pushes another

    from_transport_options = (*stock.Channel.from_transport_options, "ledger_settings", "quarantine", "may_consume")
    ledger_settings: LedgerSettings
    quarantine: Callable[[str, bytes], None]
    may_consume: Callable[[str], bool] = staticmethod(lambda queue: True)
    _in_poll: Any  # the connection with a pending pop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queue_cycle = _ConsumableQueues(self.may_consume)
        self._consumed: set[str] = set()  # also those that are paused now

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume without acknowledgements, whatever the consumer asks for."""
        self._consumed.add(queue)
        return super().basic_consume(queue, True, *args, **kwargs)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Do nothing: a doorbell needs no acknowledgement."""

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Do nothing: the ledger pushes another doorbell."""

    def close(self) -> None:
        """Close without waiting for the pending pop: a doorbell that it takes is pushed again."""
        if self._in_poll:
            self._in_poll.disconnect()
            self._in_poll = None
        super().close()

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Begin a pop, a shorter one while a queue is paused: a pop does not wait for what is resumed meanwhile."""
        paused = not all(queue in self.active_queues and self.may_consume(queue) for queue in self._consumed)
        super()._brpop_start(PAUSED_POP_SECONDS if paused and timeout is None else timeout)

    def _queue_bind(self, *args: Any) -> None:
        """Write no bindings: nothing is published through Celery."""

    def _q_for_pri(self, queue: str, pri: int) -> str:
        return f"{self._prefix}{queue}"

    def _get_client(self) -> Callable[..., _Client]:
        super()._get_client()  # checks redis-py's version
        return functools.partial(_Client, on_pop=self._on_popped)

    def _on_popped(self, key: bytes, item: bytes) -> tuple[str, str]:
        queue = key.decode().removeprefix(self._prefix)
        if item != DOORBELL:
            self.quarantine(queue, item)
        return queue, json.dumps(doorbell_message(queue))

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        """Connect as the ledger does, from the same URL: kombu parses TLS and socket URLs differently."""
        patience_seconds = self.brpop_timeout + self.ledger_settings.reply_timeout_seconds
        pool = open_pool(
            read_address(self.ledger_settings.redis_url or ""),
            self.ledger_settings.namespace,
            self.ledger_settings.reply_timeout_seconds,
            socket_timeout=patience_seconds,
        )
        self.connection_class = pool.connection_class
        wrapped = super()._connparams(asynchronous)["connection_class"]
        return {"db": 0, **pool.connection_kwargs, "connection_class": wrapped}

    @property
    def _prefix(self) -> str:
        return f"{key_root(self.ledger_settings)}:doorbell:"


class Connection(kombu.Connection):  # type: ignore[misc]  # kombu ships no types
    """A connection that is retried every second.

    Celery's own delays grow to half a minute: after a long outage a pool would stay without work for as long.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Connection:
        """Connect, however often it takes."""
        steady = {"interval_start": RETRY_SECONDS, "interval_step": 0.0, "interval_max": RETRY_SECONDS}
        super().ensure_connection(*args, **{**steady, **options})
        return self


class Transport(stock.Transport):  # type: ignore[misc]  # kombu ships no types
    """Redis as the carrier of doorbells; the value of Celery's `broker_transport`."""

    Channel = Channel
    # How long a pop waits at the server. Nothing waits for its end: children have connections of their own, and closing
    # does not wait for it. A doorbell that it takes although the queue is no longer consumed costs a job the second
    # after which the doorbell is rung again.
    brpop_timeout = 15
    # A server that refuses a command, or the handshake, is retried like one that is away: Celery ends for other errors.
    connection_errors = (*stock.Transport.connection_errors, redis.ResponseError)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Poll in an event loop, and leave a server that is not the primary any more.

        No time limit applies to a pop that the event loop waits for: one at a server that was stopped, or cut off,
        would end only with kombu's own check, after up to a minute.
        """
        super().register_with_event_loop(connection, loop)
        cycle = self.cycle
        # Nothing is restored or published through Celery, and no token is renewed: each would be looked at for ever.
        for timer in (cycle._restore_messages_tref, cycle._reauth_tref, cycle._binding_expiry_tref):
            timer.cancel()
        if (earlier := getattr(cycle, "confirmation", None)) is not None:  # as kombu does with its own timers
            earlier.cancel()
            cycle.confirmation = None
        settings: LedgerSettings = connection.client.transport_options["ledger_settings"]
        if read_address(settings.redis_url or "").kind != "server":
            cycle.confirmation = loop.call_repeatedly(CHECK_SECONDS, self._confirm_pops)

    def _confirm_pops(self) -> None:
        """Raise redis.ConnectionError if a pop waits at a server that is not the primary any more."""
        for channel in list(self.cycle._channels):
            if isinstance(channel._in_poll, ResolvingConnection):
                channel._in_poll.confirm()

    def _reject_inbound_message(self, raw_message: dict[str, Any]) -> None:
        """Drop a doorbell of a queue that is no longer consumed; the stock transport would count it for ever."""
