"""What each kind of job imports: memory, processor time, and which of the large libraries.

    python -m benchmarks.memory.libraries [--json]

Each kind in a process of its own that has imported what every pool imports. Memory is anonymous memory, so that what is
mapped from files does not count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.queue.competitors import ROOT
from ledger.contracts.jobs import ROUTES
from workers.jobs.registry import HANDLERS

LIBRARIES = ("numpy", "numba", "scipy", "pandas", "pyarrow", "sklearn", "xgboost", "joblib", "matplotlib")

_IMPORT = """
import sys, time
import workers.app
from workers.jobs.registry import HANDLERS, import_handler
from workers.pool.process_memory import anon_rss_mb
before_mb, started = anon_rss_mb(), time.process_time()
import_handler(sys.argv[1], HANDLERS)
print(anon_rss_mb() - before_mb, time.process_time() - started, *sys.modules)
"""


def imports_of(kind: str) -> tuple[float, float, list[str]]:
    """Return the MiB and the seconds that importing the handler of a kind takes, and the libraries that it loads."""
    command = [sys.executable, "-c", _IMPORT, kind]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return float(printed[0]), float(printed[1]), [name for name in LIBRARIES if name in printed[2:]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    found = {kind: imports_of(kind) for kind in HANDLERS}
    if options.json:
        print(json.dumps(found))
        return
    print("| kind | pool | MB | s CPU | libraries |\n|---|---|---|---|---|")
    for kind, (mb, seconds, libraries) in sorted(found.items(), key=lambda item: (ROUTES[item[0]].queue, item[0])):
        print(f"| {kind} | {ROUTES[kind].queue} | {mb:.0f} | {seconds:.1f} | {', '.join(libraries)} |")


if __name__ == "__main__":
    main()
