"""How cost grows with followers, with callers that wait, and with the prediction log.

    python -m benchmarks.growth [followers] [waits] [predictions] [--at-most N] [--json]

Prints for each size the cost of all together, and the exponent of the step from the size before: 1 if the cost grows as
the size, 0 if it does not grow. Steps above 1.1 are bold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks.growth import logged_predictions, stream_followers, waiting_callers
from benchmarks.growth.steps import table

MEASURED = {
    "followers": (stream_followers.measure, stream_followers.SIZES),
    "waits": (waiting_callers.measure, waiting_callers.SIZES),
    "predictions": (logged_predictions.measure, logged_predictions.SIZES),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(MEASURED))
    parser.add_argument("--at-most", type=int, default=sys.maxsize, metavar="N", help="leave larger sizes out")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.what if name not in MEASURED]:
        parser.error(f"{unknown[0]!r} is none of {', '.join(MEASURED)}")
    found = {}
    for name in given.what or MEASURED:
        measure, sizes = MEASURED[name]
        found[name] = measure([size for size in sizes if size <= given.at_most])
        if not given.json:
            print(table(name, found[name]), end="\n\n", flush=True)
    if given.json:
        print(json.dumps({name: [step._asdict() for step in steps] for name, steps in found.items()}))


if __name__ == "__main__":
    main()
