#!/usr/bin/env bash
# fsspec 2026.9.0 over FTP: a transfer that the server refuses is a FileNotFoundError, of a file that is there.
#
# Source: fsspec/implementations/ftp.py: _open, cat_file, get_file and info turn every ftplib error into FileNotFoundError.
# Guess: what the server does not permit is a PermissionError, and only a missing file is "not found".
# Seen: `ls` lists the file, and reading it as a user without the permission "r" raises FileNotFoundError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 pyftpdlib==2.2.0
mkdir "$folder/served"
echo content > "$folder/served/there.txt"
"$folder/venv/bin/python" - "$folder/served" <<'PYTHON'
import logging
import sys
import threading

from fsspec.implementations.ftp import FTPFileSystem
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

logging.disable()
authorizer = DummyAuthorizer()
authorizer.add_user("reader", "secret", sys.argv[1], perm="el")  # may list, may not read
FTPHandler.authorizer = authorizer
server = ThreadedFTPServer(("127.0.0.1", 0), FTPHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
files = FTPFileSystem("127.0.0.1", port=server.address[1], username="reader", password="secret")
print("listed:", [entry["name"] for entry in files.ls("/")])
try:
    files.cat_file("/there.txt")
    seen, cause = "it was read", None
except OSError as error:
    seen, cause = type(error).__name__, error.__cause__ or error.__context__
print("reading it:", seen, "caused by", repr(cause))
server.close_all()
sys.exit(0 if seen == "FileNotFoundError" else "no longer so")
PYTHON
