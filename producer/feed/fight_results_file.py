"""Parser of fight results in a CSV file (also .gz): a list of results, or the `fights` table of a fight log.

Columns: `date` (2026-11-21, the day of the event; of a time, its day as written), the two fighters as `red` and `blue`
or as `fighter_1` and `fighter_2`, and `winner`. A winner is one of the two names, `red` or `blue` if the file has these
columns, `draw`, or `nc` (also `no contest`). Case is ignored, in column names too. Other columns are ignored. A draw
and a no contest are void: they do not count in evaluations.

If `fight_id` shows that two fighters met twice on one day, as in the tournaments of the first years, these lines are
skipped, because their fights cannot be distinguished by day and names. A file with a fault is refused as a whole, with
the number of each faulty line. Names are matched with fighters later, by the review.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from ledger.contracts.codec import job_refused, normalise_name
from ledger.contracts.jobs import MAX_NAME_CHARACTERS
from ledger.models.fight_results import Ending, FightResult

MAX_FILE_BYTES = 32_000_000
MAX_FAULTS_SHOWN = 10
SIDES = (("red", "blue"), ("fighter_1", "fighter_2"))
VOID: dict[str, Ending] = {"draw": "draw", "nc": "no_contest", "no contest": "no_contest"}
_GZIP = b"\x1f\x8b"


class ParsedResults(NamedTuple):
    """The results of a file, and the number of skipped lines."""

    results: list[FightResult]
    skipped: int


def read_results(content: bytes, last_day: date) -> ParsedResults:
    """Parse a file of results, none later than `last_day`. Raises JobRefusedError with the numbers of faulty lines."""
    rows = csv.DictReader(io.StringIO(_text(content)), strict=True)
    sides = _sides(_header(rows))
    results: dict[str, tuple[int, str | None, FightResult]] = {}
    faults: list[str] = []
    rematches: list[str] = []
    try:
        for row in rows:
            line = rows.line_num
            try:
                result = _result(row, sides, last_day)
                fight_id = row.get("fight_id")
                before, other_id, other = results.setdefault(result.key, (line, fight_id, result))
                if other_id != fight_id:
                    rematches += [result.key]
                elif _won_by(other) != _won_by(result):
                    raise ValueError(f"contradicts line {before} of the same fight")
            except ValueError as fault:
                faults.append(f"line {line}: {fault}")
    except csv.Error as error:
        faults.append(f"after line {rows.line_num}: not CSV ({error})")
    if faults:
        more = f"; and {len(faults) - MAX_FAULTS_SHOWN} more" if len(faults) > MAX_FAULTS_SHOWN else ""
        raise job_refused(f"no result was added: {'; '.join(faults[:MAX_FAULTS_SHOWN])}{more}", faults=len(faults))
    if not results:
        raise job_refused("the file has no results: expected one line each, below a line with the column names")
    kept = [result for name, (_, _, result) in results.items() if name not in rematches]
    return ParsedResults(kept, len(rematches) + len(set(rematches)))


def _text(content: bytes) -> str:
    if content.startswith(_GZIP):
        try:
            with gzip.open(io.BytesIO(content)) as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise job_refused(f"the file cannot be unpacked: {error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise job_refused(f"the file has more than {MAX_FILE_BYTES:,} bytes: split it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise job_refused(f"the file is not UTF-8 text ({error}): save it as CSV in UTF-8") from None


def _header(rows: csv.DictReader[str]) -> list[str]:
    """Convert the column names of `rows` to lower case and return them."""
    try:
        rows.fieldnames = [name.strip().casefold() for name in rows.fieldnames or []]
    except csv.Error as error:
        raise job_refused(f"the first line is not CSV ({error})") from None
    names = rows.fieldnames
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise job_refused(f"the columns {', '.join(map(repr, twice))} appear twice: keep one of each")
    return names


def _sides(columns: Sequence[str]) -> tuple[str, str]:
    for sides in SIDES:
        if {"date", "winner", *sides} <= set(columns):
            return sides
    found = ", ".join(map(repr, columns[:12])) or "none"
    raise job_refused(
        f"the columns date, winner, and red and blue (or fighter_1 and fighter_2) are needed; found {found}"
    )


def _result(row: dict[str, str | None], sides: tuple[str, str], last_day: date) -> FightResult:
    """Parse a line. Raises ValueError with its fault."""
    if None in row or None in row.values():
        raise ValueError("has another number of columns than the first line")
    day = _day(row["date"] or "", last_day)
    first, second = (_name(side, row[side] or "") for side in sides)
    if normalise_name(first) == normalise_name(second):
        raise ValueError(f"{first!r} is named on both sides")
    winner = (row["winner"] or "").strip()
    fighters = (first, second)
    if ending := VOID.get(winner.casefold()):
        return FightResult(date=day, fighters=fighters, winner=None, ending=ending)
    won = {side for side, name in enumerate(fighters) if normalise_name(winner) == normalise_name(name)}
    if sides == SIDES[0] and winner.casefold() in sides:
        won.add(sides.index(winner.casefold()))
    if len(won) != 1:
        words = "" if sides != SIDES[0] else "red, blue, "
        odd = "may be either of" if won else "is none of"
        raise ValueError(f"the winner {winner[:40]!r} {odd} {first!r}, {second!r}, {words}draw and nc")
    return FightResult(date=day, fighters=fighters, winner=0 if 0 in won else 1)


def _day(text: str, last_day: date) -> date:
    try:
        day = datetime.fromisoformat(text.strip()).date()  # accepts a time too, as the parser of fight logs does
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a day like 2026-11-21") from None
    if day > last_day:
        raise ValueError(f"{day} is in the future")
    return day


def _name(column: str, text: str) -> str:
    name = " ".join(text.split())
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise ValueError(f"{column} must be a name of 1 to {MAX_NAME_CHARACTERS} characters, not {text[:40]!r}")
    return name


def _won_by(result: FightResult) -> str:
    return result.ending if result.winner is None else normalise_name(result.fighters[result.winner])
