"""Tokens: who may use a gateway, in which role, and how much.

    token = ledger.tokens.create("odds-east", Role.PRODUCER, user="ana@ops", reason="new feed")
    print(token.text)                                   # this once: the ledger keeps only its digest
    ledger.tokens.verify(token.text)                    # -> TokenRecord, or None
    ledger.tokens.revoke(token.record.token_id, user="ana@ops", reason="leaked")

A caller may have several tokens, so that one can replace another without a gap. Its limits are those of the caller, not
of a token, and all gateways of the ledger count together.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ledger.contracts.caller_names import CALLER_RULE, is_caller
from ledger.contracts.codec import check_text, job_refused
from ledger.contracts.failures import NotFoundError
from ledger.server.base_server import BaseServer, to_datetime
from ledger.server.exchanges import Exchange
from ledger.server.server import Server

if TYPE_CHECKING:
    from ledger.server.async_server import AsyncServer  # loads asyncio

TEXT_PREFIX = "cornerman"
USE_NOTED_SECONDS = 60.0
"""Interval at which the use of a token is noted: a write for each request would cost more than the request."""
_TEXT = re.compile(rf"{TEXT_PREFIX}_(?P<id>[0-9a-f]{{12}})_[A-Za-z0-9_-]{{43}}")


class Role(StrEnum):
    """What the bearer of a token may do. Each role may do what the ones above it may, too."""

    READER = "reader"  # read status, outcomes, models, queues
    PRODUCER = "producer"  # submit and cancel cards
    OPERATOR = "operator"  # everything


class CallerLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a caller may ask for; None for no limit.

    Attributes
    ----------
    requests_per_second
        Average rate of requests.
    burst
        How many requests may come at once at that rate.
    jobs_per_day
        New jobs of a day (UTC). A job that is submitted again does not count.
    """

    requests_per_second: float | None = None
    burst: int = 1
    jobs_per_day: int | None = None


class TokenRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token without its text. Times are the server's.

    Attributes
    ----------
    token_id
        Id of the token, which is part of its text and no secret.
    caller
        Name of the caller, which is on each job that is submitted with it.
    created_by
        User who made it.
    expires_at, last_used_at, revoked_at
        None if it never does, was not used, is not revoked. `last_used_at` is exact to `USE_NOTED_SECONDS`.
    limits
        Limits of the caller.
    """

    token_id: str
    caller: str
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    limits: CallerLimits = CallerLimits()


class NewToken(Struct, frozen=True, kw_only=True):
    """A token that was just made, with its text, which cannot be read again."""

    text: str
    record: TokenRecord

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"NewToken(record={self.record!r})"


class TokenChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the audit: a token was `created` or `revoked`, or a caller was `limited`."""

    at: datetime
    who: str
    what: str
    caller: str
    why: str
    token_id: str | None = None
    limits: CallerLimits | None = None


class UnknownTokenError(NotFoundError):
    """There is no token of this id."""


