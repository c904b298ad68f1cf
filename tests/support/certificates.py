"""Throw-away certificates."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str = "localhost") -> Path:
    """Make a self-signed certificate, and its key `key.pem` beside it; return the certificate."""
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name[:60]}"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run([*request, "-addext", f"subjectAltName=DNS:{name}", *files], check=True, capture_output=True)
    return folder / "ca.pem"
