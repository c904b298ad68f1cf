"""The connection pool of redis-py for each form of the URL: its class and options of connections."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ledger.server.topology.addresses import ServerAddress

if TYPE_CHECKING:
    from ledger.server.topology.resolver import Resolver


def open_pool(
    address: ServerAddress, namespace: str, reply_seconds: float, *, asynchronous: bool = False, **options: Any
) -> Any:
    """Return a pool without open connections, for the ledger of a namespace.

    The ledger uses only its `connection_class` and `connection_kwargs`. If the URL names sentinels or a cluster, the
    connections ask for the primary whenever they connect, and the options hold their `resolver`.
    """
    limits = {"protocol": 2, "socket_timeout": reply_seconds, "socket_connect_timeout": reply_seconds}
    redis = import_module("redis.asyncio" if asynchronous else "redis")
    pool = redis.ConnectionPool.from_url(address.url, **{**limits, **options})
    if address.kind == "server":
        return pool
    connections = import_module("ledger.server.topology.connections")
    name = f"{'Async' if asynchronous else ''}Resolving{'SSL' if address.url.startswith('rediss') else ''}Connection"
    pool.connection_class = getattr(connections, name)
    pool.connection_kwargs["resolver"] = _resolver(address, namespace, pool.connection_kwargs, reply_seconds)
    return pool


def _resolver(
    address: ServerAddress, namespace: str, connection_options: dict[str, Any], reply_seconds: float
) -> Resolver:
    # With redis-py, which takes long to load.
    if address.kind == "cluster":
        from ledger.server.topology.clusters import ClusterResolver

        return ClusterResolver(address, namespace, connection_options, reply_seconds)
    from ledger.server.topology.sentinels import SentinelResolver

    tls_options = {name: value for name, value in connection_options.items() if name.startswith("ssl_")}
    return SentinelResolver(address, tls_options, reply_seconds)
