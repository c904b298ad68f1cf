"""Sessions of people at the pages: opened with a token, over with it, with the logout, or after some hours."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from ledger.ledger import Ledger
from ledger.operations.sessions import SESSION_SECONDS
from ledger.operations.tokens import NewToken, Role
from tests.support.gateways import GatewayProcess, trusted

HTML = {"Accept": "text/html"}
AUDIT = {"user": "test", "reason": "a test"}


@pytest.fixture
def token(gateway_ledger: Ledger) -> NewToken:
    return gateway_ledger.tokens.create("ann", Role.PRODUCER, **AUDIT)


@pytest.fixture
def browser(gateway: GatewayProcess, token: NewToken) -> Iterator[httpx.Client]:
    """An HTTP client that keeps cookies, as a browser."""
    with httpx.Client(base_url=gateway.url, headers=HTML, timeout=30, trust_env=False, verify=trusted()) as client:
        yield client


def form_token(page: httpx.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


def log_in(browser: httpx.Client, text: str, path: str = "/record") -> httpx.Response:
    page = browser.get("/login", params={"next": path})
    return browser.post("/login", data={"form_token": form_token(page), "token": text, "next": path})


def session_keys(ledger: Ledger) -> list[bytes]:
    return list(ledger.server.client.scan_iter(f"{ledger.settings.namespace}/tokens:session:*"))


def test_a_page_leads_to_the_login_and_from_there_back(browser: httpx.Client, token: NewToken) -> None:
    asked = browser.get("/record?offset=0")
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Frecord%3Foffset%3D0")
    opened = log_in(browser, token.text, "/record?offset=0")
    assert (opened.status_code, opened.headers["location"]) == (303, "/record?offset=0")
    page = browser.get("/record?offset=0")
    assert page.status_code == 200
    assert "ann" in page.text
    assert "Log out" in page.text
    assert browser.get("/v1/outcomes", headers={"Accept": "*/*"}).status_code == 200


def test_the_cookie_is_no_token_and_safe_from_scripts(
    browser: httpx.Client, token: NewToken, gateway_ledger: Ledger
) -> None:
    cookie = log_in(browser, token.text).headers["set-cookie"]
    assert all(words in cookie.lower() for words in ("httponly", "samesite=strict", f"max-age={SESSION_SECONDS:.0f}"))
    assert token.text not in cookie
    secret = browser.cookies["cornerman-session"]
    for key in session_keys(gateway_ledger):
        assert secret.encode() not in key + (gateway_ledger.server.client.get(key) or b"")
        assert 0 < gateway_ledger.server.client.pttl(key) <= SESSION_SECONDS * 1000
    bearer = browser.get("/v1/outcomes", headers={"Authorization": f"Bearer {secret}", "Accept": "*/*"})
    assert bearer.status_code == 401


def test_a_wrong_token_opens_nothing(browser: httpx.Client, token: NewToken, gateway_ledger: Ledger) -> None:
    before = session_keys(gateway_ledger)
    for text in ("", "x", token.text[:-1], f"{token.text}x", token.text.replace("cornerman", "cornermen")):
        refused = log_in(browser, text)
        assert refused.status_code == 401
        assert "not valid" in refused.text
        assert "cornerman-session" not in refused.headers.get("set-cookie", "")
    assert session_keys(gateway_ledger) == before
    assert browser.get("/record").status_code == 303


def test_a_logout_ends_the_session_and_not_only_its_cookie(browser: httpx.Client, token: NewToken) -> None:
    log_in(browser, token.text)
    stolen = {"cornerman-session": browser.cookies["cornerman-session"]}
    page = browser.get("/record")
    assert browser.post("/logout", data={"form_token": "x"}).status_code == 403
    assert browser.get("/record").status_code == 200
    assert browser.post("/logout", data={"form_token": form_token(page)}).headers["location"] == "/login"
    assert browser.get("/record").status_code == 303
    assert httpx.get(f"{browser.base_url}/record", cookies=stolen, headers=HTML, trust_env=False).status_code == 303


def test_a_session_ends_with_its_token(browser: httpx.Client, token: NewToken, gateway_ledger: Ledger) -> None:
    log_in(browser, token.text)
    assert browser.get("/record").status_code == 200
    gateway_ledger.tokens.revoke(token.record.token_id, **AUDIT)
    assert browser.get("/record").status_code == 303


def test_a_role_that_is_too_low_is_told_so_on_a_page(browser: httpx.Client, token: NewToken) -> None:
    log_in(browser, token.text)
    refused = browser.get("/operations")
    assert refused.status_code == 403
    assert "operator" in refused.text
    assert "Operations</a>" not in browser.get("/record").text


@pytest.mark.parametrize("cookie", ["x", "a b", '"', "%00", "A" * 43, "ü"])
def test_a_made_up_cookie_is_no_session(browser: httpx.Client, cookie: str) -> None:
    sent = browser.get("/record", headers=[(b"Cookie", f"cornerman-session={cookie}".encode())])
    assert sent.status_code == 303
