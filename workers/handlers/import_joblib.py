"""Import of joblib files into a bundle: list their contents; unpickle, check and convert only trusted files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engine.data.feature_matrix import format_names
from engine.data.features import FEATURE_COLUMNS
from engine.data.fight_log import read_fight_log
from engine.data.fighter_snapshot import FighterSnapshot
from engine.errors import ValidationError
from engine.importing.external_estimators import N_PROBE_ROWS, common_columns, unwrap
from engine.importing.import_ensemble import import_ensemble
from engine.importing.joblib_files import JoblibFile
from engine.members.member_stack import MEMBER_NAMES
from engine.model.trained_ensemble import save_ensemble
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import MatrixColumns
from ledger.contracts.local_protocol import FileListing, ImportJoblib, ImportReport, LocalMessage
from workers.handlers.training.model_publication import SUMMARY_FIELDS
from workers.handlers.training.training_data import read_job_matrix
from workers.models.model_store import Store
from workers.settings import WorkerSettings

_COLUMNS = MatrixColumns(label="won", event="event", date="date")


def import_files(request: ImportJoblib, send: Callable[[LocalMessage], None]) -> None:
    """List the files, and import them if they are trusted. Raises EngineError."""
    if set(request.files) != set(MEMBER_NAMES):
        raise ValidationError(
            f"name one file for each of {format_names(MEMBER_NAMES)}, not for {format_names(sorted(request.files))}"
        )
    files = {member: JoblibFile.from_path(Path(request.files[member])) for member in MEMBER_NAMES}
    send(LocalMessage(listed=tuple(_listing(member, file) for member, file in files.items())))
    if not request.trusted:
        return
    if request.trained_until is None:
        raise ValidationError(
            "trained_until is missing: name the last day of the training data, which the files do not contain"
        )
    send(LocalMessage(progress=Progress(stage="unpickling", done=0, total=3)))
    parts = {member: unwrap(member, file.unpickle(), file.versions) for member, file in files.items()}
    columns = common_columns(list(parts.values()), _names(request.columns))
    send(LocalMessage(progress=Progress(stage="comparing", done=1, total=3)))
    imported = import_ensemble(
        parts,
        columns,
        msgspec.structs.asdict(request.weights),
        trained_until=request.trained_until,
        sources={
            member: {"sha256": file.sha256, "type": file.contents.object_type, "versions": file.versions}
            for member, file in files.items()
        },
        unseen=None if request.unseen is None else read_job_matrix(Path(request.unseen), request.matrix or _COLUMNS),
        snapshot=None if request.log is None else _snapshot(Path(request.log), columns),
    )
    send(LocalMessage(progress=Progress(stage="writing", done=2, total=3)))
    store = Store.from_settings(WorkerSettings.from_env(), request.ledger)
    folder = store.folder if request.out is None else Path(request.out)
    ensemble, bundle = imported.ensemble, save_ensemble(imported.ensemble, folder)
    if request.out is None:
        store.publish(bundle)
    send(
        LocalMessage(
            imported=ImportReport(
                model=bundle.digest,
                folder=str(bundle.folder),
                features=len(columns),
                takes_missing=ensemble.accepts_missing,
                probe_rows=N_PROBE_ROWS,
                largest_difference=imported.max_difference,
                interval_method=ensemble.half_widths.method if ensemble.half_widths.is_measured else None,
                interval_reason=None if ensemble.half_widths.is_measured else "not_measured",
                metrics=ensemble.manifest["metrics"],
                bundle_bytes=bundle.size_bytes,
                summary={name: bundle.manifest[name] for name in SUMMARY_FIELDS if name in bundle.manifest},
            )
        )
    )


def _listing(member: str, file: JoblibFile) -> FileListing:
    contents = file.contents
    return FileListing(
        member=member,
        path=str(file.path),
        sha256=file.sha256,
        file_bytes=file.file_bytes,
        compression=file.compression,
        type=contents.object_type,
        versions=file.versions,
        arrays=contents.arrays,
        names=tuple(sorted(contents.names)),
        strange=tuple(file.unexpected_names),
    )


def _names(path: str | None) -> Sequence[str] | None:
    if path is None:
        return None
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(
            f"{path} cannot be read: {error}; write the names of the columns, one per line"
        ) from error
    return [line.strip() for line in lines if line.strip()]


def _snapshot(log: Path, columns: Sequence[str]) -> FighterSnapshot:
    if unknown := [name for name in columns if name not in FEATURE_COLUMNS]:
        raise ValidationError(
            f"rows cannot be built from a fight log for {format_names(unknown)}, "
            "which are not features of this system: "
            "omit --log, and send the features with each fight"
        )
    # The estimators were trained on rows of another system, and treat gaps in their own way.
    return FighterSnapshot.from_log(read_fight_log(log), keep_gaps=True)
