from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ledger.dataset_files import TABLES, folder_digest


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for table in TABLES:
        (tmp_path / f"{table}.csv").write_text(f"{table}\n")
    return tmp_path


def test_the_digest_is_over_names_and_bytes_in_order_of_name(log: Path) -> None:
    contents = {f"{table}.csv": hashlib.sha256(f"{table}\n".encode()).hexdigest() for table in TABLES}
    lines = (f"{name}\0{content}\n" for name, content in sorted(contents.items()))
    assert folder_digest(log) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_only_the_tables_count(log: Path) -> None:
    before = folder_digest(log)
    (log / "README.md").write_text("read me")
    assert folder_digest(str(log)) == before


def test_any_changed_byte_or_name_is_another_digest(log: Path) -> None:
    digests = {folder_digest(log)}
    (log / "fighters.csv").write_text("fighters \n")
    digests.add(folder_digest(log))
    (log / "fighters.csv").rename(log / "fighters.csv.gz")
    digests.add(folder_digest(log))
    assert len(digests) == 3


def test_one_file_is_a_data_set_of_its_own(log: Path) -> None:
    assert folder_digest(log / "fights.csv") != folder_digest(log / "fighters.csv")


def test_a_log_that_is_not_whole_or_not_clear_has_no_digest(log: Path) -> None:
    (log / "fights.parquet").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"fights\.csv and fights\.parquet"):
        folder_digest(log)
    for path in log.glob("fights.*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no fights table"):
        folder_digest(log)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        folder_digest(log / "none")
