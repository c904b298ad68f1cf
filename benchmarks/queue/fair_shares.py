"""What turns between callers cost: processor time of the server for a claim, before and after.

    python -m benchmarks.queue.fair_shares [--before COMMIT] [--jobs 4000]

Before are the Lua scripts of a commit, by default the last one without turns. Both variants claim the same jobs one by
one on the same server, alternately. The processor time is that of the server's main thread (`INFO cpu`), which other
programs on the machine disturb less than a rate. The rate is that of one client, settlement not included.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from ledger.server.lua_scripts import PRELUDE

LAST_WITHOUT_TURNS = "fb0cc38"
ROOT = Path(__file__).parents[2]
VARIANTS: Mapping[str, Sequence[str | None]] = {
    "no caller": [None],
    "one caller": ["a"],
    "ten callers": list("abcdefghij"),
}


def scripts_of(commit: str) -> dict[str, str]:
    """Return the Lua scripts of a commit."""
    archive = subprocess.run(
        ["git", "archive", commit, "ledger/lua"],  # noqa: S607 - that of the developer
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        texts = {
            Path(entry.name).stem: file.read().decode()
            for entry in files
            if (file := files.extractfile(entry)) is not None
        }
    prelude = texts.pop(PRELUDE)
    return {name: f"{prelude}\n{text}" for name, text in texts.items()}


def _cpu_seconds(client: Any) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])


def claim_all(
    url: str, scripts: Mapping[str, str] | None, callers: Sequence[str | None], jobs: int
) -> tuple[float, float]:
    """Claim jobs one by one; return the server's microseconds a claim, and claims a second."""
    ledger = Ledger.connect(LedgerSettings(redis_url=url, namespace=f"shares-{uuid.uuid4().hex[:8]}"))
    client = ledger.server.client
    try:
        if scripts is not None:
            ledger.server.scripts = {name: client.register_script(text) for name, text in scripts.items()}
        share = jobs // len(callers)
        for caller in callers:
            checks = [CheckHealth(nonce=f"{caller}-{number}") for number in range(share)]
            ledger.submit_many(checks, caller=caller)
        ledger.claim("predict", "node#1/0")
        cpu, started = _cpu_seconds(client), time.perf_counter()
        for number in range(1, share * len(callers)):
            if not ledger.claim("predict", f"node#1/{number}"):
                raise RuntimeError(f"claim {number} found no job")
        seconds = time.perf_counter() - started
        claims = share * len(callers) - 1
        return (_cpu_seconds(client) - cpu) / claims * 1e6, claims / seconds
    finally:
        ledger.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", default=LAST_WITHOUT_TURNS, metavar="COMMIT")
    parser.add_argument("--jobs", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    before = scripts_of(options.before)
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        claim_all(server.url, None, [None], options.jobs)
        for name, callers in VARIANTS.items():
            found: dict[str, list[tuple[float, float]]] = {"before": [], "after": []}
            for _ in range(options.repeats):
                found["before"].append(claim_all(server.url, before, callers, options.jobs))
                found["after"].append(claim_all(server.url, None, callers, options.jobs))
            for which, values in found.items():
                cost, rate = (statistics.median(column) for column in zip(*values, strict=True))
                print(f"{name:12} {which:7} {cost:7.1f} us of the server a claim {rate:8,.0f} claims/s")


if __name__ == "__main__":
    main()
