"""A real collector of OpenTelemetry: Rotel, whose package has the program."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_SECONDS = 20


def collector_program() -> Path | None:
    """The program, None where it is not installed."""
    found = importlib.util.find_spec("rotel")
    return None if found is None or found.origin is None else Path(found.origin).with_name("rotel-agent")


@contextmanager
def running_collector(program: Path, receiver_url: str, folder: Path) -> Iterator[str]:
    """Run a collector that passes spans on to a receiver, both by OTLP over HTTP; yield its URL."""
    http, grpc = free_port(), free_port()
    command = [str(program), "start", "--otlp-http-endpoint", f"127.0.0.1:{http}"]
    command += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--pid-file", str(folder / "collector.pid")]
    command += ["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-endpoint", receiver_url]
    command += ["--batch-timeout", "50ms"]
    with (folder / "collector.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not _answers(http):
            assert process.poll() is None, (folder / "collector.log").read_text()
        yield f"http://127.0.0.1:{http}"
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
        return True
    return False
