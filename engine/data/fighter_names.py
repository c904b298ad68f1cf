"""Matching of a fighter's name, as a source spells it, to one fighter of the log.

Two spellings are the same name if they agree in letters and digits, without case, accents, punctuation, spaces and a
trailing Jr., Sr., II, III or IV (two *different* suffixes are different people). Otherwise a listed alias counts, or
the other order of a Chinese or Korean name. There is no fuzzy matching, because a wrong fighter gives a wrong
probability: the closest spellings are only listed in the error.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from engine.data.fighter_name_aliases import ALIASES, FAMILY_NAMES
from engine.errors import AmbiguousFighterError, UnknownFighterError

_SUFFIXES = {"jr": "jr", "junior": "jr", "sr": "sr", "senior": "sr", "ii": "ii", "iii": "iii", "iv": "iv"}
# Letters that Unicode does not decompose into a plain letter and a mark.
_PLAIN = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "\u0131": "i", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
)


def split_name(name: str) -> tuple[tuple[str, ...], str]:
    """Return the normalised words of a name and its suffix: `"José O'Neil, Jr."` is `(("jose", "oneil"), "jr")`."""
    letters = unicodedata.normalize("NFKD", name.casefold().translate(_PLAIN))
    plain = "".join(letter for letter in letters if letter.isalnum() or letter in " -\t,")
    words = tuple(re.split(r"[\s,-]+", plain.strip(" ,-\t")))
    if len(words) > 2 and words[-1] in _SUFFIXES:
        return words[:-1], _SUFFIXES[words[-1]]
    return words, ""


@lru_cache(maxsize=8192)
def fighter_name_key(name: str) -> str:
    """Return a key of a name that ignores case, accents, punctuation and spaces, but keeps a suffix such as Jr."""
    words, suffix = split_name(name)
    return "".join(words) + (f" {suffix}" if suffix else "")


def fight_key(fighters: tuple[str, str]) -> str:
    """Return a key of a fight that ignores the order of its fighters, and case, accents and punctuation."""
    return " v ".join(sorted(map(fighter_name_key, fighters)))


class FighterIndex:
    """The fighters of a log, indexed by name; immutable and safe to share.

    Parameters
    ----------
    ids, names
        Id and name of each fighter.
    ambiguous
        True for a name under which the log may hold several people; such a name never matches.
    """

    def __init__(self, ids: Sequence[str], names: Sequence[str], ambiguous: Sequence[bool]) -> None:
        self._ids, self._names, self._ambiguous = list(ids), list(names), list(ambiguous)
        self._suffix: list[str] = []
        self._by_key: dict[str, list[int]] = {}
        self._by_other_order: dict[str, list[int]] = {}
        for position, name in enumerate(self._names):
            words, suffix = split_name(name)
            self._suffix.append(suffix)
            self._by_key.setdefault("".join(words), []).append(position)
            for key in _other_orders(words):
                self._by_other_order.setdefault(key, []).append(position)
        self._by_key.pop("", None)  # names without any letter match no fighter
        self._aliases: dict[str, set[str]] = {}
        for spellings in ALIASES:
            keys = {"".join(split_name(spelling)[0]) for spelling in spellings}
            for key in keys:
                self._aliases.setdefault(key, set()).update(keys - {key})

    def find_id(self, name: str) -> str:
        """Return the id of the fighter with this name.

        Raises UnknownFighterError with the closest spellings, or AmbiguousFighterError if the name fits several
        fighters.
        """
        position = self.find_position(name)
        if position is None:
            raise self.unknown_fighter_error([name])
        return self._ids[position]

    def find_position(self, name: str) -> int | None:
        """Return the fighter's position in the arrays of the index; None if no fighter has the name.

        Raises AmbiguousFighterError if the name fits several fighters.
        """
        words, suffix = split_name(name)
        key = "".join(words)
        found = self._compatible(self._by_key.get(key, ()), suffix)
        if not found:
            others = [position for alias in self._aliases.get(key, ()) for position in self._by_key.get(alias, ())]
            found = self._compatible([*others, *self._by_other_order.get(key, ())], suffix)
        if len(found) > 1:
            several = sorted(f"{self._names[position]} ({self._ids[position]})" for position in found)
            raise AmbiguousFighterError(
                f"{name!r} fits several fighters, {several}: write the full name, or send features",
                details={"ambiguous": [{"name": name, "candidates": several}]},
            )
        if not found:
            return None
        position = found.pop()
        if self._ambiguous[position]:
            raise AmbiguousFighterError(
                f"the fight log does not distinguish the fighters named {self._names[position]!r}: "
                "send this fight's features instead",
                details={"ambiguous": [{"name": name, "candidates": []}]},
            )
        return position

    def unknown_fighter_error(self, names: Sequence[str]) -> UnknownFighterError:
        """Return the error for unknown names, with up to three closest spellings each (about 20 ms a name).

        Its details hold the names as `unknown`: a list of `name` and `nearest`.
        """
        found = [{"name": name, "nearest": self.closest_names(name)} for name in names]
        named = " and none named ".join(
            f"{entry['name']!r}{'' if place else ' in the fight log'}"
            + (f" (nearest: {', '.join(entry['nearest'])})" if entry["nearest"] else "")
            for place, entry in enumerate(found)
        )
        return UnknownFighterError(
            f"no fighter named {named}; correct the name, or declare a fighter without a record there with debut=true",
            details={"unknown": found},
        )

    def closest_names(self, name: str) -> list[str]:
        """Return up to three fighters' names with a similar spelling, the closest first."""
        folded = {known.casefold(): known for known in self._names}
        return [folded[near] for near in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]

    def _compatible(self, positions: Iterable[int], suffix: str) -> set[int]:
        """Return the positions with the requested suffix, or else those without one; all if none is requested."""
        found = set(positions)
        if not suffix:
            return found
        same = {position for position in found if self._suffix[position] == suffix}
        return same or {position for position in found if not self._suffix[position]}


def _other_orders(words: tuple[str, ...]) -> set[str]:
    """Return the keys of a name with its Chinese or Korean family name moved to the other end."""
    orders = set()
    if len(words) > 1 and words[0] in FAMILY_NAMES:
        orders.add("".join((*words[1:], words[0])))
    if len(words) > 1 and words[-1] in FAMILY_NAMES:
        orders.add("".join((words[-1], *words[:-1])))
    return orders
