"""Importer of fight-log tables: of another log, or of a newer version of the same. Their ids are the log's own."""

from __future__ import annotations

from pathlib import Path

from engine.data.fight_log_tables import FIGHTERS_TABLE, FIGHTS_TABLE, STAT_LINES_TABLE, Column, read_table
from engine.data.frames import as_text
from engine.errors import ValidationError
from engine.fight_log_import.source_rows import Place, read_rows
from engine.fight_log_import.source_tables import SourceTable, SourceTables

SOURCE = "tables"
TABLES = {"fights": FIGHTS_TABLE, "stat_lines": STAT_LINES_TABLE, "fighters": FIGHTERS_TABLE}


class _AnyColumn(frozenset[str]):
    """Every column: a fight log may have further ones."""

    def __contains__(self, name: object) -> bool:
        return True


def read_own_tables(files: dict[str, Path]) -> SourceTables:
    """Read tables of a fight log; `files` by name of table, `stat_lines` may be absent. Raises ValidationError."""
    tables = SourceTables(SOURCE)
    for name, path in files.items():
        columns = TABLES[name]
        read = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, columns, tables)
        setattr(tables, name, read)
    return tables


def _read_csv(path: Path, columns: tuple[Column, ...], tables: SourceTables) -> SourceTable:
    needed = [column.name for column in columns if column.required]
    table = SourceTable()
    for row in read_rows(path, needed, _AnyColumn(), tables.faults):
        table.add(row.place, row.cells)
    return table


def _read_parquet(path: Path) -> SourceTable:
    frame = read_table(path)
    if not len(frame.columns):
        raise ValidationError(f"{path.name} has no columns: export it again")
    texts = {str(name): as_text(frame[name]).tolist() for name in frame.columns}
    table = SourceTable()
    for row in range(len(frame)):
        table.add(Place(f"{path.name} row {row + 1}"), {name: cells[row] for name, cells in texts.items()})
    return table
