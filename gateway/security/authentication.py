"""Authentication: from the headers of a request to its caller."""

from __future__ import annotations

import time
from collections import OrderedDict

from litestar.exceptions import NotAuthorizedException

from gateway.problems import ProblemError
from gateway.security.caller import LOCAL, Caller
from gateway.security.cookies import session_secret
from ledger.async_ledger import AsyncLedger
from ledger.operations.tokens import TokenRecord

KEPT_SECONDS = 5.0
"""How long a valid token is taken for valid without asking the ledger; a revocation takes effect within this time."""
NO_TOKEN_SECONDS = 1.0
"""How long a gateway may take to notice the first token that is made."""
_MAX_KEPT = 10_000
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="cornerman"'}


class Authenticator:
    """Finds the caller of a request, by its token.

    The token of a program comes in `Authorization: Bearer`; that of a person at the pages is found by the secret of the
    session cookie, which is asked for each time, so that a logout takes effect at once. While no token has been made,
    everybody is the operator `local`: such a gateway listens on a loopback address only.
    """

    def __init__(self, ledger: AsyncLedger) -> None:
        self._tokens = ledger.tokens
        self._sessions = ledger.sessions
        self._kept: OrderedDict[str, tuple[TokenRecord, float]] = OrderedDict()
        self._any_token = False
        self._asked_again_at = 0.0

    async def caller_of(self, headers: dict[str, str], *, tls: bool) -> Caller | None:
        """Return the caller of a request, None if it has no token and needs one for what is not open to all.

        Raises
        ------
        NotAuthorizedException
            The token is not valid (401).
        ProblemError
            The caller is above its rate (429).
        LedgerUnavailableError
            The ledger cannot be asked.
        """
        bearer = _bearer(headers.get("authorization"))
        if bearer is None:
            secret = session_secret(headers.get("cookie", ""), tls=tls)
            record = None if secret is None else await self._sessions.verify(secret)
            if record is None:
                return None if await self._tokens_needed() else LOCAL
        else:
            record = await self._record(bearer)
            if record is None:
                raise NotAuthorizedException("this token is not valid: unknown, expired or revoked", headers=_CHALLENGE)
        if record.limits.requests_per_second is not None:
            await self._admit(record)
        return Caller(record.caller, record.role)

    async def _tokens_needed(self) -> bool:
        now = time.monotonic()
        if not self._any_token and now >= self._asked_again_at:
            self._any_token = await self._tokens.exist()
            self._asked_again_at = now + NO_TOKEN_SECONDS
        return self._any_token

    async def _record(self, text: str) -> TokenRecord | None:
        now = time.monotonic()
        kept = self._kept.get(text)
        if kept is not None and kept[1] > now:
            return kept[0]
        self._kept.pop(text, None)
        record = await self._tokens.verify(text)
        if record is not None:
            self._kept[text] = (record, now + KEPT_SECONDS)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return record

    async def _admit(self, record: TokenRecord) -> None:
        wait_seconds = await self._tokens.admit(record.caller)
        if wait_seconds > 0:
            rate = record.limits.requests_per_second
            raise ProblemError(
                429,
                f"{record.caller!r} may send {rate:g} requests a second: wait as `Retry-After` says",
                retry_after_seconds=wait_seconds,
            )


def _bearer(header: str | None) -> str | None:
    """Return the token of an `Authorization` header. Raises NotAuthorizedException if it is of another kind."""
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise NotAuthorizedException("send the token as `Authorization: Bearer TOKEN`", headers=_CHALLENGE)
    return text.strip()
