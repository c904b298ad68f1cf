"""Documents, docstrings, comments and messages are free of words that were hard to read, and Markdown is narrow."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "findings/*.md") for page in ROOT.glob(pattern)
)
ROOMS = ("benchmarks", "cornerman", "engine", "gateway", "ledger", "producer", "workers")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
FORBIDDEN = {
    "anew": "again",
    "whoever": "any user who, every process that",
    "nobody": "no process, no user; or say what is unknown",
    "said": "predicted, logged, reported",
    "told": "sent, reported",
    "tells": "sends, reports",
    "beside": "besides, next to, compared with",
    "so many": "the number",
    "it is they": "they",
    "heed": "follow",
    "insist": "retry",
    "journal": "prediction log",
    "lately": "recently",
    "observatory": "monitor",
    "parked": "snoozed",
    "stumbled": "failed",
    "vigilance": "sequential tests",
    "yardstick": "baseline",
}
WORDS = re.compile(rf"\b(?:{'|'.join(FORBIDDEN)})\b(?! of (?:the|Sports|Human|Royal))", re.IGNORECASE)  # titles
MAX_COLUMNS = 100
CODE_SPAN = re.compile(r"``.*?``|`[^`]*`", re.DOTALL)


def forbidden(text: str) -> set[str]:
    """The forbidden words of a text, code spans left out."""
    return {found.lower() for found in WORDS.findall(CODE_SPAN.sub("``", text))}


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a page outside of code blocks."""
    fence = ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        mark = re.match(r"\s*(`{3,})", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence:
            yield number, line


def words_of_code(source: str) -> Iterator[str]:
    """Docstrings and messages: strings of three words and more; comments, if there is a forbidden word."""
    if WORDS.search(source):  # comments stand in it as they are, and to find them takes most of the time
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 2:
            yield node.value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_in_plain_words(page: Path) -> None:
    assert forbidden("\n".join(line for _, line in prose(page))) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_narrow(page: Path) -> None:
    """Tables, headings, images and lines that cannot be broken excepted."""
    wide = [
        number
        for number, line in prose(page)
        if len(line) > MAX_COLUMNS and not re.match(r"\s*(\||#|!\[)", line) and " " in CODE_SPAN.sub("``", line).strip()
    ]
    assert wide == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_comments_and_messages_are_in_plain_words(path: Path) -> None:
    found = {word: FORBIDDEN[word] for text in words_of_code(path.read_text()) for word in forbidden(text)}
    assert found == {}, "write instead"
