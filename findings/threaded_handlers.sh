#!/usr/bin/env bash
# Litestar 2.25.0: of two handlers of one path that run in threads, the first answers 500.
#
# Source: litestar/app.py: register() calls on_registration of every handler of the path, also of those that it has
#   called before; litestar/handlers/http_handlers/base.py then wraps the wrapped function again.
# Guess: GET and DELETE of one path with sync_to_thread=True answer as one of them alone does.
# Seen: "'coroutine' object has no attribute 'to_asgi_response'" for the one that was registered first. In a Router of
#   their own both answer, because the path is then registered once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litestar==2.25.0 httpx
"$folder/venv/bin/python" - <<'PYTHON'
from litestar import Litestar, Router, delete, get
from litestar.response import Response
from litestar.testing import TestClient


@get("/thing", sync_to_thread=True)
def read() -> Response[str]:
    return Response("read")


@delete("/thing", sync_to_thread=True, status_code=200)
def remove() -> Response[str]:
    return Response("removed")


def statuses(handlers):
    with TestClient(Litestar(handlers), raise_server_exceptions=False) as client:
        return client.get("/thing").status_code, client.delete("/thing").status_code


direct, routed = statuses([read, remove]), statuses([Router("/", route_handlers=[read, remove])])
print(f"registered with the application: GET {direct[0]}, DELETE {direct[1]}")
print(f"in a router of their own:        GET {routed[0]}, DELETE {routed[1]}")
assert direct == (500, 200), direct
assert routed == (200, 200), routed
PYTHON
