"""One attempt against real receivers: answers of all kinds, silence, redirects, addresses."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.webhooks import sender as sender_module
from gateway.webhooks.retries import Response
from gateway.webhooks.sender import MAX_BODY_BYTES, Sender
from tests.support.certificates import make_certificate
from tests.support.webhook_receiver import Reply, WebhookReceiver

ALLOWED = frozenset({"127.0.0.1", "localhost"})


def post(
    url: str, *, allowed: frozenset[str] = ALLOWED, times: int = 1, timeout_seconds: float = 5.0
) -> list[Response]:
    async def run() -> list[Response]:
        async with Sender(allowed, timeout_seconds) as sender:
            return [await sender.post(url, {"webhook-id": "msg_1"}, b'{"data": {}}') for _ in range(times)]

    return asyncio.run(run())


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says what it likes on a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_serve, args=(connection,), daemon=True).start()

        def _serve(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65_536)
                    serve(connection)
                except OSError:
                    pass

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_delivery_has_its_headers_and_its_body() -> None:
    with WebhookReceiver() as receiver:
        (response,) = post(f"{receiver.url}?a=1")
        assert response == Response(status=204)
        (got,) = receiver.posts
    assert (got.path, got.raw, got.message_id) == ("/hook?a=1", b'{"data": {}}', "msg_1")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [200, 302, 307, 404, 410, 500])
def test_the_status_counts_and_no_redirect_is_followed(status: int) -> None:
    with WebhookReceiver() as other:
        reply = Reply(status, {"Location": other.url, "Retry-After": "7"}, b"what\x00 was\nwrong")
        with WebhookReceiver(lambda post, before: reply) as receiver:
            (response,) = post(receiver.url)
            assert (response.status, response.retry_after) == (status, "7")
            assert len(receiver.posts) == 1
        assert other.posts == []
    if status >= 400:
        assert response.error == f"HTTP {status}: what? was wrong"
    if 300 <= status < 400:
        assert "redirect" in response.error


def test_connections_are_used_again() -> None:
    with WebhookReceiver() as receiver:
        opened: list[Any] = []
        get_request = receiver.server.get_request
        receiver.server.get_request = lambda: opened.append(1) or get_request()  # type: ignore[method-assign,func-returns-value]
        assert [response.status for response in post(receiver.url, times=5)] == [204] * 5
        assert len(opened) == 1


def test_a_huge_answer_is_not_read() -> None:
    with WebhookReceiver(lambda post, before: Reply(200, body=b"x" * MAX_BODY_BYTES, length=2**40)) as receiver:
        assert post(receiver.url) == [Response(status=200)]


def test_nor_is_one_without_an_end() -> None:
    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")

    with raw_server(pour) as url:
        (response,) = post(url)
    assert response.status == 500
    assert len(response.error) <= sender_module.MAX_ERROR_CHARACTERS


@pytest.mark.parametrize(
    "serve",
    [
        lambda connection: time.sleep(5),
        lambda connection: [connection.sendall(b"H") or time.sleep(0.05) for _ in range(200)],
        lambda connection: [connection.sendall(b"HTTP/1.1 102 Wait\r\n\r\n") or time.sleep(0.05) for _ in range(200)],
    ],
    ids=["silent", "a byte at a time", "always more to come"],
)
def test_who_does_not_answer_in_time_has_not_answered(serve: Callable[[socket.socket], None]) -> None:
    with raw_server(serve) as url:
        started = time.monotonic()
        (response,) = post(url, timeout_seconds=0.5)
        assert time.monotonic() - started < 4
    assert response.status is None
    assert "0.5 s" in response.error or "Protocol" in response.error


@pytest.mark.parametrize(
    "answer", [b"", b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000]
)
def test_who_speaks_no_http_is_an_error(answer: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(answer)) as url:
        (response,) = post(url)
    assert response.status is None
    assert response.error


def test_nobody_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (response,) = post(f"http://127.0.0.1:{port}/")
    assert response.status is None
    assert "Connect" in response.error


def test_a_name_that_is_none_is_an_error() -> None:
    (response,) = post("https://does-not-exist.invalid/")
    assert response.status is None
    assert "cannot be resolved" in response.error


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://10.0.0.1/"])
def test_a_url_that_is_no_longer_allowed_is_not_posted_to(url: str) -> None:
    (response,) = post(url, allowed=frozenset())
    assert "CORNERMAN_WEBHOOK_ALLOWED_HOSTS" in response.error


class TestTLS:
    """A receiver with TLS at a checked address, whose certificate is that of its name."""

    @pytest.fixture
    def receiver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
        make_certificate(tmp_path, "receiver.example")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, port, **_: [(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]
        )
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        with WebhookReceiver() as receiver:
            receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
            yield receiver

    def test_name_and_certificate_are_those_of_the_url(self, receiver: WebhookReceiver) -> None:
        allowed = frozenset({"receiver.example", "other.example"})
        (response,) = post(f"https://receiver.example:{receiver.port}/", allowed=allowed)
        assert response == Response(status=204)
        assert self.names == ["receiver.example"]
        assert receiver.posts[0].headers["host"] == f"receiver.example:{receiver.port}"
        (response,) = post(f"https://other.example:{receiver.port}/", allowed=allowed)
        assert response.status is None
        assert "certificate" in response.error.lower()
        assert len(receiver.posts) == 1

    def test_a_certificate_of_nobody_is_refused(
        self, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        (response,) = post(f"https://receiver.example:{receiver.port}/", allowed=frozenset({"receiver.example"}))
        assert response.status is None
        assert receiver.posts == []


class TestNames:
    """A resolver that answers as an attacker's would."""

    @pytest.fixture
    def resolved(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        answers: list[list[str]] = []

        def resolve(host: str, port: int, **_: Any) -> list[Any]:
            addresses = answers.pop(0)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        return answers

    def test_a_name_of_a_private_address_is_refused(self, resolved: list[list[str]]) -> None:
        with WebhookReceiver() as receiver:
            for address in ("127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0"):
                resolved.append([address])
                (response,) = post(f"https://rebinding.example:{receiver.port}/", allowed=frozenset())
                assert f"rebinding.example resolves to {address}" in response.error
        assert receiver.posts == []

    def test_it_is_resolved_once(self, resolved: list[list[str]]) -> None:
        """The second answer of the name, to its check's disadvantage, is never asked for."""
        resolved += [["192.88.99.1"], ["127.0.0.1"]]
        post("https://rebinding.example/", allowed=frozenset(), timeout_seconds=0.3)
        assert resolved == [["127.0.0.1"]]

    def test_an_allowed_name_may_be_private(self, resolved: list[list[str]]) -> None:
        with WebhookReceiver() as receiver:
            resolved.append(["127.0.0.1"])
            (response,) = post(f"http://internal.example:{receiver.port}/x", allowed=frozenset({"internal.example"}))
            assert response.status == 204
            assert receiver.posts[0].headers["host"] == f"internal.example:{receiver.port}"

    def test_the_first_address_that_answers_is_used(self, resolved: list[list[str]]) -> None:
        with WebhookReceiver() as receiver:
            resolved.append(["127.0.0.2", "127.0.0.1"])
            (response,) = post(f"http://internal.example:{receiver.port}/", allowed=frozenset({"internal.example"}))
            assert response.status == 204
