"""Which fights are one bout: two people and a day, whatever their ids, spellings and order.

Names are compared by their letters and digits alone, without case, accents, punctuation, suffix and the order of the
words. That is broader than what decides who a fighter is (`engine.data.fighter_names`), and may be: two fights that are
taken for one by mistake cost a bet, two that are not cost twice the stake.
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
    """Return what the spellings of a fighter's name have in common."""
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
    """Say whether two starts are less than a day apart: a night of fights passes midnight in most time zones."""
    return abs(one - other) < DAY


def is_mma(sport: str) -> bool:
    """Say whether the name of a sport, as a feed writes it, means mixed martial arts."""
    words = re.findall(r"[a-z]+", sport.casefold())
    return MMA in words or "ufc" in words or "mixed martial arts" in " ".join(words)
