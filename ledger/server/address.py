"""Strict parsing of the server's URL: a part that a client ignores can mean another server, or no TLS.

`#`, `/`, `?` and `@` in a password that is not percent-encoded end it early, and its rest becomes a host, a database or
an option. So every URL of unclear meaning is refused, in messages that quote nothing of the URL but the names of known
options.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

FORM = "write redis://user:password@host:port/0, rediss:// or unix:///path"
INVALID_URL_MESSAGE = (
    f"CORNERMAN_REDIS_URL cannot be read: {FORM}, "
    "with special characters of the password percent-encoded (`#` as %23, `/` as %2F), and after a `?` only options of "
    "redis-py"
)

SEVERAL_HOSTS = (
    "CORNERMAN_REDIS_URL has several hosts: write redis+sentinel://host:26379,host,host/service/0 for Sentinel, or "
    "redis+cluster://host:7000,host:7001 for a cluster (rediss+ with TLS)"
)

_OWN = {
    "socket_timeout": "CORNERMAN_REPLY_TIMEOUT_SECONDS sets it",
    "socket_connect_timeout": "CORNERMAN_REPLY_TIMEOUT_SECONDS sets it",
    **dict.fromkeys(
        ("protocol", "decode_responses", "encoding", "encoding_errors"), "the ledger reads bytes of RESP 2"
    ),
    **dict.fromkeys(("retry_on_timeout", "retry_on_error"), "the ledger retries by itself"),
    "max_connections": "the ledger limits its connections by itself",
}
"""Options of redis-py that the ledger sets itself, and why."""

_PLAIN = ("db", "username", "password", "client_name", "health_check_interval", "socket_keepalive")
_TLS = (
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_password",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_ca_data",
    "ssl_check_hostname",
    "ssl_min_version",
    "ssl_ciphers",
    "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
)
FILE_OPTIONS = ("ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_ca_path")
"""Options of redis-py that name a file or a folder."""
_CERT_REQS = ("none", "optional", "required")


def validated_url(url: str) -> str:
    """Return the URL in a form of which redis-py ignores no part.

    `ssl_cert_reqs` may also be spelled as in Celery (`CERT_NONE`). Raises ValueError with the reason, which quotes no
    part that could belong to a password.
    """
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(_because("it contains spaces or control characters"))
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as resolving its address does
    except ValueError:
        raise ValueError(_because("its host or its port cannot be one; a port is a number up to 65535")) from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError(
            _because("it must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
        )
    if "#" in url:
        raise ValueError(_because("a `#` ends it early"))
    if parts.scheme == "unix":
        _check_socket(parts)
    elif not parts.hostname or port == 0:
        raise ValueError(_because("it has no host, or port 0"))
    elif not re.fullmatch(r"/?|/[0-9]{1,5}", parts.path):
        raise ValueError(_because("the part after the host must be the number of a database"))
    options = _options(parts)
    return url.partition("?")[0] + (f"?{urlencode(options)}" if options else "")


def _check_socket(parts: SplitResult) -> None:
    if len(parts.path) < 2 or parts.hostname:
        raise ValueError(_because("write a socket as unix:///path, with three slashes"))


def _options(parts: SplitResult) -> dict[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(_because("the part after its `?` must be options such as ssl_ca_certs=/path")) from None
    options = dict(pairs)
    for name in options:
        if name in _OWN:
            raise ValueError(f"CORNERMAN_REDIS_URL has the option {name}: remove it, {_OWN[name]}")
        if name not in (*_PLAIN, *_TLS):
            raise ValueError(_because(f"it has an unknown option after its `?`; known are {', '.join(_PLAIN + _TLS)}"))
        if name in _TLS and parts.scheme != "rediss":
            raise ValueError(f"CORNERMAN_REDIS_URL has the option {name} without TLS: write rediss://")
    has_database = parts.scheme != "unix" and len(parts.path) > 1
    given_before = {"db": has_database, "username": parts.username, "password": parts.password}
    if len(options) < len(pairs) or any(given_before.get(name) for name in options):
        raise ValueError(_because("it sets the same value twice"))
    if not all(options.values()):
        raise ValueError(_because("one of its options has no value"))
    for name in ("db", "health_check_interval", "ssl_min_version"):
        if not re.fullmatch("[0-9]{1,5}", options.get(name, "0")):
            raise ValueError(f"CORNERMAN_REDIS_URL: its option {name} must be a number")
    if "ssl_cert_reqs" in options:
        given = options["ssl_cert_reqs"].lower().removeprefix("cert_")
        if given not in _CERT_REQS:
            raise ValueError(f"CORNERMAN_REDIS_URL: ssl_cert_reqs must be one of {', '.join(_CERT_REQS)}")
        options["ssl_cert_reqs"] = given
    return options


def _because(reason: str) -> str:
    return INVALID_URL_MESSAGE.replace("cannot be read:", f"cannot be read ({reason}):")
