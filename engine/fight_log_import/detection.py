"""Detection of a source's format by its content, and reading in that format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.data.fight_log_tables import TABLE_SUFFIXES
from engine.data.fight_log_versions import current_version
from engine.errors import ValidationError
from engine.fight_log_import.own_tables import read_own_tables
from engine.fight_log_import.public_tables import format_of, read_kaggle, read_ultimate
from engine.fight_log_import.score_feed import read_scores
from engine.fight_log_import.source_rows import read_header
from engine.fight_log_import.source_tables import SourceTables
from engine.fight_log_import.ufcstats_export import NEEDED, read_ufcstats, role_of

SourceFormat = Literal["auto", "ufcstats", "ultimate", "kaggle", "scores", "tables"]
CSV_SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True)
class DetectedSource:
    """A source, its format, and which of its files play which part.

    Attributes
    ----------
    layout
        The format with its variant, such as `kaggle raw`.
    """

    path: Path
    format: str
    layout: str
    files: Mapping[str, Path]

    def __str__(self) -> str:
        """Return what was found, for a report."""
        if self.format == "scores":
            return f"scores: {len(self.files)} {'file' if len(self.files) == 1 else 'files'}"
        parts = ", ".join(f"{role} in {path.name}" for role, path in self.files.items())
        return f"{self.layout}: {parts}"

    def read(self) -> SourceTables:
        """Read it. Raises ValidationError for a file that cannot be read."""
        if self.format == "tables":
            return read_own_tables(dict(self.files))
        if self.format == "ufcstats":
            return read_ufcstats(self.files)
        if self.format == "scores":
            return read_scores(list(self.files.values()))
        (path,) = self.files.values()
        return read_ultimate(path) if self.format == "ultimate" else read_kaggle(path, self.layout)


def detect(path: Path, wanted: SourceFormat = "auto") -> list[DetectedSource]:
    """Return the sources in a file or folder: several for a folder of public tables.

    Raises ValidationError with what was found, if that is no source, or none of the format that is wanted.
    """
    if not path.exists():
        raise ValidationError(f"there is no {path}: name a file or a folder that the worker can read")
    found = _in_folder(current_version(path)) if path.is_dir() else _of_file(path)
    found = [DetectedSource(path, one.format, one.layout, one.files) for one in found]
    if wanted != "auto":
        if not any(one.format == wanted for one in found):
            raise ValidationError(f"{path} is no source of format {wanted}: found {_listed(found)}")
        found = [one for one in found if one.format == wanted]
    return found


def _in_folder(folder: Path) -> list[DetectedSource]:
    tables = {
        name: folder / f"{name}{suffix}"
        for name in ("fights", "stat_lines", "fighters")
        for suffix in TABLE_SUFFIXES
        if (folder / f"{name}{suffix}").is_file()
    }
    if {"fights", "fighters"} <= tables.keys():
        return [DetectedSource(folder, "tables", "tables", tables)]
    headers = {path: read_header(path) for path in sorted(folder.iterdir()) if path.name.endswith(CSV_SUFFIXES)}
    roles: dict[str, Path] = {}
    for path, header in headers.items():
        role = role_of(header)
        if role is not None and role in roles:
            raise ValidationError(f"{path.name} and {roles[role].name} have the same columns: leave one in {folder}")
        if role is not None:
            roles[role] = path
    if set(NEEDED) <= roles.keys():
        return [DetectedSource(folder, "ufcstats", "ufcstats", {role: roles[role] for role in sorted(roles)})]
    found = [one for path in headers if (one := _table(path)) is not None]
    if found:
        return found
    scores = [path for path in sorted(folder.iterdir()) if path.suffix == ".json"]
    if scores:
        return [DetectedSource(folder, "scores", "scores", {path.stem: path for path in scores})]
    parts = ", ".join(f"{path.name}: {role_of(header) or 'unknown'}" for path, header in headers.items())
    raise ValidationError(
        f"{folder} is no source that is known ({parts or 'no CSV or JSON file'}): an export of UFC Stats needs the "
        f"files of {', '.join(NEEDED)}; other sources are tables of a fight log, a public table, or scores as JSON"
    )


def _of_file(path: Path) -> list[DetectedSource]:
    if path.suffix == ".json":
        return [DetectedSource(path, "scores", "scores", {"scores": path})]
    if not path.name.endswith(CSV_SUFFIXES):
        raise ValidationError(f"{path.name} is neither CSV nor JSON: name a file or a folder of a known source")
    found = _table(path)
    if found is not None:
        return [found]
    header = read_header(path)
    role = role_of(header)
    if role is not None:
        raise ValidationError(f"{path.name} is one file of an export of UFC Stats ({role}): name its folder")
    raise ValidationError(f"{path.name} has the columns {list(header[:12])}, and no known source has these")


def _table(path: Path) -> DetectedSource | None:
    layout = format_of(read_header(path))
    return None if layout is None else DetectedSource(path, layout.split()[0], layout, {"fights": path})


def _listed(found: list[DetectedSource]) -> str:
    return "; ".join(map(str, found)) or "nothing"
