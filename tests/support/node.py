"""Packages of npm that tests use, in a folder that `.ci/run` fills; tests that need them are skipped elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

NODE_MODULES = Path(__file__).parents[2] / "build" / "node" / "node_modules"
TSC = NODE_MODULES / ".bin" / "tsc"
NODE = shutil.which("node") or ""
