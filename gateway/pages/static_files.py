"""Style sheet, script and icon of the pages, under addresses that contain their digest.

The content of such an address never changes, so a browser asks for each file once.
"""

from __future__ import annotations

import gzip
from hashlib import sha256
from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.params import FromPath
from litestar.response import Response
from msgspec import Struct

from gateway.problems import ProblemError

FOLDER = Path(__file__).parent / "static"
IMMUTABLE = "public, max-age=31536000, immutable"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class StaticFile(Struct, frozen=True):
    """A file and its address."""

    address: str
    etag: str
    media_type: str
    content: bytes
    compressed: bytes


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    digest = sha256(content).hexdigest()[:16]
    return StaticFile(
        address=f"/static/{path.stem}.{digest}{path.suffix}",
        etag=f'"{digest}"',
        media_type=_MEDIA_TYPES[path.suffix],
        content=content,
        compressed=gzip.compress(content, mtime=0),
    )


FILES = {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in _MEDIA_TYPES}
_BY_ADDRESS = {file.address: file for file in FILES.values()}


def static_address(name: str) -> str:
    """Return the address of a file, such as `pages.css`."""
    return FILES[name].address


@get("/static/{name:str}", include_in_schema=False)
async def get_static_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """Return a static file; 304 if the client has it. Raises ProblemError (404)."""
    file = _BY_ADDRESS.get(f"/static/{name}")
    if file is None:
        raise ProblemError(404, "there is no such file: load the page again, it names the current ones")
    headers = {"Cache-Control": IMMUTABLE, "ETag": file.etag, "Vary": "Accept-Encoding"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    if accepts_gzip(request):
        return Response(file.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)


@get("/favicon.ico", include_in_schema=False)
async def get_icon() -> Response[bytes]:
    """Return the icon to browsers that ask for it at its traditional address."""
    icon = FILES["icon.svg"]
    return Response(icon.content, headers={"Cache-Control": "public, max-age=86400"}, media_type=icon.media_type)


def accepts_gzip(request: Request[Any, Any, Any]) -> bool:
    """Return True if the client accepts a compressed body."""
    codings = (part.replace(" ", "").lower() for part in request.headers.get("accept-encoding", "").split(","))
    return any(coding == "gzip" or (coding.startswith("gzip;q=") and coding not in _REFUSED) for coding in codings)


_REFUSED = {f"gzip;q={zero}" for zero in ("0", "0.0", "0.00", "0.000")}


ROUTES = (get_static_file, get_icon)
