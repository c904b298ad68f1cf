"""Settings of the gateway; every value can be set by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ledger.settings import PREFIX, environment_variable, read_setting

MAX_PORT = 65_535


def _setting(default: Any, meaning: str, *, zero: bool = False) -> Any:
    return field(default=default, metadata={"help": meaning, "zero": zero})


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """Settings of one gateway. Each field's metadata describes it."""

    gateway_host: str = _setting("127.0.0.1", "address on which the gateway listens")
    gateway_port: int = _setting(8080, "its port; 0: any free port", zero=True)
    gateway_certificate: str = _setting("", "file of the TLS certificate with its chain (PEM)")
    gateway_certificate_key: str = _setting("", "file of the certificate's private key (PEM)")
    gateway_behind_proxy: str = _setting(
        "", "addresses of the proxies, with commas, that do TLS and whose X-Forwarded headers are believed"
    )
    gateway_allowed_hosts: str = _setting(
        "", "host names, with commas, that requests may name; default: any, on a loopback address only its own names"
    )
    gateway_header_seconds: float = _setting(10.0, "how long a client may take to send the head of a request")
    gateway_body_seconds: float = _setting(30.0, "how long a client may take to send the body of a request")
    gateway_idle_seconds: float = _setting(75.0, "how long an idle connection is kept open")
    gateway_stall_seconds: float = _setting(30.0, "how long a reader may take no bytes before it is cut off")
    gateway_max_wait_seconds: float = _setting(60.0, "longest time that a request may wait for an outcome")
    gateway_max_connections: int = _setting(10_000, "connections at once; further ones get 503")
    gateway_stream_buffer_mb: int = _setting(32, "recent outcomes kept in memory for the followers of a gateway")
    gateway_log_level: str = _setting("info", "lowest level of its log lines")
    gateway_relay: str = _setting("on", "on or off: whether the gateway delivers outcomes to webhooks")
    relay_http_host: str = _setting("127.0.0.1", "address on which a relay alone serves metrics and health")
    relay_http_port: int = _setting(0, "its port; 0: they are not served", zero=True)
    webhook_timeout_seconds: float = _setting(15.0, "how long a webhook may take to answer")
    webhook_concurrency: int = _setting(16, "deliveries that one webhook gets at the same time")
    webhook_first_retry_seconds: float = _setting(5.0, "delay after a failed delivery; each further one is 3 times it")
    webhook_give_up_seconds: float = _setting(86_400.0, "after which time of retries a delivery is a dead letter")

    def __post_init__(self) -> None:
        """Refuse values that could only fail later. Raises ValueError naming the variable."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float) and (value < 0 or (value == 0 and not entry.metadata["zero"])):
                raise ValueError(f"{environment_variable(entry)} must be greater than 0, not {value}")
        for name, port in (("GATEWAY_PORT", self.gateway_port), ("RELAY_HTTP_PORT", self.relay_http_port)):
            if port > MAX_PORT:
                raise ValueError(f"{PREFIX}{name} is at most {MAX_PORT}, not {port}")
        if bool(self.gateway_certificate) != bool(self.gateway_certificate_key):
            raise ValueError(f"{PREFIX}GATEWAY_CERTIFICATE and {PREFIX}GATEWAY_CERTIFICATE_KEY need each other")
        if self.gateway_relay not in ("on", "off"):
            raise ValueError(f"{PREFIX}GATEWAY_RELAY is on or off, not {self.gateway_relay[:40]!r}")
        if self.gateway_log_level not in ("debug", "info", "warning", "error"):
            raise ValueError(f"{PREFIX}GATEWAY_LOG_LEVEL is debug, info, warning or error")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings; an empty variable counts as unset. Raises ValueError naming the variable."""
        source = os.environ if environ is None else environ
        given = {
            entry.name: read_setting(entry, text)
            for entry in fields(cls)
            if (text := source.get(environment_variable(entry), "").strip())
        }
        return cls(**given)

    @property
    def proxies(self) -> list[str]:
        """Addresses of trusted proxies."""
        return _listed(self.gateway_behind_proxy)

    @property
    def allowed_hosts(self) -> list[str]:
        """Host names that requests may name."""
        return _listed(self.gateway_allowed_hosts)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
