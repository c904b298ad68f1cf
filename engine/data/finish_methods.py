"""Canonical names for the ways in which fights end, from the spellings of the usual sources.

Sources: UFC Stats (`U-DEC`, `KO/TKO`, `CNC`), Sherdog and Wikipedia (`TKO (punches)`, `Decision (unanimous)`), and
fight logs that were made from them. Details after the kind of ending, such as the hold, are dropped.
"""

from __future__ import annotations

import re

DECISION_KINDS = {"u": "Unanimous", "s": "Split", "m": "Majority"}
METHODS = (
    "KO/TKO",
    "TKO - Doctor's Stoppage",
    "Submission",
    *(f"Decision - {kind}" for kind in DECISION_KINDS.values()),
    "Decision",
    "DQ",
    "Could Not Continue",
    "Overturned",
    "No Contest",
    "Draw",
    "Other",
)
"""All canonical names."""

_KNOCK_OUT = re.compile(r"(ko|tko|ko/tko|tko/ko|(technical )?knock[ -]?out)\b")
_DECISION = re.compile(
    r"(?:(?P<first>unanimous|split|majority|[usm])[ -]+)?(?:technical )?(?P<word>decision|dec|draw)\b(?P<rest>.*)"
)
_SHORT_DECISION = re.compile(r"(?P<first>[usm])d")
_KIND = re.compile(r"[^a-z]*(?:via )?(?P<kind>unanimous|split|majority|[usm])\b")
_OTHERS = (
    (re.compile(r"(technical )?(sub|submission|tap|tap[ -]?out)\b"), "Submission"),
    (re.compile(r"(dq|disqualif\w*)\b"), "DQ"),
    (re.compile(r"(cnc|could not continue)\b"), "Could Not Continue"),
    (re.compile(r"overturned\b"), "Overturned"),
    (re.compile(r"(nc|n/c|no[ -]?contest)\b"), "No Contest"),
    (re.compile(r"(other|forfeit)\b"), "Other"),
)


def canonical_method(text: str) -> str | None:
    """Return the canonical name, one of `METHODS`, for a source's spelling; None for an unknown spelling."""
    spelt = " ".join(text.casefold().split())
    if _KNOCK_OUT.match(spelt):
        return "TKO - Doctor's Stoppage" if "doctor" in spelt else "KO/TKO"
    if (short := _SHORT_DECISION.fullmatch(spelt)) is not None:
        return f"Decision - {DECISION_KINDS[short['first']]}"
    if (decided := _DECISION.match(spelt)) is not None:
        kind = _KIND.match(decided["rest"])
        if named := decided["first"] or (kind and kind["kind"]):
            return f"Decision - {DECISION_KINDS[named[0]]}"
        return "Draw" if decided["word"] == "draw" else "Decision"
    return next((method for pattern, method in _OTHERS if pattern.match(spelt)), None)
