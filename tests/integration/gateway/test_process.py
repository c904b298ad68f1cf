"""The gateway as a process: address, host names, origins, slow clients, signals."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ledger.settings import LedgerSettings
from tests.support.certificates import make_certificate
from tests.support.gateways import GatewayProcess, refused_start, running_gateway, trusted


def test_it_answers_until_a_signal_ends_it(ledger_settings: LedgerSettings, tmp_path: Path) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        with running_gateway(ledger_settings, tmp_path, new_interpreter=True) as gateway:
            for path in ("/healthz", "/readyz"):
                assert httpx.get(f"{gateway.url}{path}", verify=trusted()).json() == {"status": "passed"}
            assert gateway.stop(signum) == 0


def test_the_date_of_its_responses_goes_on(gateway: GatewayProcess, until: Callable[..., None]) -> None:
    def date() -> str:
        return httpx.get(f"{gateway.url}/healthz").headers["date"]

    first = date()
    until(lambda: date() != first)


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"gateway_host": "0.0.0.0"}, 78, "token"),  # noqa: S104 - it is refused
        ({"gateway_port": "many"}, 78, "CORNERMAN_GATEWAY_PORT"),
        ({"gateway_port": 99_999}, 78, "CORNERMAN_GATEWAY_PORT"),
        ({"gateway_certificate": "only.pem"}, 78, "CORNERMAN_GATEWAY_CERTIFICATE_KEY"),
        ({"redis_url": "redis://127.0.0.1:1/0"}, 69, "127.0.0.1:1"),
    ],
)
def test_a_setting_that_cannot_work_ends_it_with_the_reason(
    ledger_settings: LedgerSettings, tmp_path: Path, settings: dict[str, object], code: int, words: str
) -> None:
    ended, text = refused_start(ledger_settings, tmp_path, **settings)
    assert ended == code
    assert words in text
    assert "Traceback" not in text


def test_a_taken_address_is_named(ledger_settings: LedgerSettings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended, text = refused_start(ledger_settings, tmp_path, gateway_port=port)
    assert ended == 71
    assert str(port) in text


def test_it_answers_only_for_its_own_names(gateway: GatewayProcess) -> None:
    for host, status in (("localhost", 200), ("127.0.0.1:1", 200), ("shop.example", 421), ("", 421)):
        assert httpx.get(f"{gateway.url}/healthz", headers={"Host": host}, verify=trusted()).status_code == status, host


def test_a_page_elsewhere_changes_nothing(http: httpx.Client, gateway: GatewayProcess) -> None:
    for origin, status in (("https://elsewhere.example", 403), ("null", 403), (gateway.url, 415)):
        assert http.post("/v1/jobs", content=b"{}", headers={"Origin": origin}).status_code == status, origin


def test_every_response_has_the_headers_of_security(http: httpx.Client) -> None:
    for path in ("/healthz", "/nothing", "/v1/jobs/x"):
        headers = http.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-request-id"]


def talk(gateway: GatewayProcess, *parts: bytes, seconds: float = 20) -> bytes:
    """Send parts and read until the gateway closes the connection."""
    address = httpx.URL(gateway.url)
    with socket.create_connection((address.host, address.port or 0), timeout=seconds) as connection:
        received = b""
        for part in parts:
            connection.sendall(part)
            if part is not parts[-1] and part.endswith(b"\r\n\r\n") and part.startswith(b"GET"):
                received += connection.recv(65536)  # the next part belongs to the next request
        while piece := connection.recv(65536):
            received += piece
        return received


def test_the_rest_of_a_refused_body_is_no_head_of_a_request(http: httpx.Client) -> None:
    for _ in range(5):
        refused = http.post("/v1/jobs", content=b"x" * 2_000_000, headers={"Content-Type": "application/json"})
        assert refused.status_code == 413
        assert http.get("/healthz").status_code == 200


def test_slow_and_long_requests_end(ledger_settings: LedgerSettings, tmp_path: Path) -> None:
    limits = {"gateway_header_seconds": 0.5, "gateway_body_seconds": 0.5, "gateway_idle_seconds": 1}
    with running_gateway(ledger_settings, tmp_path, **limits) as gateway:
        assert talk(gateway).startswith(b"HTTP/1.1 408")
        assert talk(gateway, b"GET /healthz HTTP/1.1\r\nHost: local").startswith(b"HTTP/1.1 408")
        head = (
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        assert talk(gateway, head, b"{").startswith(b"HTTP/1.1 408")
        whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert talk(gateway, whole).startswith(b"HTTP/1.1 200")  # and then the idle connection is closed
        half = whole[:20]
        twice = talk(gateway, whole, half)
        assert twice.startswith(b"HTTP/1.1 200")
        assert b"408" in twice
        long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"x" * 40_000
        assert talk(gateway, long + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
        assert talk(gateway, long).startswith(b"HTTP/1.1 431")


def test_requests_are_counted_by_route_and_caller(http: httpx.Client) -> None:
    http.get("/v1/jobs/nobody")
    http.get("/no/such/route")
    text = http.get("/metrics").text
    counted = 'cornerman_gateway_requests_total{caller="local",method="GET",route="/v1/jobs/{job_id}",status="404"}'
    assert counted in text
    assert 'route="other",status="404"' in text
    assert "no/such" not in text
    assert "cornerman_gateway_followers 0.0" in text


def test_it_speaks_tls_with_a_certificate(ledger_settings: LedgerSettings, tmp_path: Path) -> None:
    authority = make_certificate(tmp_path)
    files = {"gateway_certificate": authority, "gateway_certificate_key": authority.with_name("key.pem")}
    with running_gateway(ledger_settings, tmp_path, **files) as gateway:
        assert gateway.url.startswith("https://")
        port = httpx.URL(gateway.url).port
        trusting = ssl.create_default_context(cafile=str(authority))
        assert httpx.get(f"https://localhost:{port}/readyz", verify=trusting).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(f"https://localhost:{port}/readyz")
        with pytest.raises(httpx.TransportError):  # plain HTTP is not answered there
            httpx.get(f"http://localhost:{port}/readyz")
    code, text = refused_start(ledger_settings, tmp_path, **{**files, "gateway_certificate": tmp_path / "absent.pem"})
    assert (code, "CORNERMAN_GATEWAY_CERTIFICATE" in text, "Traceback" in text) == (78, True, False)
