"""The address on which a gateway listens, and where it may."""

from __future__ import annotations

import ipaddress
import socket
import ssl

from gateway.settings import GatewaySettings


class UnsafeAddressError(ValueError):
    """The gateway would listen to the network without TLS or without tokens."""


def is_loopback(host: str) -> bool:
    """Return True if only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, which no child inherits. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    listener.set_inheritable(False)
    return listener


def check_address(settings: GatewaySettings, *, has_tokens: bool) -> None:
    """Refuse a public address without tokens, or without TLS. Raises UnsafeAddressError."""
    host = settings.gateway_host
    if is_loopback(host):
        return
    if not has_tokens:
        raise UnsafeAddressError(
            f"{host} is reached from other machines, and no token has been made: everybody could do anything. "
            "Make a token first: cornerman tokens create NAME --role operator"
        )
    if not settings.gateway_certificate and not settings.proxies:
        raise UnsafeAddressError(
            f"{host} is reached from other machines, and tokens would be sent without TLS: set "
            "CORNERMAN_GATEWAY_CERTIFICATE and CORNERMAN_GATEWAY_CERTIFICATE_KEY, or if a proxy does TLS, "
            "CORNERMAN_GATEWAY_BEHIND_PROXY to its address"
        )


def check_certificate(settings: GatewaySettings) -> None:
    """Refuse a certificate that cannot be used. Raises ValueError naming the settings."""
    if not settings.gateway_certificate:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.gateway_certificate, settings.gateway_certificate_key)
    except OSError as error:
        raise ValueError(
            "the files of CORNERMAN_GATEWAY_CERTIFICATE and CORNERMAN_GATEWAY_CERTIFICATE_KEY are no certificate with "
            f"its key in PEM: {error.strerror or error}"
        ) from error
