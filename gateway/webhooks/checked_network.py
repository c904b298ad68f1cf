"""Connections to checked addresses: a name is resolved once, and what was checked is what is connected to.

httpcore asks this backend for a connection by the name of the host, and then does TLS for that name. So there is no
second resolution between the check and the connection, and certificate and Host header are those of the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from ledger.webhooks.targets import ALLOWED_HOSTS_VARIABLE, refusal_of

MAX_ADDRESSES = 4
"""How many addresses of a name are tried."""
RESOLVER_THREADS = 32


class AddressRefusedError(Exception):
    """Every address of a host is one that nothing is posted to."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """A backend for httpcore that connects to public addresses, and to those of allowed hosts."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()
        self._resolvers = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that is permitted and answers. Raises AddressRefusedError."""
        name = host.lower().strip("[]")
        addresses = await self._resolve(name, port)
        if self._allowed.isdisjoint({name, f"{name}:{port}"}):
            addresses = _permitted(name, addresses)
        for number, address in enumerate(addresses[:MAX_ADDRESSES], 1):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == min(len(addresses), MAX_ADDRESSES):
                    raise
        raise httpcore.ConnectError(f"{name} has no address")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Do not wait for resolutions that are under way."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error}") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _permitted(host: str, addresses: list[str]) -> list[str]:
    refusals = {address: refusal_of(ipaddress.ip_address(address.partition("%")[0])) for address in addresses}
    permitted = [address for address, refusal in refusals.items() if refusal is None]
    if addresses and not permitted:
        address, refusal = next(iter(refusals.items()))
        raise AddressRefusedError(
            f"{host} resolves to {address}, {refusal}; name the host in {ALLOWED_HOSTS_VARIABLE} to allow it"
        )
    return permitted
