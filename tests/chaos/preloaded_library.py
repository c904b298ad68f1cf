"""A small C library that is loaded into a program before all others. To build it takes a C compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path


class PreloadedLibrary:
    """A library built in a folder. `usable` is whether it could be built."""

    def __init__(self, folder: Path, name: str, source: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        written, self._library = folder / f"{name}.c", folder / f"{name}.so"
        written.write_text(source)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(written), "-ldl"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.usable = False
        else:
            self.usable = True

    def starter(self, binary: Path, variable: str, value: Path) -> Path:
        """Return what starts a program with the library, which reads the variable."""
        script = self._library.with_name("server")
        words = f"LD_PRELOAD='{self._library}' {variable}='{value}' exec '{binary}' \"$@\""
        script.write_text(f"#!/bin/sh\n{words}\n")
        script.chmod(0o755)
        return script
