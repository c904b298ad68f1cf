"""Import of sources into the folder of a fight log: read, merge, check, and put the new version in place."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from engine.data.data_faults import TableSource
from engine.data.fight_log import FightLog, clean_log_tables, write_fight_log
from engine.data.fight_log_plausibility import check_plausibility
from engine.data.fight_log_tables import canonical_moment, find_table
from engine.data.fight_log_versions import current_version
from engine.data.frames import read_frame
from engine.errors import ValidationError
from engine.fight_log_import.changes import CHANGES_FILE, CellChange, read_changes, write_changes
from engine.fight_log_import.closes import CloseOf, attach_closes
from engine.fight_log_import.detection import SourceFormat, detect
from engine.fight_log_import.links import LINKS_FILE, NEW, Link, LinkTable, read_links, write_links
from engine.fight_log_import.merging.merge_records import LogRecords, Merged, OpenCase
from engine.fight_log_import.merging.merge_source import merge_source
from engine.fight_log_import.source_rows import ImportFault, Place
from engine.fight_log_import.source_tables import RANKS, CleanSource, RowFaults, SourceTables, clean_source
from engine.fight_log_import.source_tables import TABLES as COLUMNS
from engine.fight_log_import.versioned_folder import TABLES, locked, replace_version, suffix_of

LAST_IMPORT_FILE = "last-import.json"
"""The complete report of the last import, in the folder of the log."""
MAX_ROUNDS = 10
MAX_FAULTS_IN_MESSAGE = 10
OF_LOG = " of the log, "  # in the places of rows that are not of a source


class FaultyImportError(ValidationError):
    """The sources have faults, and nothing was imported.

    Attributes
    ----------
    faults : tuple[ImportFault, ...]
        All of them; the message shows the first MAX_FAULTS_IN_MESSAGE.
    """

    def __init__(self, faults: Sequence[ImportFault], shown: int = 100) -> None:
        self.faults = tuple(faults)
        first = "; ".join(map(str, self.faults[:MAX_FAULTS_IN_MESSAGE]))
        more = len(self.faults) - MAX_FAULTS_IN_MESSAGE
        super().__init__(
            f"{len(self.faults):,} {'fault' if len(self.faults) == 1 else 'faults'}, and nothing was imported: {first}"
            + (f"; and {more:,} more" if more > 0 else "")
            + "; correct them, or import the rest with --skip-faulty",
            details={"faults": [dataclasses.asdict(fault) for fault in self.faults[:shown]], "total": len(self.faults)},
        )


@dataclass(frozen=True)
class ImportedSource:
    """A source that was read: what was found there, and its fights without faults."""

    path: str
    format: str
    found: str
    fights: int


@dataclass
class ImportResult:
    """What an import did, or with `dry_run` would do.

    Attributes
    ----------
    digest_before, digest
        Digests of the log; `digest_before` is None if there was none.
    warnings
        What keeps the log from a training.
    log
        The log of after the import.
    """

    digest_before: str | None
    digest: str | None
    sources: list[ImportedSource]
    added_fights: list[str] = field(default_factory=list)
    added_fighters: list[str] = field(default_factory=list)
    changes: list[CellChange] = field(default_factory=list)
    proposals: list[Link] = field(default_factory=list)
    cases: list[OpenCase] = field(default_factory=list)
    faults: list[ImportFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    log: FightLog | None = None
    links: LinkTable = field(default_factory=LinkTable)

    @property
    def changed(self) -> bool:
        """True if the log is another one."""
        return self.digest != self.digest_before

    def to_json(self) -> dict[str, Any]:
        """Return everything but the log itself, as JSON values."""
        names = [entry.name for entry in dataclasses.fields(self) if entry.name not in ("log", "links")]
        listed = {name: getattr(self, name) for name in names}
        return {name: _plain(value) for name, value in listed.items()} | {"changed": self.changed}


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    Attributes
    ----------
    skip_faulty
        Import what is without fault; otherwise any fault refuses everything.
    known_at
        Moment of the import, for `known_at` of new fights and for changes; None for a log that is made of history.
    choices
        Links that an operator has chosen.
    """

    format: SourceFormat = "auto"
    skip_faulty: bool = False
    dry_run: bool = False
    known_at: datetime | None = None
    choices: Sequence[Link] = ()