class _StoredToken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token as it is stored."""

    caller: str
    role: Role
    digest: str
    created_ms: int
    created_by: str
    expires_ms: int | None = None


_decode_token = msgspec.json.Decoder(_StoredToken).decode
_decode_limits = msgspec.json.Decoder(CallerLimits).decode


class TokenExchanges:
    """What a gateway asks for each request, as exchanges with a server."""

    def __init__(self, server: BaseServer) -> None:
        self._server = server

    def exist(self) -> Exchange[bool]:
        """Implement `TokenStore.exist`."""
        return bool((yield from self._server.command("EXISTS", _key(self._server, "records"))))

    def verify(self, text: str) -> Exchange[TokenRecord | None]:
        """Implement `TokenStore.verify`."""
        token_id = token_id_of(text)
        return None if token_id is None else (yield from self.verify_digest(token_id, token_digest(text)))

    def verify_digest(self, token_id: str, digest: str) -> Exchange[TokenRecord | None]:
        """Return the token of this id, None if it is not valid or its text has another digest."""
        found = yield from self._server.script("token_verify", token_id, digest, round(USE_NOTED_SECONDS * 1000))
        if found is None:
            return None
        token, limits, used = found
        return _record(token_id, token, used=used, limits=limits)

    def admit(self, caller: str) -> Exchange[float]:
        """Implement `TokenStore.admit`."""
        return int((yield from self._server.script("admit", caller))) / 1e6


class AsyncTokens:
    """What a gateway asks for each request, on an asyncio event loop. The methods are those of `TokenStore`."""

    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self._exchanges = TokenExchanges(server)

    async def exist(self) -> bool:
        """Return True if a token was ever made."""
        return await self._server.run(self._exchanges.exist())

    async def verify(self, text: str) -> TokenRecord | None:
        """Return the token of a text, None if it is not valid."""
        return await self._server.run(self._exchanges.verify(text))

    async def admit(self, caller: str) -> float:
        """Count a request of a caller; return 0, or in how many seconds to come again."""
        return await self._server.run(self._exchanges.admit(caller))


class TokenStore:
    """Tokens, and the limits of callers."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._exchanges = TokenExchanges(server)
        self._max_changes = server.settings.max_changes

    def create(
        self,
        caller: str,
        role: Role,
        *,
        user: str,
        reason: str,
        expires_seconds: float | None = None,
        limits: CallerLimits | None = None,
    ) -> NewToken:
        """Make a token and return it with its text, which is not stored and cannot be read again.

        Parameters
        ----------
        caller
            Name of the caller.
        role
            What the bearer may do.
        user, reason
            Stored in the audit.
        expires_seconds
            How long it is valid; None for ever.
        limits
            New limits of the caller; None leaves those that it has.

        Raises
        ------
        JobRefusedError
            An invalid name, text, time or limit.
        LedgerUnavailableError
            The server does not answer. Revoke the token that it may have made: `all` returns it.
        """
        _check_caller(caller)
        check_text("user", user)
        check_text("reason", reason)
        if expires_seconds is not None and not 0 < expires_seconds < math.inf:
            raise job_refused(f"a token is valid for more than 0 s, not {expires_seconds:g}")
        token_id = secrets.token_hex(6)
        text = f"{TEXT_PREFIX}_{token_id}_{secrets.token_urlsafe(32)}"
        created_ms = round(1000 * self._server.time())
        stored = _StoredToken(
            caller=caller,
            role=role,
            digest=token_digest(text),
            created_ms=created_ms,
            created_by=user,
            expires_ms=None if expires_seconds is None else created_ms + round(1000 * expires_seconds),
        )
        token = msgspec.json.encode(stored)
        encoded = b"" if limits is None else _encode_limits(limits)
        self._server.run_script("token_create", token_id, token, caller, encoded, user, reason, self._max_changes)
        kept = encoded or self._server.execute("HGET", self._server.key("limits"), caller)
        return NewToken(text=text, record=_record(token_id, token, limits=kept))

    def exist(self) -> bool:
        """Return True if a token was ever made."""
        return self._server.run(self._exchanges.exist())

    def verify(self, text: str) -> TokenRecord | None:
        """Return the token of a text, None if it is not valid: unknown, revoked, expired.

        One round trip. A gateway may keep the result for a few seconds, in which a revocation takes effect.
        """
        return self._server.run(self._exchanges.verify(text))

    def admit(self, caller: str) -> float:
        """Count a request of a caller against its rate.

        Returns 0 if it may go on; otherwise in how many seconds to come again, and the request does not count. All
        gateways count together. A caller without a rate needs no call: see `TokenRecord.limits`.
        """
        return self._server.run(self._exchanges.admit(caller))

    def all(self) -> list[TokenRecord]:
        """Return all tokens, also revoked and expired ones, oldest first."""
        records, revoked, used, limits = self._server.transaction(
            *(("HGETALL", _key(self._server, name)) for name in ("records", "revoked", "used")),
            ("HGETALL", self._server.key("limits")),
        )
        found = [
            _record(
                name.decode(),
                token,
                used=used.get(name),
                revoked=revoked.get(name),
                limits=limits.get(_decode_token(token).caller.encode()),
            )
            for name, token in records.items()
        ]
        return sorted(found, key=lambda token: (token.created_at, token.token_id))

    def revoke(self, token_id: str, *, user: str, reason: str) -> bool:
        """Revoke a token for ever; return False if it was revoked before.

        Raises
        ------
        UnknownTokenError
            There is no such token.
        JobRefusedError
            An invalid text for the audit.
        """
        check_text("user", user)
        check_text("reason", reason)
        stored = self._server.execute("HGET", _key(self._server, "records"), token_id)
        if stored is None:
            raise UnknownTokenError(f"there is no token {token_id[:40]!r}: cornerman tokens list shows their ids")
        caller = _decode_token(stored).caller
        return bool(self._server.run_script("token_revoke", token_id, caller, user, reason, self._max_changes) == 1)

    def set_limits(self, caller: str, limits: CallerLimits, *, user: str, reason: str) -> None:
        """Set the limits of a caller; they hold for its next request. Raises JobRefusedError."""
        _check_caller(caller)
        check_text("user", user)
        check_text("reason", reason)
        encoded = _encode_limits(limits) if limits != CallerLimits() else b""
        self._server.run_script("limit_caller", caller, encoded, user, reason, self._max_changes)

    def limits(self, caller: str) -> CallerLimits:
        """Return the limits of a caller."""
        text = self._server.execute("HGET", self._server.key("limits"), caller)
        return _decode_limits(text) if text else CallerLimits()

    def changes(self, limit: int = 100) -> list[TokenChange]:
        """Return the last changes, newest first."""
        entries = self._server.execute("XREVRANGE", _key(self._server, "changes"), "+", "-", "COUNT", limit)
        return [_change(place, fields) for place, fields in entries]


