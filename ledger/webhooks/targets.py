"""What a webhook may post to: checks of URLs, and of the addresses that a host's name resolves to.

A webhook must not reach what only this network can: so private addresses are refused, and plain HTTP, unless the host
is named in CORNERMAN_WEBHOOK_ALLOWED_HOSTS.
"""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from msgspec import Struct

from ledger.contracts.codec import job_refused
from ledger.contracts.webhooks import MAX_URL_CHARACTERS

ALLOWED_HOSTS_VARIABLE = "CORNERMAN_WEBHOOK_ALLOWED_HOSTS"
_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_.])?")
_PORTS = {"https": 443, "http": 80}
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: the last 32 bits are an IPv4 address
_TUNNELLED = tuple(map(ipaddress.ip_network, ("2002::/16", "2001::/32", "fec0::/10")))  # 6to4, Teredo, site-local

Address = IPv4Address | IPv6Address


class Target(Struct, frozen=True):
    """A checked URL in parts. `allowed`: its host may have private addresses and speak plain HTTP."""

    scheme: str
    host: str
    port: int
    allowed: bool


def allowed_hosts(text: str) -> frozenset[str]:
    """Parse the setting: names or addresses of hosts, separated by commas, each with a port or without."""
    return frozenset(filter(None, (entry.strip().strip("[]").lower() for entry in text.split(","))))


def check_url(url: str, allowed: frozenset[str]) -> Target:
    """Return the parts of a URL that a webhook may post to. Raises JobRefusedError naming what is wrong.

    Parameters
    ----------
    url
        Absolute URL with https; with http only if its host is in `allowed`.
    allowed
        Hosts as `allowed_hosts` returns them.
    """
    if not 0 < len(url) <= MAX_URL_CHARACTERS or not _PRINTABLE.fullmatch(url):
        raise job_refused(f"`url` has 1 to {MAX_URL_CHARACTERS:,} printable ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise job_refused(f"`url` is no URL: {error}") from error
    if parts.scheme not in _PORTS:
        raise job_refused(f"`url` begins with https://, {url[:60]!r} does not")
    if parts.username is not None or parts.password is not None:
        raise job_refused("`url` has no user and password: the signature proves who sends; remove them")
    if parts.fragment or "#" in url:
        raise job_refused("`url` has no fragment: remove `#` and what follows")
    address = _as_address(host)
    if address is None and not _HOST.fullmatch(host):
        raise job_refused(f"`url` has no valid name of a host: {host[:80]!r}; write international names in Punycode")
    port = _PORTS[parts.scheme] if port is None else port
    permitted = not allowed.isdisjoint({host, f"{host}:{port}"})
    if parts.scheme == "http" and not permitted:
        raise job_refused(
            f"`url` begins with https://; plain http is for hosts in {ALLOWED_HOSTS_VARIABLE}, and {host} is not there"
        )
    if address is not None and not permitted and (reason := refusal_of(address)):
        raise job_refused(f"`url`: {host} is {reason}; name it in {ALLOWED_HOSTS_VARIABLE} to allow it")
    return Target(parts.scheme, host, port, permitted)


def refusal_of(address: Address) -> str | None:
    """Return why nothing is posted to an address, None for a public one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return refusal_of(address.ipv4_mapped)
        if address in _TRANSLATED:
            return refusal_of(IPv4Address(int(address) & 0xFFFF_FFFF))
        if any(address in network for network in _TUNNELLED):
            return "a tunnelled or site-local address"
    kinds = {
        "an unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a reserved address": address.is_reserved,
        "a private address": address.is_private or not address.is_global,
    }
    return next((kind for kind, applies in kinds.items() if applies), None)


def _as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