def import_sources(
    folder: Path,
    paths: Sequence[Path],
    options: ImportOptions,
    extra: Sequence[SourceTables] = (),
    close_of: CloseOf | None = None,
) -> ImportResult:
    """Import sources into the log of a folder, which is made if absent.

    Parameters
    ----------
    folder
        The folder of the log.
    paths
        Files and folders, in the order in which they are merged.
    options
        How to import.
    extra
        Sources that are not files, merged last.
    close_of
        Finds closing prices of fights without any.

    Raises
    ------
    FaultyImportError
        With all faults, if there are any and `skip_faulty` is not set.
    ValidationError
        If a source or the log cannot be read.
    """
    if options.dry_run:
        return _import(folder, paths, options, extra, close_of)[0]
    with locked(folder):
        try:
            result, kept = _import(folder, paths, options, extra, close_of)
        except FaultyImportError as error:
            _write_report(folder, {"refused": True, "faults": _plain(list(error.faults))})
            raise
        if kept is not None:
            write = partial(_write, result=result, changes=kept, suffix=suffix_of(folder))
            replace_version(folder, write, (LINKS_FILE, CHANGES_FILE))
        _write_report(folder, result.to_json())
    return result


def read_log_state(folder: Path) -> tuple[FightLog | None, LinkTable, list[CellChange]]:
    """Return the log of a folder with its links and changes; None for a folder without tables.

    Raises DataFaultsError for tables that contradict each other, and ValidationError for a file that is none.
    """
    version = current_version(folder)
    try:
        links = read_links(text) if (text := _text(version / LINKS_FILE)) else LinkTable()
        changes = read_changes(text) if (text := _text(version / CHANGES_FILE)) else []
    except (ValueError, TypeError) as error:
        raise ValidationError(f"{version}: {error}; take the file of an older version") from None
    if not any(path.name.startswith("fights.") for path in version.glob("fights.*")):
        return None, links, changes
    paths = {name: find_table(version, name) for name in TABLES}
    sources = [TableSource(path.name, path) for path in paths.values()]
    # Unlike a training, an import takes a log without statistics, as some sources give it.
    fights, stat_lines, fighters = (
        read_frame(path, dtype=str, keep_default_na=False, index_col=False) for path in paths.values()
    )
    return FightLog(fights, stat_lines, fighters, sources), links, changes


def _import(
    folder: Path,
    paths: Sequence[Path],
    options: ImportOptions,
    extra: Sequence[SourceTables],
    close_of: CloseOf | None,
) -> tuple[ImportResult, list[CellChange] | None]:
    """Return the result, and all changes of the log if it has to be written."""
    log, links, before = read_log_state(folder)
    text = "" if options.known_at is None else canonical_moment(options.known_at.astimezone(UTC).isoformat()) or ""
    result = ImportResult(None if log is None else log.digest(), None, [])
    cleaned = []
    for detected in (one for path in paths for one in detect(path, options.format)):
        source = clean_source(detected.read())
        cleaned.append(source)
        result.sources.append(ImportedSource(str(detected.path), detected.format, str(detected), len(source.fights)))
    cleaned += [clean_source(tables) for tables in extra]
    links_before = write_links(links)
    _check_choices(log, options.choices)
    for choice in options.choices:
        links.set(choice)
    outcome = _merge_checked(log, links, cleaned, text, close_of)
    result.faults = outcome.faults
    if outcome.faults and not options.skip_faulty and not options.dry_run:
        raise FaultyImportError(outcome.faults)
    for merged in outcome.merged:
        result.added_fights += merged.added_fights
        result.added_fighters += merged.added_fighters
        result.changes += merged.changes
        result.proposals += merged.proposals
        result.cases += merged.cases
    result.changes += outcome.closes
    result.notes = [note for source in cleaned for note in source.notes]
    result.warnings, result.log, result.links = outcome.warnings, outcome.log, outcome.links
    result.digest = None if outcome.log is None else outcome.log.digest()
    is_new = result.changed or write_links(outcome.links) != links_before
    return result, [*before, *result.changes] if is_new and outcome.log is not None else None


def _check_choices(log: FightLog | None, choices: Sequence[Link]) -> None:
    """Raise ValidationError for a choice of a source or of an id of the log that there is not."""
    known: dict[str, set[str]] = {"fight": set(), "fighter": set()}
    if log is not None:
        known = {"fight": set(log.fights["fight_id"]), "fighter": set(log.fighters["fighter_id"])}
    for choice in choices:
        if choice.source not in RANKS:
            raise ValidationError(f"there is no source {choice.source!r}: choose one of {sorted(RANKS)}")
        if choice.log_id not in (NEW, *known[choice.kind]):
            raise ValidationError(
                f"the log has no {choice.kind} {choice.log_id!r}: take the id from its table, or write {NEW}"
            )


@dataclass
class _Outcome:
    log: FightLog | None
    links: LinkTable
    merged: list[Merged]
    closes: list[CellChange]
    faults: list[ImportFault]
    warnings: list[str]


