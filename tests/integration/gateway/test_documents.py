"""The documents of the interface, as a gateway serves them: to everybody, with strict policies."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest

from gateway.specification.files import FOLDER

SCHEMAS = sorted((FOLDER / "schemas").iterdir())


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_a_document_is_the_file_of_the_package(http: httpx.Client, name: str) -> None:
    served = http.get(f"/{name}")
    assert served.status_code == 200
    assert served.headers["content-type"] == "application/json"
    assert served.content == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_every_schema_is_served(http: httpx.Client, path: Path) -> None:
    served = http.get(f"/schemas/{path.name}")
    assert (served.status_code, served.headers["content-type"]) == (200, "application/schema+json")
    assert served.content == path.read_bytes()


@pytest.mark.parametrize(
    "name", ["Other.json", "Outcome", "..%2Fopenapi.json", "%2e%2e%2fopenapi.json", "%2Fetc%2Fpasswd"]
)
def test_nothing_else_is_served(http: httpx.Client, name: str) -> None:
    served = http.get(f"/schemas/{name}")
    assert served.status_code == 404
    assert served.headers["content-type"] == "application/problem+json"


def test_the_page_of_reference_allows_its_own_style_and_nothing_else(http: httpx.Client) -> None:
    served = http.get("/reference")
    assert served.headers["content-type"].startswith("text/html")
    (style,) = re.findall("<style>(.*?)</style>", served.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = served.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "unsafe" not in policy
    assert "script-src" not in policy


def test_the_type_of_a_problem_is_a_place_on_the_page(http: httpx.Client) -> None:
    page = http.get("/reference").text
    missing = http.get("/v1/jobs/none").json()
    refused = http.post("/v1/jobs", content=b"{}", headers={"Content-Type": "application/json"}).json()
    for problem in (missing, refused):
        path, anchor = problem["type"].split("#")
        assert path == "/reference"
        assert f'id="{anchor}"' in page
