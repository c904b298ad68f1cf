"""The forms of CORNERMAN_REDIS_URL: one server, a service of Sentinel, or a cluster.

The forms with several hosts are read here; the rest of the URL is read as that of one server, so every option and every
refusal is the same (`ledger.server.address`). No message quotes a part that could belong to a password.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from ledger.server.address import FORM, SEVERAL_HOSTS, validated_url

SENTINEL_PORT = 26379
CLUSTER_PORT = 6379

_FORMS = {
    "sentinel": "redis+sentinel://user:password@host:26379,host,host/service/0",
    "cluster": "redis+cluster://user:password@host:7000,host:7001",
}
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password", "sentinel_ssl")
_SIMILAR = re.compile(r"(sentinel|redis-sentinel|redis_sentinel|rediss?\+sentinels|sentinel\+rediss?)://")
_SIMILAR_CLUSTER = re.compile(r"(cluster|redis-cluster|redis_cluster|rediss?\+clusters|cluster\+rediss?)://")


class Node(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the address as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ServerAddress(NamedTuple):
    """A URL, read.

    Attributes
    ----------
    kind
        "server": the URL names the server itself. "sentinel", "cluster": `nodes` are asked where the primary is.
    url
        URL of one server in a form of which redis-py ignores no part. User, password, database and options are those
        of the primary; the host is its own only if `kind` is "server".
    nodes
        The sentinels, or nodes of the cluster.
    service
        Name of the primary in the configuration of the sentinels.
    sentinel_username, sentinel_password
        User and password that the sentinels themselves ask for.
    sentinel_tls
        True if the sentinels are reached over TLS.
    """

    kind: Literal["server", "sentinel", "cluster"]
    url: str
    nodes: tuple[Node, ...] = ()
    service: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    sentinel_tls: bool = False


def read_address(url: str) -> ServerAddress:
    """Read a URL. Raises ValueError with the reason, which says what to write."""
    scheme, found, rest = url.partition("://")
    if found and scheme in ("redis+sentinel", "rediss+sentinel"):
        return _read_sentinel(scheme.partition("+")[0], rest)
    if found and scheme in ("redis+cluster", "rediss+cluster"):
        return _read_cluster(scheme.partition("+")[0], rest)
    if _SIMILAR.match(url):
        raise _error("sentinel", "it begins with another word")
    if _SIMILAR_CLUSTER.match(url):
        raise _error("cluster", "it begins with another word")
    if scheme in ("redis", "rediss") and "," in _authority(rest)[1]:
        raise ValueError(SEVERAL_HOSTS)
    return ServerAddress("server", validated_url(url))


def _read_sentinel(scheme: str, rest: str) -> ServerAddress:
    user, nodes, path, query = _parts("sentinel", rest, SENTINEL_PORT)
    service, _, database = path.removeprefix("/").partition("/")
    if not service or (service.isdigit() and not database):
        raise _error("sentinel", "the name of the service is missing after the sentinels")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", service):
        raise _error("sentinel", "the name of the service may have letters, digits, `.`, `_` and `-`")
    own, others = _sentinel_options(query)
    tls = own.get("sentinel_ssl", "yes" if scheme == "rediss" else "no")
    if tls not in ("yes", "no"):
        raise ValueError("CORNERMAN_REDIS_URL: sentinel_ssl must be yes or no")
    if tls == "yes" and scheme == "redis":
        raise ValueError("CORNERMAN_REDIS_URL has sentinel_ssl=yes without TLS: write rediss+sentinel://")
    return ServerAddress(
        "sentinel",
        _plain_url("sentinel", scheme, user, nodes[0], database, others),
        nodes,
        service,
        own.get("sentinel_username"),
        own.get("sentinel_password"),
        tls == "yes",
    )


def _read_cluster(scheme: str, rest: str) -> ServerAddress:
    user, nodes, path, query = _parts("cluster", rest, CLUSTER_PORT)
    if path not in ("", "/", "/0") or dict(parse_qsl(query)).get("db", "0") != "0":
        raise _error("cluster", "a cluster has no other database than 0, and nothing else may follow the nodes")
    return ServerAddress("cluster", _plain_url("cluster", scheme, user, nodes[0], "", query), nodes)


def _parts(kind: str, rest: str, default_port: int) -> tuple[str, tuple[Node, ...], str, str]:
    """Return user and password with their `@`, the hosts, the path and the options."""
    if "#" in rest:
        raise _error(kind, "a `#` ends it early: write it as %23")
    user, hosts = _authority(rest)
    if re.search("@.*,", user):  # the hosts before it would be read as a password
        raise _error(kind, "user and password stand once, before all hosts, and an `@` of the password is %40")
    path, _, query = rest[len(user) + len(hosts) :].partition("?")
    nodes = tuple(_node(kind, number, text, default_port) for number, text in enumerate(hosts.split(","), 1))
    for number, node in enumerate(nodes, 1):
        if node in nodes[: number - 1]:
            raise _error(kind, f"its host number {number} is there twice")
    return user, nodes, path, query


def _authority(rest: str) -> tuple[str, str]:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, hosts = authority.rpartition("@")
    return user + at, hosts


def _node(kind: str, number: int, text: str, default_port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        host, port = unquote(parts.hostname or ""), parts.port
        host.encode("idna")  # as resolving its address does
    except ValueError:
        raise _error(kind, f"its host number {number} is no host:port with a port up to 65535") from None
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise _error(kind, f"its host number {number} has a space or a control character")
    if not host or port == 0:
        raise _error(kind, f"its host number {number} is empty or has port 0")
    return Node(host, default_port if port is None else port)


def _sentinel_options(query: str) -> tuple[dict[str, str], str]:
    """Return the options of the sentinels, and the others as a query."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        return {}, query  # the reading of the rest refuses it
    own = dict(pair for pair in pairs if pair[0].startswith("sentinel_"))
    for name, value in own.items():
        if name not in _SENTINEL_OPTIONS:
            raise _error("sentinel", f"of the sentinels there are only the options {', '.join(_SENTINEL_OPTIONS)}")
        if not value or sum(known == name for known, _ in pairs) > 1:
            raise ValueError(f"CORNERMAN_REDIS_URL: its option {name} must have one value")
    if "sentinel_username" in own and "sentinel_password" not in own:
        raise ValueError("CORNERMAN_REDIS_URL: its option sentinel_username needs sentinel_password too")
    return own, urlencode([pair for pair in pairs if pair[0] not in own])


def _plain_url(kind: str, scheme: str, user: str, node: Node, database: str, query: str) -> str:
    options = f"?{query}" if query else ""
    try:
        return validated_url(f"{scheme}://{user}{node}/{database}{options}")
    except ValueError as error:  # which says what to write for one server
        said = str(error).replace(FORM, _form(kind)).replace("write rediss://", f"write rediss+{kind}://")
        own = ", ".join(_SENTINEL_OPTIONS)
        raise ValueError(said.replace("known are ", f"known are {own}, ") if kind == "sentinel" else said) from None


def _form(kind: str) -> str:
    return f"write {_FORMS[kind]}, or rediss+{kind}:// with TLS"


def _error(kind: str, reason: str) -> ValueError:
    return ValueError(
        f"CORNERMAN_REDIS_URL cannot be read ({reason}): {_form(kind)}, "
        "with special characters of the password percent-encoded (`#` as %23, `/` as %2F)"
    )