def _merge_checked(
    log: FightLog | None, links: LinkTable, sources: Sequence[CleanSource], known_at: str, close_of: CloseOf | None
) -> _Outcome:
    """Merge the sources, and leave out the fights with which the log would be impossible, until it is possible."""
    listed = [fault for source in sources for fault in source.faults]
    leave_out: dict[str, set[str]] = defaultdict(set)
    keep: dict[str, set[str]] = defaultdict(set)
    for _ in range(MAX_ROUNDS):
        records, table = LogRecords.from_log(log), links.copy()
        merged = [
            merge_source(records, table, source, known_at, leave_out[source.source], keep[source.source])
            for source in sources
        ]
        faults = [*listed, *(fault for one in merged for fault in one.faults)]
        if not records.fights:
            return _Outcome(None, table, merged, [], _distinct(faults), [])
        closes = [] if close_of is None else attach_closes(records, table, close_of, known_at)
        if log is not None and not closes and not any(one.changes or one.added_fights for one in merged):
            return _Outcome(log, table, merged, closes, _distinct(faults), [])
        frames, checked = _check(records, _places(sources, merged))
        if not checked.listed:
            clean = FightLog(frames["fights"], frames["stat_lines"], frames["fighters"])
            return _Outcome(clean, table, merged, closes, _distinct(faults), checked.whole)
        # A fight that contradicts one of the log makes both rows faulty; what to correct is in the source.
        listed += [fault for fault in checked.listed if OF_LOG not in fault.file] or checked.listed
        if not _leave_out_faulty(records, checked, sources, merged, (leave_out, keep)):
            break
    raise FaultyImportError(_distinct(listed))


def _places(sources: Sequence[CleanSource], merged: Sequence[Merged]) -> dict[str, Place]:
    """Return the place of each fight, and of each fighter's biography, that a source has added or changed."""
    return {
        log_id: source.places[source_id]
        for source, one in zip(sources, merged, strict=True)
        for log_id, source_id in one.touched.items()
    }


def _leave_out_faulty(
    records: LogRecords,
    faults: RowFaults,
    sources: Sequence[CleanSource],
    merged: Sequence[Merged],
    left: tuple[dict[str, set[str]], dict[str, set[str]]],
) -> bool:
    """Add what has made rows faulty to what is left out; return False if that is nothing of the sources."""
    fights, lines, fighters = list(records.fights), list(records.stat_lines), list(records.fighters)
    wrong = {fights[row] for row in faults.rows["fights"]} | {lines[row][0] for row in faults.rows["stat_lines"]}
    persons = {fighters[row] for row in faults.rows["fighters"]}
    found = False
    for source, one in zip(sources, merged, strict=True):
        added = {link_id: link_id for link_id in one.added_fighters}
        changed = {**added, **one.touched_fighters}
        out = {source_id for log_id, source_id in one.touched.items() if log_id in wrong}
        out_biographies = {
            source_id.removeprefix(f"{source.source}/") for log_id, source_id in changed.items() if log_id in persons
        }
        left[0][source.source] |= out
        left[1][source.source] |= out_biographies
        found |= bool(out or out_biographies)
    return found


def _distinct(faults: Sequence[ImportFault]) -> list[ImportFault]:
    return list(dict.fromkeys(faults))


def _check(records: LogRecords, places: dict[str, Place]) -> tuple[dict[str, pd.DataFrame], RowFaults]:
    """Return the tables of the records, and what is impossible in them."""
    rows = {
        "fights": list(records.fights.values()),
        "stat_lines": list(records.stat_lines.values()),
        "fighters": list(records.fighters.values()),
    }
    faults = RowFaults()
    frames, sources = {}, {}
    for name, listed in rows.items():
        columns = [column.name for column in COLUMNS[name] if column.name != "new_event"]
        frames[name] = pd.DataFrame(listed, columns=columns)
        sources[name] = TableSource(name)
        keys = "fighter_id" if name == "fighters" else "fight_id"
        faults.places[name] = [places.get(row[keys], Place(f"{name}{OF_LOG}{row[keys]}")) for row in listed]
    clean = clean_log_tables(frames, sources, faults)
    latest = datetime.now(UTC).date() + timedelta(days=1)
    check_plausibility(clean["fights"], clean["fighters"], sources, latest, faults)
    return frames, faults


def _write(folder: Path, *, result: ImportResult, changes: Sequence[CellChange], suffix: str) -> None:
    assert result.log is not None  # noqa: S101 - the caller writes a log only if there is one
    write_fight_log(result.log, folder, suffix)
    (folder / LINKS_FILE).write_text(write_links(result.links), encoding="utf-8")
    (folder / CHANGES_FILE).write_text(write_changes(changes), encoding="utf-8")


def _write_report(folder: Path, report: Any) -> None:
    new = folder / f".{LAST_IMPORT_FILE}.new"
    new.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    new.replace(folder / LAST_IMPORT_FILE)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [dataclasses.asdict(one) if dataclasses.is_dataclass(one) else one for one in value]  # type: ignore[arg-type]
    return value
