"""Records of jobs as rows of Parquet, and back to the same bytes.

A record is the hash that the server has, with its payload, report and provenance uncompressed. Every field that an
outcome, a history, a replay or a list shows has a column, so that SQL can read it; what has none, or cannot be written
as its column's type without a loss, is in `other`. Needs `pyarrow`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.archive.manifest import KEY_BYTES, key_of
from ledger.contracts.lazy_decoder import LazyDecoder

if TYPE_CHECKING:
    import pyarrow as pa

Record = Mapping[bytes, bytes]
"""The fields of a job."""
_TEXTS = {
    "kind": b"kind",
    "state": b"state",
    "queue": b"queue",
    "caller": b"caller",
    "correlation_id": b"correlation",
    "card_id": b"card",
    "payload": b"payload",
    "report": b"report",
    "failure": b"failure",
    "origin": b"origin",
    "superseded_by": b"superseded_by",
    "digest": b"digest",
    "history": b"history",
    "log": b"log",
}
_NUMBERS = {"attempt": b"attempt"}
_TIMES = {"submitted_at": b"submitted", "settled_at": b"settled", "deadline": b"deadline"}
_EMPTY = {"correlation_id", "deadline"}
"""Columns in which null means an empty text, which submitting writes, and not an absent field."""
_OF_CLAIMS = frozenset({b"place", b"fence", b"left", b"unheard", b"solo", b"note", b"woken", b"pending", b"followed"})
"""Fields that only claims and queues need: without meaning once there is an outcome."""
REPEATED = ("kind", "state", "queue", "caller", "card_id", "fight_ids.list.element")
"""Columns of few values."""
SMALL = ("job_id", "kind", "state", "queue", "caller", "card_id", "attempt", "submitted_at", "settled_at", "deadline")
"""Columns whose lowest and highest value is worth keeping for each row group."""
_other_encoder, _other_decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(dict[bytes, bytes | None])


class _Fight(msgspec.Struct):
    id: str


class _Card(msgspec.Struct):
    fights: list[_Fight] = []


_card_decoder: LazyDecoder[_Card] = LazyDecoder(_Card)


def schema() -> pa.Schema:
    """Return the columns of an archived outcome."""
    import pyarrow as pa

    moment = pa.timestamp("ms", tz="UTC")
    return pa.schema(
        [
            ("job_id", pa.string()),
            *((name, pa.string()) for name in _TEXTS),
            *((name, pa.int32()) for name in _NUMBERS),
            *((name, moment) for name in _TIMES),
            ("fight_ids", pa.list_(pa.string())),
            ("other", pa.binary()),
        ]
    )


def table_of(records: Sequence[tuple[str, Record]]) -> tuple[pa.Table, bytes]:
    """Return records as a table sorted by key, and the keys."""
    import pyarrow as pa

    keyed = sorted(((key_of(job_id), job_id, record) for job_id, record in records), key=lambda row: row[:2])
    rows = [record for _, _, record in keyed]
    others: list[dict[bytes, bytes | None]] = [{} for _ in rows]
    columns: dict[str, Any] = {"job_id": pa.array([job_id for _, job_id, _ in keyed], pa.string())}
    for name, field in _TEXTS.items():
        columns[name] = _texts([record.get(field) for record in rows], name, field, others)
    for name, field in _NUMBERS.items():
        columns[name] = pa.array(_numbers(rows, name, field, others, 31), pa.int32())
    for name, field in _TIMES.items():
        columns[name] = pa.array(_numbers(rows, name, field, others, 53), pa.int64()).cast(schema().field(name).type)
    columns["fight_ids"] = pa.array([_fight_ids(record) for record in rows], pa.list_(pa.string()))
    shown = {*_TEXTS.values(), *_NUMBERS.values(), *_TIMES.values(), *_OF_CLAIMS}
    for record, other in zip(rows, others, strict=True):
        for field in record.keys() - shown:
            other[field] = record[field]
    encoded = [_other_encoder.encode(dict(sorted(other.items()))) if other else None for other in others]
    columns["other"] = pa.array(encoded, pa.binary())
    return pa.table(columns, schema=schema()), b"".join(key for key, _, _ in keyed)


def record_of(row: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return the record of a row, in which times are milliseconds."""
    record: dict[bytes, bytes] = {}
    for name, field in _TEXTS.items():
        if row[name] is not None or name in _EMPTY:
            record[field] = (row[name] or "").encode()
    for name, field in (_NUMBERS | _TIMES).items():
        if row[name] is not None or name in _EMPTY:
            record[field] = b"" if row[name] is None else b"%d" % row[name]
    other = {} if row["other"] is None else _other_decoder.decode(row["other"])
    for field, value in other.items():
        if value is None:
            record.pop(field, None)
        else:
            record[field] = value
    return record


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table, with times in milliseconds."""
    import pyarrow as pa

    for index, name in enumerate(table.column_names):
        if name in _TIMES:
            table = table.set_column(index, name, table[name].cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def without_claims(record: Record) -> dict[bytes, bytes]:
    """Return a record as it is read back."""
    return {field: value for field, value in record.items() if field not in _OF_CLAIMS}


def positions(keys: bytes, key: bytes) -> list[int]:
    """Return where a key is in a part of a file of keys."""
    found, at = [], keys.find(key)
    while at >= 0:
        if at % KEY_BYTES == 0:
            found.append(at // KEY_BYTES)
        at = keys.find(key, at + 1)
    return found


def _texts(values: list[bytes | None], name: str, field: bytes, others: list[dict[bytes, bytes | None]]) -> pa.Array:
    import pyarrow as pa

    if name in _EMPTY:
        for index, value in enumerate(values):
            if value is None:
                others[index][field] = None
            elif not value:
                values[index] = None
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # one of them is no UTF-8: a text that was cut off
        for index, value in enumerate(values):
            if value is not None and not _is_text(value):
                others[index][field], values[index] = value, None
        return pa.array(values, pa.binary()).cast(pa.string())


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _numbers(
    rows: list[Record], name: str, field: bytes, others: list[dict[bytes, bytes | None]], bits: int
) -> list[int | None]:
    numbers: list[int | None] = []
    for index, record in enumerate(rows):
        text = record.get(field)
        number = int(text) if text and text.isdigit() and len(text) < 17 else None
        if number is not None and (number >> bits or b"%d" % number != text):
            number = None
        if number is None and name in _EMPTY:
            if text != b"":
                others[index][field] = text
        elif number is None and text is not None:
            others[index][field] = text
        numbers.append(number)
    return numbers


def _fight_ids(record: Record) -> list[str] | None:
    if record.get(b"kind") != b"predict_card":
        return None
    try:
        return [fight.id for fight in _card_decoder.decode(record.get(b"payload", b"")).fights]
    except msgspec.DecodeError:  # of a newer version
        return None
