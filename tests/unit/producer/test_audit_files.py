"""Every change of an audit file is found: of a byte, of a line, of the order, of the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.audit.audit_files import Format, new_file
from producer.audit.audit_lines import BEGIN, END, Chain, decode_line, encode_line, hashed
from producer.audit.redaction import may_have_secrets, without_secrets
from producer.audit.verification import AuditRange, AuditTotals, verify_file, verify_files
from producer.errors import BrokenAuditError

AT = datetime(2026, 11, 30, 4, 0, 0, 123000, tzinfo=UTC)
RANGE = AuditRange(
    server="127.0.0.1:6379", namespace="shop", since=AT, until=AT, kept_since=AT - timedelta(days=7), software="0.1.0"
)
RECORDS = [
    ("submission", {"job_id": "a", "payload": {"price": 1.5, "names": ["Žofie", "Bea\n"]}}),
    ("outcome", {"job_id": "a", "number": 1}),
    ("control", {"name": "bootstrap", "before": None, "after": "off"}),
    ("outcome", {"job_id": "b", "number": 2}),
]


def write(path: Path, kind: Format = "jsonl", previous: str = "") -> Path:
    chain = Chain(previous)
    with new_file(path, kind) as file:
        file.write(chain.line(BEGIN, AT, RANGE))
        for name, content in RECORDS:
            file.write(chain.line(name, AT, content))
        file.write(chain.line(END, AT, AuditTotals(counts={"submission": 1, "outcome": 2, "control": 1})))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("audit") / "whole.jsonl")


@pytest.fixture
def verified(tmp_path: Path) -> Callable[[list[bytes]], BrokenAuditError]:
    """Write lines to a file and return what is wrong with it."""

    def verify(lines: list[bytes]) -> BrokenAuditError:
        (tmp_path / "file.jsonl").write_bytes(b"".join(lines))
        with pytest.raises(BrokenAuditError) as found:
            verify_file(tmp_path / "file.jsonl")
        return found.value

    return verify


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_whole_file_is_intact_in_both_formats(tmp_path: Path, whole: Path, kind: Format) -> None:
    found = verify_file(write(tmp_path / "file", kind))
    assert (found.lines, found.range, found.previous) == (6, RANGE, "")
    assert found.counts == {"submission": 1, "outcome": 2, "control": 1}
    assert found.hash == verify_file(whole).hash


@given(data=st.data())
def test_every_changed_byte_is_found(whole: Path, data: st.DataObject) -> None:
    text = whole.read_bytes()
    place = data.draw(st.integers(0, len(text) - 1))
    with_other = data.draw(st.binary(max_size=2))
    changed = text[:place] + with_other + text[place + data.draw(st.integers(0, 2)) :]
    path = whole.with_name("changed.jsonl")
    path.write_bytes(changed)
    if changed != text:
        with pytest.raises(BrokenAuditError):
            verify_file(path)


@given(data=st.data())
def test_every_deletion_swap_repetition_and_truncation_of_lines_is_found(whole: Path, data: st.DataObject) -> None:
    lines = whole.read_bytes().splitlines(keepends=True)
    order = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=len(lines) + 1))
    changed = whole.with_name("lines.jsonl")
    changed.write_bytes(b"".join(lines[each] for each in order))
    if order != list(range(len(lines))):
        with pytest.raises(BrokenAuditError) as found:
            verify_file(changed)
        # The lines before the named one are those that were written.
        assert order[: found.value.line - 1] == list(range(found.value.line - 1))


Change = Callable[[list[bytes]], list[bytes]]


@pytest.mark.parametrize(
    ("change", "line", "fault"),
    [
        (lambda lines: lines[:2] + lines[3:], 3, "missing"),
        (lambda lines: lines[1:], 1, "missing"),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3, "reordered"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "repeated"),
        (lambda lines: lines[:-1], 6, "truncated"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], 6, "truncated"),
        (lambda lines: [], 1, "truncated"),
        (lambda lines: [*lines[:3], lines[3].replace(b"bootstrap", b"Bootstrap"), *lines[4:]], 4, "changed"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3, "changed"),
    ],
)
def test_the_first_wrong_line_and_its_fault_are_named(
    whole: Path, verified: Callable[[list[bytes]], BrokenAuditError], change: Change, line: int, fault: str
) -> None:
    found = verified(change(whole.read_bytes().splitlines(keepends=True)))
    assert (found.line, found.fault) == (line, fault)


def test_a_line_with_a_new_hash_breaks_the_chain_at_the_next(
    whole: Path, verified: Callable[[list[bytes]], BrokenAuditError]
) -> None:
    lines = whole.read_bytes().splitlines(keepends=True)
    old = decode_line(lines[2][:-1])
    lines[2] = encode_line(hashed(AT, old.content, "submission", old.number, old.previous)) + b"\n"
    found = verified(lines)
    assert (found.line, found.fault) == (4, "changed")


def test_a_file_that_was_computed_again_has_another_last_hash(tmp_path: Path, whole: Path) -> None:
    again = write(tmp_path / "again.jsonl", previous="0" * 64)
    assert verify_files([again])[0].lines == 6
    with pytest.raises(BrokenAuditError, match="computed again"):
        verify_files([again], last_hash=verify_file(whole).hash)


def test_files_must_continue_each_other(tmp_path: Path, whole: Path) -> None:
    second = write(tmp_path / "second.parquet", "parquet", verify_file(whole).hash)
    assert [found.file for found in verify_files([whole, second])] == [str(whole), str(second)]
    with pytest.raises(BrokenAuditError, match=r"second.parquet: line 1 is missing: it does not continue"):
        verify_files([whole, second, second])


@pytest.mark.parametrize("column", ["number", "at", "kind", "content", "previous", "hash"])
def test_every_changed_value_of_a_parquet_file_is_found(tmp_path: Path, column: str) -> None:
    import pyarrow
    from pyarrow import parquet

    path = write(tmp_path / "file.parquet", "parquet")
    table = parquet.read_table(path)
    rows = table.to_pylist()
    value = rows[2][column]
    changes = {int: lambda: value + 7, datetime: lambda: value + timedelta(microseconds=1), str: lambda: value + " "}
    rows[2][column] = changes[type(value)]()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), path)
    with pytest.raises(BrokenAuditError) as found:
        verify_file(path)
    assert (found.value.line, found.value.fault) == (3, "changed")


def test_a_torn_parquet_file_is_broken(tmp_path: Path) -> None:
    path = write(tmp_path / "file.parquet", "parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BrokenAuditError, match="Parquet cannot be read"):
        verify_file(path)


def test_a_failed_export_leaves_the_older_file(tmp_path: Path) -> None:
    path = write(tmp_path / "file.jsonl")
    before = path.read_bytes()
    with suppress(ZeroDivisionError), new_file(path, "jsonl") as file:
        file.write(Chain().line(BEGIN, AT, RANGE))
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://user:pass@word@host/bucket", "s3://[removed]@host/bucket"),
        ("see redis://:secret@host:6379/0, then", "see redis://[removed]@host:6379/0, then"),
        ("https://host/v4/odds?apiKey=abc123&regions=us", "https://host/v4/odds?apiKey=[removed]&regions=us"),
        ("https://host/?X-Amz-Signature=f00", "https://host/?X-Amz-Signature=[removed]"),
        (f"leaked cornerman_{'0' * 12}_{'x' * 43}", "leaked [removed]"),
        (f"whsec_{'QUJD' * 8}", "[removed]"),
        ("Ana v Bea, mail ann@desk; price=1.5", "Ana v Bea, mail ann@desk; price=1.5"),
    ],
)
def test_no_secret_is_shown(text: str, shown: str) -> None:
    assert without_secrets({"why": [text]}) == {"why": [shown]}
    assert text == shown or may_have_secrets(msgspec.json.encode({"why": [text]}))