def _key(server: BaseServer, name: str) -> str:
    """Return a key that only operators and gateways may read and write."""
    return server.restricted_key(f"tokens:{name}")


def token_id_of(text: str) -> str | None:
    """Return the id in the text of a token, None if it is no such text."""
    form = _TEXT.fullmatch(text)
    return None if form is None else form["id"]


def token_digest(text: str) -> str:
    """Return the digest of the text of a token, which the ledger stores in its place."""
    # The secret has 256 random bits: no search finds it, so a slow hash would only cost time.
    return hashlib.sha256(text.encode()).hexdigest()


def _check_caller(caller: str) -> None:
    if not is_caller(caller):
        raise job_refused(f"the name of a caller is {CALLER_RULE}: {caller[:80]!r} is not one")


def _encode_limits(limits: CallerLimits) -> bytes:
    rate = limits.requests_per_second
    if rate is not None and not 0.001 <= rate <= 1e6:
        raise job_refused(f"requests_per_second is from 0.001 to 1,000,000, not {rate:g}")
    counts = {"burst": limits.burst, "jobs_per_day": limits.jobs_per_day}
    for name, count in counts.items():
        if count is not None and not 1 <= count <= 10**9:
            raise job_refused(f"{name} is from 1 to 1,000,000,000, not {count}")
    return msgspec.json.encode(limits)


def _record(
    token_id: str, text: bytes, used: bytes | None = None, revoked: bytes | None = None, limits: bytes | None = None
) -> TokenRecord:
    token = _decode_token(text)
    return TokenRecord(
        token_id=token_id,
        caller=token.caller,
        role=token.role,
        created_at=to_datetime(token.created_ms),
        created_by=token.created_by,
        expires_at=None if token.expires_ms is None else to_datetime(token.expires_ms),
        last_used_at=to_datetime(used) if used else None,
        revoked_at=to_datetime(revoked) if revoked else None,
        limits=_decode_limits(limits) if limits else CallerLimits(),
    )


def _change(place: bytes, fields: Mapping[bytes, bytes]) -> TokenChange:
    texts: dict[str, Any] = {name.decode(): value.decode() for name, value in fields.items()}
    limits = texts.get("limits")
    return TokenChange(
        at=to_datetime(float(place.partition(b"-")[0])),
        who=texts["who"],
        what=texts["what"],
        caller=texts["caller"],
        why=texts["why"],
        token_id=texts.get("id"),
        limits=None if limits is None else _decode_limits(limits) if limits else CallerLimits(),
    )
