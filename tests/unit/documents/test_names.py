"""Names in documents that look like ours exist: modules and what is in them, attributes of a ledger, files."""

from __future__ import annotations

import ast
import operator
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from tests.support.document_pages import PAGES, ROOMS, ROOT

SUFFIXES = "py|lua|sh|ts|md|ya?ml|toml|acl"
# Of other projects, and what a user makes.
OTHERS = {"/etc/valkey/users.acl", "benchmark.md"}
FILES = [
    path.as_posix()
    for path in (
        *ROOT.iterdir(),
        *(path for name in (*ROOMS.split("|"), "deploy", "docs", "findings") for path in (ROOT / name).rglob("*.*")),
    )
]

in_pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@in_pages
def test_every_dotted_name_is_one_of_ours(page: Path, ledger: Ledger) -> None:
    named = set(re.findall(rf"(?<![\w./:@-])(?:client\.)?((?:{ROOMS})(?:\.[A-Za-z_]\w*)+)", page.read_text()))
    unknown = {name for name in named if not (resolves(name) or is_in(ledger, name) or is_attribute_of_a_span(name))}
    assert unknown == set()


@in_pages
def test_every_import_of_an_example_works(page: Path) -> None:
    for module, name in imports(page):
        assert resolves(f"{module}:{name}") or resolves(f"{module}.{name}"), f"{module} has no {name}"


@in_pages
def test_every_file_is_one_of_ours(page: Path) -> None:
    text = re.sub(r"\w+://\S+", "", page.read_text())
    text = re.sub(r"(?:\.\./)+", "", text)  # the tests of links follow them
    named = set(re.findall(rf"(?<![\w./*<{{-])[\w./-]*\w\.(?:{SUFFIXES})\b", text)) - OTHERS
    unknown = {name for name in named if not any(file.endswith(f"/{name.removeprefix('./')}") for file in FILES)}
    assert unknown == set()


def resolves(name: str) -> bool:
    """Return True for a module, or a name in one."""
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return True


def is_in(ledger: Ledger, name: str) -> bool:
    """Return True for `ledger.ATTRIBUTE...`, of the object that callers have under this name."""
    room, _, attribute = name.partition(".")
    try:
        operator.attrgetter(attribute)(ledger)
    except AttributeError:
        return False
    return room == "ledger"


def is_attribute_of_a_span(name: str) -> bool:
    return any(f'"{name}"' in path.read_text() for path in (ROOT / "workers" / "tracing").glob("*.py"))


def imports(page: Path) -> Iterator[tuple[str, str]]:
    """Yield what the Python examples of a page import from our packages."""
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and re.match(rf"(?:{ROOMS})\b", node.module):
                yield from ((node.module, each.name) for each in node.names)
