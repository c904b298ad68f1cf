"""What the processes of a pool tell its main process about, through a pipe that is made before they are forked.

Every number that is published lives in the main process. So a counter survives the child that counted, a gauge cannot
outlive the child it spoke of, and there are no files to clean up after them. A message is written in one piece or not
at all, also by a process that is killed meanwhile, because it is shorter than PIPE_BUF. Nobody waits: where the pipe is
full, because the main process stands still, the message is dropped and the next one says how many were.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
from contextlib import suppress

import msgspec
from msgspec import Struct

from ledger.contracts.reports import HealthCheck
from ledger.jobs.claims import Claim

_LENGTH = struct.Struct("=H")
_MOST_LENGTH = 2**16 - 1  # what the struct can say; nothing so long is written
_PIPE_BYTES = 2**20  # some 8,000 messages
_READ_BYTES = 2**16
_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux


class Figures(Struct, frozen=True, array_like=True):
    """What an answered card says of the model and the prices, without names and prices.

    `uncertainties` are the widths of the intervals whose lower bounds decide, one a fight. `widths` are the mean widths
    by level, `covered` and `uncovered` count the market's probabilities inside and outside of the intervals by level,
    both of the levels in `LEVELS` only. `odds_age_seconds` is the age of the oldest quote when the card was claimed.
    """

    bets: int
    abstentions: dict[str, int]  # fights by reason; a fight may have several
    abstained: int
    failures: dict[str, int]  # fights without an answer, by code
    uncertainties: list[float]
    widths: dict[str, float]
    covered: dict[str, int]
    uncovered: dict[str, int]
    odds_age_seconds: float | None = None


class Attempt(Struct, frozen=True, array_like=True, tag=True):
    """An attempt at a job has ended; the fields are those of the canonical log line."""

    kind: str
    outcome: str
    attempt: int
    queue_wait_seconds: float | None = None
    run_seconds: float | None = None
    figures: Figures | None = None


def attempt_of(claim: Claim, outcome: str, run_seconds: float, figures: Figures | None) -> Attempt:
    """Return what is told of an attempt that a child has brought to its end."""
    waited = claim.queue_wait
    waited_seconds = None if waited is None else waited.total_seconds()
    return Attempt(claim.kind, outcome, claim.attempt, waited_seconds, run_seconds, figures)


class SelfTest(Struct, frozen=True, array_like=True, tag=True):
    """A child has looked whether it could answer a card."""

    checks: list[HealthCheck]
    model: str | None = None


class Look(Struct, frozen=True, array_like=True, tag=True):
    """The guard has looked at children and ledger.

    The pool has given no sign of consuming for `silent_seconds`; None where there was none yet. `reached` says whether
    the server answered.
    """

    silent_seconds: float | None
    reached: bool


class Kill(Struct, frozen=True, array_like=True, tag=True):
    """The guard has killed a child."""

    reason: str


class Reaping(Struct, frozen=True, array_like=True, tag=True):
    """The guard has put right what nobody else would have; as `ledger.jobs.claims.Reaped`."""

    requeued: int
    lost: int
    expired: int


class Dropped(Struct, frozen=True, array_like=True, tag=True):
    """So many messages of one process found the pipe full."""

    messages: int


Event = Attempt | SelfTest | Look | Kill | Reaping | Dropped


class Telemetry:
    """The pipe. Any process of the pool, and any thread, may `tell`; one thread of the main process listens."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        if _F_SETPIPE_SZ is not None:
            with suppress(OSError):  # the user has used up what pipes may hold: it stays at 64 KiB
                fcntl.fcntl(writer, _F_SETPIPE_SZ, _PIPE_BYTES)
        # As files, so that they are closed when the pool is forgotten.
        self._reader, self._writer = os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb", 0)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
        self._dropped = 0
        self._rest = b""

    def tell(self, *events: Event) -> None:
        """Tell the main process, many at once so that it wakes once, or drop messages. Never waits, never raises."""
        if self._dropped and self._write(self._framed(Dropped(self._dropped))):
            self._dropped = 0
        piece, messages = b"", 0
        for event in events:
            message = self._framed(event)
            if len(piece) + len(message) > select.PIPE_BUF:
                self._tell(piece, messages)
                piece, messages = b"", 0
            piece += message
            messages += 1
        self._tell(piece, messages)

    def listen(self, within_seconds: float) -> list[Event]:
        """Return what was told, waiting for the first of it for `within_seconds` at most."""
        if not select.select([self._reader], [], [], within_seconds)[0]:
            return []
        told = self._rest + os.read(self._reader.fileno(), _READ_BYTES)
        events, at = [], 0
        while at + _LENGTH.size <= len(told):
            start = at + _LENGTH.size
            end = start + _LENGTH.unpack_from(told, at)[0]
            if end > len(told):
                break
            events.append(self._decoder.decode(told[start:end]))
            at = end
        self._rest = told[at:]
        return events

    def _framed(self, event: Event) -> bytes:
        message = self._encoder.encode(event)
        return _LENGTH.pack(min(len(message), _MOST_LENGTH)) + message

    def _tell(self, piece: bytes, messages: int) -> None:
        if messages and not self._write(piece):
            self._dropped += messages

    def _write(self, piece: bytes) -> bool:
        if len(piece) > select.PIPE_BUF:  # a message that is too long for one piece, and alone in it
            return False
        try:
            return os.write(self._writer.fileno(), piece) > 0
        except OSError:  # it is full, or nobody listens any more
            return False
