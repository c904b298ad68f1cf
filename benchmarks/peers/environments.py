"""Environments of the queues: one for each file of pinned requirements, kept in a folder of caches."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


def default_folder() -> Path:
    """Return the folder in which environments are kept."""
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "cornerman" / "peers"


def bin_folder(requirements: str | None, folder: Path) -> Path:
    """Return the folder with the programs of an environment; it is made if it is not there yet.

    Raises subprocess.CalledProcessError if its packages cannot be installed.
    """
    if requirements is None:
        return Path(sys.executable).parent
    file = REQUIREMENTS / f"{requirements}.txt"
    name = f"{requirements}-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    environment, complete = folder / name, folder / name / "complete"
    if not complete.exists():
        shutil.rmtree(environment, ignore_errors=True)
        print(f"installing {file.name} into {environment}", file=sys.stderr)
        if uv := shutil.which("uv"):
            _run(uv, "venv", "--quiet", "--python", sys.executable, environment)
            _run(uv, "pip", "install", "--quiet", "--python", environment / "bin" / "python", "-r", file)
        else:
            _run(sys.executable, "-m", "venv", environment)
            pip = (environment / "bin" / "python", "-m", "pip")
            _run(*pip, "install", "--quiet", "--disable-pip-version-check", "-r", file)
        complete.touch()
    return environment / "bin"


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
