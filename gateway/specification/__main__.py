"""Write the files of the specification: `python -m gateway.specification`."""

from __future__ import annotations

from gateway.specification.files import write

if __name__ == "__main__":
    write()
