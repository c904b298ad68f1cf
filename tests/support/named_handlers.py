"""A pool whose handlers are those of the variable HANDLERS, a JSON object of names by kind of job."""

from __future__ import annotations

import json
import os
import sys

from workers.__main__ import main

if __name__ == "__main__":
    sys.exit(main(handlers=json.loads(os.environ["HANDLERS"])))
