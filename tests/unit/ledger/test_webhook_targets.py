"""Where webhooks may post to: URLs, and the addresses behind a name."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.webhooks.targets import Target, allowed_hosts, check_url, refusal_of

NOBODY = allowed_hosts("")


@pytest.mark.parametrize("text", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_may_be_posted_to(text: str) -> None:
    assert refusal_of(ip_address(text)) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - it is refused
        ("::", "unspecified"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fc00::1", "private"),
        ("fec0::1", "site-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "reserved"),
        ("64:ff9b::a00:1", "private"),
        ("2002:7f00:1::", "tunnelled"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "tunnelled"),
        ("192.0.2.1", "private"),
    ],
)
def test_other_addresses_are_refused(text: str, kind: str) -> None:
    assert kind in (refusal_of(ip_address(text)) or "")


def test_a_url_in_parts() -> None:
    assert check_url("https://Example.com/hook?x=1", NOBODY) == Target("https", "example.com", 443, allowed=False)
    assert check_url("https://example.com:8443", NOBODY).port == 8443


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "printable"),
        ("https://example.com/a b", "printable"),
        ("https://example.com/\r\nx: y", "printable"),
        ("https://exämple.com/", "printable"),
        ("https://example.com/" + "x" * 2000, "printable"),
        ("ftp://example.com", "https"),
        ("//example.com", "https"),
        ("example.com/hook", "https"),
        ("https://", "no valid name"),
        ("https:///hook", "no valid name"),
        ("https://-a-/", "no valid name"),
        ("https://example.com:99999/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://user:password@example.com/", "user and password"),
        ("https://@example.com/", "user and password"),
        ("https://example.com/#x", "fragment"),
        ("http://example.com/", "CORNERMAN_WEBHOOK_ALLOWED_HOSTS"),
        ("https://127.0.0.1/", "loopback"),
        ("https://[::ffff:10.0.0.1]/", "private"),
    ],
)
def test_a_wrong_url_is_refused_by_what_is_wrong(url: str, reason: str) -> None:
    with pytest.raises(JobRefusedError, match=reason):
        check_url(url, NOBODY)


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000/hook"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/hook"),
        ("::1", "http://[::1]:9000/"),
        ("[::1]", "https://[::1]/"),
        (" Receiver.internal , other", "http://receiver.internal/"),
    ],
)
def test_hosts_that_are_named_may_be_private_and_plain(setting: str, url: str) -> None:
    assert check_url(url, allowed_hosts(setting)).allowed


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9001/"),
        ("internal", "http://receiver.internal/"),
        ("127.0.0.2", "http://127.0.0.1/"),
    ],
)
def test_no_other_host_is(setting: str, url: str) -> None:
    with pytest.raises(JobRefusedError):
        check_url(url, allowed_hosts(setting))
