"""Identity of bouts: two fighters and a day, whatever ids, spellings and order the sources use.

Names are compared by letters and digits only, without case, accents, punctuation, suffix and word order. That is
broader than the fighter identity of the engine on purpose: two fights taken for one by mistake cost a bet, one fight
taken for two costs twice the stake.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from functools import lru_cache

DAY = timedelta(days=1)
MMA = "mma"

_SUFFIXES = {"jr", "junior", "sr", "senior", "ii", "iii", "iv"}
# Letters that Unicode does not decompose into a plain letter and a mark.
_PLAIN = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "\u0131": "i", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
)


@lru_cache(maxsize=8192)
def fighter_key(name: str) -> str:
    """Return a key that all spellings of a fighter's name share."""
    letters = unicodedata.normalize("NFKD", name.casefold().translate(_PLAIN))
    plain = "".join(letter for letter in letters if letter.isalnum() or letter in " -\t,")
    words = [word for word in re.split(r"[\s,-]+", plain) if word]
    if len(words) > 2 and words[-1] in _SUFFIXES:
        words.pop()
    return "".join(sorted(words)) or name.casefold().encode("utf-8", "replace").hex()


def bout_key(first: str, second: str) -> tuple[str, str]:
    """Return the keys of two fighters, the same in either order."""
    one, other = sorted((fighter_key(first), fighter_key(second)))
    return one, other


def same_day(one: datetime, other: datetime) -> bool:
    """Return True if two starts are less than a day apart: a night of fights passes midnight in most time zones."""
    return abs(one - other) < DAY


def is_mma(sport: str) -> bool:
    """Return True if a feed's name of a sport means mixed martial arts."""
    words = re.findall(r"[a-z]+", sport.casefold())
    return MMA in words or "ufc" in words or "mixed martial arts" in " ".join(words)
