"""Commands that documents run exist, with their options."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import click
import pytest

from producer.cli.main import main
from tests.support.document_pages import PAGES, ROOMS, ROOT

OPTION = re.compile(r"--[a-z][a-z-]*")


def modules() -> Iterator[tuple[str, str]]:
    """Yield each module that a page runs, with the text after it on its line or in its code span."""
    for page in PAGES:
        yield from re.findall(rf"python -m ((?:{ROOMS})(?:\.\w+)*)([^`\n|&]*)", joined(page))


def cornerman_commands() -> Iterator[str]:
    """Yield the text after `cornerman` of each command line, in a block or in a code span."""
    for page in PAGES:
        for line in re.findall(r"(?:^|`)cornerman ([^`\n|#]*)", joined(page), re.MULTILINE):
            yield line.strip()


def joined(page: Path) -> str:
    """Return a page with the lines of a command and of a code span in one."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    return re.sub(r"(?<![`\w])`[^`]+`(?!`)", lambda span: re.sub(r"\s+", " ", span[0]), text)


@pytest.mark.parametrize("name", sorted({name for name, _ in modules()}))
def test_a_module_that_a_document_runs_exists(name: str) -> None:
    assert run_by(name) is not None


@pytest.mark.parametrize(("name", "rest"), sorted({(name, rest) for name, rest in modules() if OPTION.search(rest)}))
def test_the_options_of_a_module_exist(name: str, rest: str) -> None:
    spec = run_by(name)
    assert spec is not None
    assert spec.origin is not None
    source = "".join(path.read_text() for path in Path(spec.origin).parent.glob("*.py"))
    for option in OPTION.findall(rest):
        # It is written whole, or its last word comes from a loop: f"--blind-{kind}".
        assert re.search(rf'"{option}"|"{option.rpartition("-")[0]}-{{', source), option


def run_by(name: str) -> ModuleSpec | None:
    """Return what `python -m` runs."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return spec
    return importlib.util.find_spec(f"{name}.__main__")


@pytest.mark.parametrize("line", sorted(set(cornerman_commands())))
def test_a_command_and_its_options_exist(line: str) -> None:
    words = re.sub(r"""'[^']*'?|"[^"]*\"""", "QUOTED", line).split()
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert not (isinstance(command, click.Group) and words and re.match("[a-z]", words[0])), f"no command {words[0]}"
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert named
    assert named - targets == set()
