"""The Lua scripts: each change of a job's state is one script, and therefore atomic."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

PRELUDE = "prelude"
_FOLDER = Path(__file__).parents[1] / "lua"
_INCLUDES = re.compile(r"^-- Includes (\w+)\.lua$", re.MULTILINE)
_FUNCTION = re.compile(r"^(local function (\w+)\(.*?^end\n)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"--.*")
_RARE = re.compile(r"\brare\(\)\.(\w+)")
_NAME = re.compile(r"\w+")


class Script(NamedTuple):
    """A script and the hash by which the server calls it."""

    script: str
    sha: str


class Scripts(dict[str, Script]):
    """The scripts by name, each put together at its first use: a caller needs few of the sixty.

    A script is called by its hash, and loaded if the server does not have it yet.
    """

    def __missing__(self, name: str) -> Script:
        """Read a script."""
        text = script_text(name)
        self[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        return self[name]


def script_texts() -> dict[str, str]:
    """Return the text of each script by name."""
    names = sorted(entry.stem for entry in _FOLDER.glob("*.lua") if entry.stem != PRELUDE)
    return {name: script_text(name) for name in names}


@cache
def script_text(name: str) -> str:
    """Return the text of a script, with what it needs of the shared prelude prepended.

    The server makes the functions of the prelude again at every call of a script, which took a third of the time of
    a small one, so those that a script does not reach are left out, and those that it reaches only as `rare().name` are
    made by the first call that needs one of them.

    A script with a line `-- Includes other.lua` can call the other one as a function of that name, whose arguments
    begin behind the current `HEADER`: so two changes become one atomic step.
    """
    text = _source(name)
    whole = "\n".join([*(_function(other) for other in _INCLUDES.findall(text)), text])
    used = [_part("", whole), *(part for part in _prelude() if not part.function)]
    always = _reached(used, seldom=False)
    reached = _reached(used, seldom=True)
    needed = [part for part in _prelude() if not part.function or part.function in reached]
    prelude = "".join(part.text for part in needed if not part.function or part.function in always)
    seldom = sorted({function for part in (*used, *needed) for function in part.seldom})
    if seldom:
        functions = "".join(part.text for part in needed if part.function in reached - always)
        fields = ", ".join(f"{function} = {function}" for function in seldom)
        prelude += (
            "local rare_functions\nfunction rare()\nif not rare_functions then\n"
            f"{functions}rare_functions = {{ {fields} }}\nend\nreturn rare_functions\nend\n"
        )
    return f"{prelude}\n{whole}"


class _Part(NamedTuple):
    """A part of the prelude: a function, or what is between two.

    `names` are the names in it without comments, `seldom` those that it has as `rare().name`, which are not in `names`.
    """

    function: str
    text: str
    names: frozenset[str]
    seldom: frozenset[str]


@cache
def _prelude() -> tuple[_Part, ...]:
    parts = re.split(_FUNCTION, _source(PRELUDE))  # text, function, its name, text, ...
    found = [_part("", parts[0])]
    for function, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        found += [_part(name, function), _part("", text)]
    return tuple(found)


def _part(function: str, text: str) -> _Part:
    code = _COMMENT.sub("", text)
    names = frozenset(_NAME.findall(_RARE.sub("", code)))
    return _Part(function, text, names, frozenset(_RARE.findall(code)))


def _reached(parts: Iterable[_Part], *, seldom: bool) -> set[str]:
    """Return the functions of the prelude that parts name, and those that these name; with `seldom` also as rare."""
    functions = {part.function: part for part in _prelude() if part.function}
    unread, reached = [*parts], set[str]()
    while unread:
        part = unread.pop()
        named = functions.keys() & (part.names | part.seldom if seldom else part.names) - reached
        reached |= named
        unread += [functions[name] for name in named]
    return reached


def _function(name: str) -> str:
    return f"local function {name}()\n{_source(name)}\nend"


def _source(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
