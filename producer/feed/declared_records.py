"""Parser of a debutant's record in short notation, such as `14-1` or `14-1-0,knock_out_wins=5,last_bout=2025-03-01`."""

from __future__ import annotations

import re

import msgspec

from ledger.contracts.jobs import DeclaredRecord
from producer.feed.parsing import ParseError, quoted

_BOUTS = re.compile(r"([0-9]{1,4})-([0-9]{1,4})(?:-([0-9]{1,4}))?")
_DETAILS = tuple(name for name in DeclaredRecord.__struct_fields__ if name not in ("wins", "losses", "draws"))


def parse_record(text: str) -> DeclaredRecord:
    """Return the record of `WINS-LOSSES[-DRAWS][,FIELD=VALUE...]`; the fields are those of `DeclaredRecord`.

    Raises ParseError naming the field.
    """
    bouts, *details = (part.strip() for part in text.split(","))
    match = _BOUTS.fullmatch(bouts)
    if match is None:
        raise ParseError(f"{quoted(bouts)} is not a record like 14-1 or 14-1-0 (wins, losses, draws)")
    fields: dict[str, object] = {
        name: int(count) for name, count in zip(("wins", "losses", "draws"), match.groups(), strict=True) if count
    }
    for detail in details:
        name, _, value = detail.partition("=")
        if name not in _DETAILS or name in fields:
            raise ParseError(
                f"{quoted(detail)} is not one of {', '.join(f'{known}=' for known in _DETAILS)}, each once"
            )
        fields[name] = int(value) if value.isascii() and value.isdecimal() else value
    try:
        return msgspec.convert(fields, DeclaredRecord)
    except msgspec.ValidationError as error:
        raise ParseError(f"record {quoted(text)}: {error}") from error
