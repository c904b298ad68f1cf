"""Files of a fight log, and the digest that pins their bytes.

The caller pins the training data with it, and the training pool refuses any other data. It covers names and bytes only;
the content of the tables is the engine's business.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

TABLES = ("fights", "stat_lines", "fighters")
SUFFIXES = (".csv", ".csv.gz", ".parquet")


def current_version(path: Path) -> Path:
    """Return the version in force of a fight log's folder that imports keep up to date; `path` itself without any.

    Imports write each version into a folder of its own and then replace the link `current`, in one step. A reader of
    several files follows that link once, so that they are of one version.
    """
    link = path / "current"
    return link.resolve() if link.is_symlink() else path


def table_file(folder: Path, table: str) -> Path:
    """Return the only file of `table`. Raises FileNotFoundError for none, or for more than one."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: a fight log is a folder with {', '.join(TABLES)}")
    found = [path for suffix in SUFFIXES if (path := folder / f"{table}{suffix}").is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise FileNotFoundError(f"{folder} holds {' and '.join(path.name for path in found)}: keep one of them")
    raise FileNotFoundError(f"{folder} holds no {table} table: expected {table}{f' or {table}'.join(SUFFIXES)}")


def folder_digest(path: Path | str) -> str:
    """Return the SHA-256, in hex, over the names and bytes of a data set.

    `path` is a fight log's folder, of which only the three tables count, or the file of a feature matrix. The digest is
    over a line `name, NUL, SHA-256 of the bytes, LF` for each file, in order of name.

    Raises
    ------
    FileNotFoundError
        A table is missing or exists in two formats.
    """
    path = current_version(Path(path))
    files = [path] if path.is_file() else sorted(table_file(path, table) for table in TABLES)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name}\0{content}\n".encode())
    return digest.hexdigest()
