"""Check of training data: read them as a training would, and report all faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.data.data_faults import DataFaultsError
from engine.data.feature_matrix import TrainingMatrix
from engine.data.fight_log import FightLog, read_fight_log
from engine.errors import ValidationError
from ledger.contracts.local_protocol import CheckData, DataFault, DataReport
from ledger.dataset_files import folder_digest
from workers.handlers.training.training_data import read_job_matrix


def check_data_files(request: CheckData) -> DataReport:
    """Return a summary of the data, or their faults. Raises ValidationError if there is nothing to read."""
    path = Path(request.data)
    try:
        if request.matrix is not None:
            return _of_matrix(request.data, read_job_matrix(path, request.matrix))
        return _of_log(request.data, read_fight_log(path))
    except DataFaultsError as error:
        names = DataFault.__struct_fields__
        faults = tuple(DataFault(**{name: getattr(fault, name) for name in names}) for fault in error.faults)
        return DataReport(data=request.data, faults=faults)
    except ValidationError as error:
        return DataReport(data=request.data, faults=(DataFault(file=path.name, message=str(error)),))


def _of_log(data: str, log: FightLog) -> DataReport:
    fights = log.fights
    priced = fights["red_decimal_odds"].notna() & fights["blue_decimal_odds"].notna()
    return DataReport(
        data=data,
        data_digest=folder_digest(data),
        fights=len(fights),
        events=len(fights[["event", "date"]].drop_duplicates()),
        first_day=fights["date"].iloc[0].date(),
        last_day=log.data_cutoff,
        priced_fights=int(priced.sum()),
        history_only_fights=int(fights["history_only"].sum()) or None,
    )


def _of_matrix(data: str, matrix: TrainingMatrix) -> DataReport:
    priced = np.isfinite(matrix.red_odds) & np.isfinite(matrix.blue_odds)
    return DataReport(
        data=data,
        data_digest=folder_digest(data),
        fights=len(matrix),
        events=len(np.unique(matrix.event)),
        features=len(matrix.X.columns),
        first_day=matrix.date.min().item(),
        last_day=matrix.date.max().item(),
        priced_fights=int(priced.sum()),
    )
