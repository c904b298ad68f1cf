"""Which files make up a fight log, and the digest that pins their bytes.

Both sides use it: the caller to pin what a model is to be trained on, the training pool to refuse anything
else. Covers names and bytes only; what stands in the tables is the engine's business.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

TABLES = ("fights", "stat_lines", "fighters")
SUFFIXES = (".csv", ".csv.gz", ".parquet")


def table_file(folder: Path, table: str) -> Path:
    """Return the one file that holds `table`. Raises FileNotFoundError for none, or for more than one."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: a fight log is a folder with {', '.join(TABLES)}")
    found = [path for suffix in SUFFIXES if (path := folder / f"{table}{suffix}").is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise FileNotFoundError(f"{folder} holds {' and '.join(path.name for path in found)}: keep the one that counts")
    raise FileNotFoundError(f"{folder} holds no {table} table: expected {table}{f' or {table}'.join(SUFFIXES)}")


def folder_digest(path: Path | str) -> str:
    """Return the SHA-256, in hex, over the names and bytes of a data set.

    `path` is a fight log's folder, of which only the three tables count, or the one file of a ready feature
    matrix. The digest is taken over a line `name, NUL, SHA-256 of the bytes, LF` for each file, in order of
    name.

    Raises:
        FileNotFoundError: a table is missing or stands there in two formats.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(table_file(path, table) for table in TABLES)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name}\0{content}\n".encode())
    return digest.hexdigest()
