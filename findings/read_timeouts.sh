#!/usr/bin/env bash
# httpx 0.28.1: a timeout limits each read of a response, not the response.
#
# Source: https://www.python-httpx.org/advanced/timeouts/: "the maximum duration to wait for a chunk of data"; the same in
#   httpcore's backends.
# Guess: httpx.get(url, timeout=0.5) ends after half a second.
# Seen: a body that comes one byte each 0.2 s is read to its end, which takes 2 s. asyncio.timeout around the request ends
#   it in time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

LIMIT_SECONDS, BYTES, BETWEEN_SECONDS = 0.5, 10, 0.2


class Slow(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(BYTES))
        self.end_headers()
        try:
            for _ in range(BYTES):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(BETWEEN_SECONDS)
        except OSError:
            pass

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
began = time.monotonic()
body = httpx.get(url, timeout=LIMIT_SECONDS, trust_env=False).content
took = time.monotonic() - began
print(f"timeout={LIMIT_SECONDS}: {len(body)} bytes after {took:.1f} s, and no error")
assert len(body) == BYTES and took > 3 * LIMIT_SECONDS


async def limited():
    async with asyncio.timeout(LIMIT_SECONDS), httpx.AsyncClient(trust_env=False) as client:
        await client.get(url)


try:
    asyncio.run(limited())
    raise SystemExit("asyncio.timeout did not end the request")
except TimeoutError:
    print("asyncio.timeout: ended in time")
PYTHON
