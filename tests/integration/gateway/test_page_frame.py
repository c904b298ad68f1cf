"""The frame of the pages: files, colours, forms and errors, without a browser."""

from __future__ import annotations

import re

import httpx
import pytest

from gateway.app import SUBJECTS
from gateway.pages.forms import MAX_FORM_BYTES
from gateway.pages.static_files import FILES, static_address

HTML = {"Accept": "text/html,application/xhtml+xml"}
SAFE = {"GET", "HEAD", "OPTIONS"}


def page(http: httpx.Client, path: str, **headers: str) -> httpx.Response:
    return http.get(path, headers={**HTML, **headers}, follow_redirects=True)


def form_token(html: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', html)
    assert found is not None
    return found[1]


def test_a_page_runs_no_script_and_no_style_but_its_own_files(http: httpx.Client) -> None:
    reply = page(http, "/record")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/html")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=|javascript:", reply.text)
    assert set(re.findall(r'(?:src|href|action)="(?!/(?!/)|#)[^"]*"', reply.text)) == set()
    assert reply.headers["cache-control"] == "no-store"


def test_static_files_are_asked_for_once(http: httpx.Client) -> None:
    assert static_address("pages.css") in page(http, "/record").text
    for address in map(static_address, FILES):
        reply = http.get(address)
        assert reply.status_code == 200
        assert "immutable" in reply.headers["cache-control"]
        assert reply.headers["content-encoding"] == "gzip"
        assert http.get(address, headers={"If-None-Match": reply.headers["etag"]}).status_code == 304
        plain = http.get(address, headers={"Accept-Encoding": "identity"})
        assert (plain.content, "content-encoding" in plain.headers) == (reply.content, False)
    assert http.get("/static/pages.css").status_code == 404
    assert http.get("/static/..%2f..%2fsettings.py").status_code == 404
    assert http.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")


def test_the_theme_is_kept_without_a_script(http: httpx.Client) -> None:
    token = form_token(page(http, "/record").text)
    reply = http.post("/theme", data={"form_token": token, "theme": "dark", "next": "/record?offset=0"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/record?offset=0")
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert 'data-theme="dark"' in page(http, "/record").text


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "/\\evil.example", "https://evil.example/", "", "x"])
def test_a_form_leads_to_no_other_host(http: httpx.Client, elsewhere: str) -> None:
    token = form_token(page(http, "/record").text)
    reply = http.post("/theme", data={"form_token": token, "theme": "light", "next": elsewhere})
    assert reply.headers["location"] == "/"


def test_a_form_without_the_token_of_this_browser_changes_nothing(http: httpx.Client) -> None:
    token = form_token(page(http, "/record").text)
    nonce, _, signature = token.partition(".")
    wrong = ["", "x", ".", f"{nonce}.", f"{nonce}.{signature[:-1]}", f"0{nonce}.{signature}", "é.ü"]
    for given in wrong:
        reply = http.post("/theme", data={"form_token": given, "theme": "dark"})
        assert reply.status_code == 403, given
        assert "set-cookie" not in reply.headers
    without_cookie = httpx.post(f"{http.base_url}/theme", data={"form_token": token, "theme": "dark"}, trust_env=False)
    assert without_cookie.status_code == 403
    other_page = form_token(page(http, "/record").text)
    assert other_page != token
    assert http.post("/theme", data={"form_token": other_page, "theme": "dark"}).status_code == 303


def test_a_form_of_another_origin_or_type_is_refused(http: httpx.Client) -> None:
    token = form_token(page(http, "/record").text)
    for origin in ("https://evil.example", "null"):
        reply = http.post("/theme", data={"form_token": token, "theme": "dark"}, headers={"Origin": origin})
        assert reply.status_code == 403
    own = str(http.base_url).rstrip("/")
    accepted = http.post("/theme", data={"form_token": token, "theme": "dark"}, headers={"Origin": own})
    assert accepted.status_code == 303
    assert http.post("/theme", json={"form_token": token, "theme": "dark"}).status_code == 415
    long = http.post("/theme", data={"form_token": token, "theme": "x" * (MAX_FORM_BYTES + 1)})
    assert long.status_code == 413


def test_every_route_that_changes_something_for_a_browser_checks_its_form() -> None:
    unchecked = [
        path
        for subject in SUBJECTS
        for route in subject.ROUTES
        if set(route.http_methods) - SAFE
        for path in route.paths
        if not path.startswith("/v1/") and not route.opt.get("form")
    ]
    assert unchecked == []


def test_an_error_is_a_page_for_a_browser_and_a_document_for_a_program(http: httpx.Client) -> None:
    reply = page(http, "/nowhere")
    assert reply.status_code == 404
    assert "Check the address" in reply.text
    assert reply.headers["x-request-id"] in reply.text
    assert page(http, "/v1/jobs/nobody").headers["content-type"] == "application/problem+json"
    assert http.get("/nowhere", headers={"Accept": "*/*"}).headers["content-type"] == "application/problem+json"
    wrong = page(http, "/record?offset=many")
    assert wrong.status_code == 400
    assert wrong.headers["content-type"].startswith("text/html")


def test_text_of_a_caller_stays_text(http: httpx.Client) -> None:
    reply = page(http, "/%3Cscript%3Ealert(1)%3C%2Fscript%3E?x=%22%3E%3Cb%3E")
    assert reply.status_code == 404
    assert "<script>alert" not in reply.text
    assert "<b>" not in reply.text
