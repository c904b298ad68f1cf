"""Routes of the documents that `python -m gateway.specification` has written."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Annotated

from litestar import get
from litestar.params import Parameter
from litestar.response import Response

from gateway.api.responses import JSON
from gateway.problems import ProblemError

_FOLDER = Path(__file__).parents[1] / "specification" / "files"
_STYLE = re.compile("<style>(.*?)</style>", re.DOTALL)
SCHEMA = "application/schema+json"
SECONDS_KEPT = 300

SchemaName = Annotated[str, Parameter(min_length=1, max_length=200, description="Name of a message type, and `.json`.")]


@get("/openapi.json", sync_to_thread=False)
def get_openapi() -> Response[bytes]:
    """Return the OpenAPI 3.1 document."""
    return _document("openapi.json", JSON)


@get("/asyncapi.json", sync_to_thread=False)
def get_asyncapi() -> Response[bytes]:
    """Return the AsyncAPI 3 document."""
    return _document("asyncapi.json", JSON)


@get("/schemas/{name:str}", sync_to_thread=False)
def get_schema(name: SchemaName) -> Response[bytes]:
    """Return the JSON Schema of a message type."""
    if name not in _schema_names():
        raise ProblemError(
            404, f"there is no schema {name!r}: /reference lists the message types, such as Outcome.json"
        )
    return _document(f"schemas/{name}", SCHEMA)


@get("/reference", sync_to_thread=False)
def get_reference() -> Response[bytes]:
    """Return the page of reference. Its policy allows the style that it contains, and nothing else."""
    style = _STYLE.search(_read("reference.html").decode())
    digest = base64.b64encode(hashlib.sha256(style[1].encode() if style else b"").digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    response = _document("reference.html", "text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = policy
    return response


@cache
def _schema_names() -> frozenset[str]:
    return frozenset(path.name for path in (_FOLDER / "schemas").iterdir())


@cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _document(name: str, media_type: str) -> Response[bytes]:
    headers = {"Cache-Control": f"max-age={SECONDS_KEPT}"}
    return Response(_read(name), media_type=media_type, headers=headers)


ROUTES = (get_openapi, get_asyncapi, get_schema, get_reference)
