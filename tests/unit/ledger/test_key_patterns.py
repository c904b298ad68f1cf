"""The table of keys has what scripts and modules write, and nothing else; the page shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ledger
from ledger.key_patterns import GROWTHS, KEY_PATTERNS, find_pattern, keys_page

LEDGER = Path(ledger.__file__).parent
PAGE = LEDGER.parent / "docs" / "reference" / "keys.md"
SCRIPTS = {path.name: path.read_text() for path in LEDGER.glob("lua/*.lua")}
LISTED = {each.pattern for each in KEY_PATTERNS}
WORDS = {re.split("[:<]", pattern.removeprefix("/"))[0] for pattern in LISTED}
CHANNELS = {"news"}
NEVER_THERE = {"probe", "guard"}
UNWRITTEN = {"overtime"}
"""What only earlier versions wrote."""


def bare(pattern: str) -> str:
    """Return a pattern without the names of its parts."""
    return re.sub("<[^>]+>", "<>", pattern)


def test_every_name_that_a_script_or_module_builds_is_listed() -> None:
    built = {word for text in SCRIPTS.values() for word in re.findall(r"\bns \.\. '([a-z]+)", text)}
    built |= {word for text in SCRIPTS.values() for word in re.findall(r"ARGV\[1\] \.\. '/([a-z]+)", text)}
    for path in LEDGER.rglob("*.py"):
        text = path.read_text()
        built |= set(re.findall(r"""(?:\.key|\._key)\(\s*"([a-z]+)\"""", text))
        built |= set(re.findall(r"""\{[a-z._]*namespace\}[:/]([a-z]+)""", text))
    assert built - CHANNELS - NEVER_THERE - WORDS == set()
    assert WORDS - built - UNWRITTEN == set()


def test_the_table_agrees_with_the_headers_of_the_scripts() -> None:
    described = {}
    for text in SCRIPTS.values():
        for names, kind in re.findall(
            r"^--\s+((?:<(?:ns|namespace)>\S+\s*)+)\s(string|hash|list|set|zset|stream)\b", text, re.M
        ):
            for name in re.findall(r"<(?:ns|namespace)>:?([^\s,]+)", names):
                described[bare(name)] = kind
    listed = {bare(each.pattern): each.kind for each in KEY_PATTERNS}
    assert len(described) > 60
    assert {name: listed.get(name) for name in described} == described


def test_no_pattern_is_listed_twice_and_each_is_found_by_its_own_keys() -> None:
    assert len(LISTED) == len(KEY_PATTERNS)
    parts = {"queue": "train", "webhook": "wh_12ab", "probe": "canary-a#1", "iso day": "2026-01-03", "mode": "live"}
    parts |= {"phase": "failed", "kind": "train_part", "day": "20000", "token": "0af3", "digest": "0af3"}
    for each in KEY_PATTERNS:
        rest = re.sub("<([^>]+)>", lambda part: parts.get(part[1], "some-name"), each.pattern)
        for root in ("shop", "{shop}"):
            assert find_pattern(root + ("" if rest.startswith("/") else ":") + rest, "shop") == each


@pytest.mark.parametrize(
    "key",
    [
        "shop:jobs",
        "shop:job",
        "shop:queue:predicts",
        "shop:webhook:wh_1:other",
        "shop/tokens:more",
        "other:job:1",
        "job:1",
    ],
)
def test_a_key_of_another_form_has_no_pattern(key: str) -> None:
    assert find_pattern(key, "shop") is None


def test_what_grows_without_end_says_why() -> None:
    assert {each.growth for each in KEY_PATTERNS} == GROWTHS.keys()
    assert all(len(each.bound) > 10 for each in KEY_PATTERNS if each.growth == "history" and "as `" not in each.bound)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == keys_page(), "run `python -m ledger.reference_pages docs/reference`"
