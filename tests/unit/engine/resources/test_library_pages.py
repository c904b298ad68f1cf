"""Pages of shared libraries that were read once, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc/self/smaps"),
]

MAX_COMPILER_MB = 15.0  # half of what it has after its import alone

PROGRAM = """
import json, re
from pathlib import Path

MAPPING = re.compile("^[0-9a-f]+-[0-9a-f]+ (....) [^\\n]+libllvmlite.so\\n((?:[A-Z][^\\n]*\\n)*)", re.MULTILINE)

def compiler():
    "Return the resident and the written MiB of the compiler's mappings."
    found = [
        (int(re.search("Rss: +([0-9]+)", figures)[1]) / 1024, int(re.search("Anonymous: +([0-9]+)", figures)[1]) / 1024)
        for _, figures in MAPPING.findall(Path("/proc/self/smaps").read_text())
    ]
    return [sum(each) for each in zip(*found)]
"""
LOAD = """
import llvmlite.binding as llvm
from engine.resources.library_pages import release_library_pages

def compiled():
    "Return a function that was compiled, which takes most parts of the compiler."
    module = llvm.parse_assembly("define i32 @product(i32 %a, i32 %b) { %c = mul i32 %a, %b ret i32 %c }")
    machine = llvm.Target.from_default_triple().create_target_machine()
    return machine.emit_assembly(module)

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
text, before = compiled(), compiler()
release_library_pages()
released = compiler()
print(json.dumps({"before": before, "released": released, "same": compiled() == text, "after": compiler()}))
"""
TRAIN = """
from engine.loop_calls import compile_members
compile_members()  # or reads its machine code from the cache
compile_members()
print(json.dumps(compiler()))
"""


def _run(program: str) -> object:
    command = [sys.executable, "-c", PROGRAM + program]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_only_pages_that_equal_their_file_are_released_and_the_library_works_on() -> None:
    found = _run(LOAD)
    assert isinstance(found, dict)
    (before_mb, written_mb), (released_mb, kept_mb) = found["before"], found["released"]
    assert written_mb > 1
    assert kept_mb == written_mb
    assert released_mb - kept_mb < (before_mb - written_mb) / 10
    assert found["same"]
    assert found["after"][0] > released_mb  # it has read its file again


def test_a_training_does_not_keep_the_compiler() -> None:
    found = _run(TRAIN)
    assert isinstance(found, list)
    assert found[0] < MAX_COMPILER_MB
