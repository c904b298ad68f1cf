"""Sessions of people at the pages of a gateway: a secret in a cookie, which stands for a token for some hours.

The ledger keeps the digest of the secret, and with it which token opened the session. So the token itself is in no
cookie, a session ends with its token, and ends at once when its reader logs out, at every gateway.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from ledger.operations.tokens import TokenExchanges, TokenRecord, token_digest, token_id_of
from ledger.server.base_server import BaseServer
from ledger.server.exchanges import Exchange

if TYPE_CHECKING:
    from ledger.server.async_server import AsyncServer  # loads asyncio

SESSION_SECONDS = 12 * 3600.0
"""How long a session lasts: a working day."""
_SECRET = re.compile("[A-Za-z0-9_-]{43}")


class AsyncSessions:
    """Sessions, as a gateway asks for them on an asyncio event loop."""

    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self._tokens = TokenExchanges(server)

    async def open(self, token: str) -> str | None:
        """Open a session for a token and return its secret; None if the token is not valid."""
        return await self._server.run(self._open(token))

    async def verify(self, secret: str) -> TokenRecord | None:
        """Return the token of a session, None if the session or its token is over."""
        return await self._server.run(self._verify(secret))

    async def close(self, secret: str) -> None:
        """End a session."""
        await self._server.run(self._server.command("UNLINK", _key(self._server, secret)))

    def _open(self, token: str) -> Exchange[str | None]:
        if (yield from self._tokens.verify(token)) is None:
            return None
        secret = secrets.token_urlsafe(32)
        kept = f"{token_id_of(token)} {token_digest(token)}"
        yield from self._server.command("SET", _key(self._server, secret), kept, "PX", round(SESSION_SECONDS * 1000))
        return secret

    def _verify(self, secret: str) -> Exchange[TokenRecord | None]:
        if not _SECRET.fullmatch(secret):
            return None
        kept = yield from self._server.command("GET", _key(self._server, secret))
        if kept is None:
            return None
        token_id, digest = kept.decode().split(" ")
        return (yield from self._tokens.verify_digest(token_id, digest))


def _key(server: BaseServer, secret: str) -> str:
    """Return the key of a session, which only operators and gateways may read and write."""
    return server.restricted_key(f"tokens:session:{hashlib.sha256(secret.encode()).hexdigest()}")
