"""Fields of the forms of operators: what must be there, and values that a list of boxes sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar.enums import RequestEncodingType
from litestar.params import Body

from gateway.problems import ProblemError

MAX_REASON_CHARACTERS = 1000

Fields = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
"""The fields of a form in which a name may occur several times."""


def required(data: Mapping[str, Any], name: str) -> str:
    """Return a field that must be filled in. Raises ProblemError (422)."""
    value = optional(data, name)
    if value is None:
        raise ProblemError(422, f"fill in {name.replace('_', ' ')}: nothing was changed")
    return value


def reason_of(data: Mapping[str, Any]) -> str:
    """Return the reason of a change. Raises ProblemError (422)."""
    reason = required(data, "reason")
    if len(reason) > MAX_REASON_CHARACTERS:
        raise ProblemError(422, f"the reason has {len(reason):,} characters, the limit is {MAX_REASON_CHARACTERS:,}")
    return reason


def optional(data: Mapping[str, Any], name: str) -> str | None:
    """Return a field that may be empty; None if it is."""
    value = data.get(name, "")
    return str(value).strip() or None


def chosen(data: Mapping[str, Any], name: str) -> list[str]:
    """Return every value of a name."""
    value = data.get(name, [])
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
