#!/usr/bin/env bash
# httpx 0.28.1: every request is logged with its whole URL at level info, and errors of a status quote it.
#
# Source: httpx/_client.py: logger.info('HTTP Request: %s %s "%s %d %s"', request.method, request.url, ...), and
#   Response.raise_for_status.
# Guess: a secret in a parameter of the URL stays in the request.
# Seen: it is in the log of any program that logs at level info, and in the text of HTTPStatusError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1
"$folder/venv/bin/python" - <<'PYTHON'
import io
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


class Refuse(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(401)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
threading.Thread(target=server.serve_forever, daemon=True).start()
log = io.StringIO()
logging.basicConfig(stream=log, level=logging.INFO)
reply = httpx.get(f"http://127.0.0.1:{server.server_port}/odds", params={"apiKey": "s3cret"}, trust_env=False)
print(f"the log at level info: {log.getvalue().strip()}")
assert "apiKey=s3cret" in log.getvalue()
try:
    reply.raise_for_status()
except httpx.HTTPStatusError as error:
    print(f"the error: {str(error).splitlines()[0]}")
    assert "apiKey=s3cret" in str(error)
PYTHON
