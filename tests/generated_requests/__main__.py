"""`python -m tests.generated_requests`: what `make requests` runs. Exit code 1 if an answer is wrong."""

from __future__ import annotations

import argparse
import sys

from tests.generated_requests.run import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts = run(options.cases, options.seed)
    for fault in counts.faults[:20]:
        print(fault)
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.statuses.items()))
    print(f"{counts.requests:,} requests; {statuses}; slowest {counts.slowest_seconds:.2f} s ({counts.slowest})")
    print(f"wrong answers: {len(counts.faults):,}")
    return 1 if counts.faults else 0


if __name__ == "__main__":
    sys.exit(main())
