"""Requests to a local worker process, and the messages with which it answers.

Training and predicting a feature matrix need no server: `python -m workers.local` reads one request from its standard
input and writes lines of JSON, the last of which is the report or the failure.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from ledger.contracts.failures import Failure
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import (
    Backtest,
    DevigMethod,
    Level,
    MatrixColumns,
    MemberWeights,
    Name,
    TrainEnsemble,
    UpdateFightLog,
)
from ledger.contracts.reports import Contributions, IntervalMethod, TrainingReport


class TrainLocally(Struct, frozen=True, kw_only=True, tag_field="kind", tag="train_here"):
    """Train as the job specifies and write the bundle to the folder `out`; the job's alias is ignored."""

    job: TrainEnsemble
    out: str


class PredictMatrix(Struct, frozen=True, kw_only=True, tag_field="kind", tag="predict_matrix"):
    """Predict every row of a feature matrix with the bundle in the folder `model`.

    `red_odds` and `blue_odds` name the columns with decimal closing odds; by default those that the model was trained
    with. The file need not have them. `devig_method`: how the bookmaker's margin is removed. `contributions`: true for
    answers with the contributions of the groups of features.
    """

    model: str
    matrix: str
    red_odds: Name | None = None
    blue_odds: Name | None = None
    levels: tuple[Level, ...] = (0.8, 0.95)
    devig_method: DevigMethod = "power"
    contributions: bool = False


class BacktestLocally(Struct, frozen=True, kw_only=True, tag_field="kind", tag="backtest_here"):
    """Run a backtest; write every fight's forecast as CSV to the file `records`, if given."""

    job: Backtest
    records: str | None = None


class LoadTest(Struct, frozen=True, kw_only=True, tag_field="kind", tag="carry_load"):
    """Predict `rows` fights with the first `replicas` of a model; they are drawn from the fight log in `data`.

    The draw has a fixed seed. `callers` threads predict the same at once, each on `threads` threads of its own.
    `max_memory_mb` limits the resident memory of the process.
    """

    model: str
    data: str
    rows: int
    replicas: int
    threads: int = 1
    callers: int = 1
    max_memory_mb: float


class ImportJoblib(Struct, frozen=True, kw_only=True, tag_field="kind", tag="import_joblib"):
    """List the content of joblib `files` by member and, if they are `trusted`, convert them into a model.

    `columns` is a file with the names of the columns, one a line; by default the estimators know them. `trained_until`
    is the last day of the fights that they were fitted on. `unseen` is a matrix of later fights, to measure intervals
    on, whose other columns `matrix` names. `log` is a fight log to build rows from, if the columns are cornerman's own.
    The bundle goes into the folder `out`, by default that of the local pools, claimed by the `ledger` of this id.
    """

    files: dict[str, str]
    trusted: bool = False
    columns: str | None = None
    weights: MemberWeights = MemberWeights()
    trained_until: date | None = None
    unseen: str | None = None
    matrix: MatrixColumns | None = None
    log: str | None = None
    out: str | None = None
    ledger: str = ""


class CheckData(Struct, frozen=True, kw_only=True, tag_field="kind", tag="check_data"):
    """Check the fight log in the folder `data`, or with `matrix` the feature matrix in that file, without training."""

    data: str
    matrix: MatrixColumns | None = None


class DataFault(Struct, frozen=True, kw_only=True):
    """A fault in `rows` rows of a column, of which `row` (from 1, below the header) is the first.

    `line` is that row's line in the file, null for Parquet. All three are null for a fault of a whole file.
    """

    file: str
    message: str
    column: str | None = None
    row: int | None = None
    line: int | None = None
    rows: int = 1


class DataReport(Struct, frozen=True, kw_only=True):
    """Summary of the data and all `faults`. Figures are null if there is any fault."""

    data: str
    fights: int | None = None
    events: int | None = None
    features: int | None = None
    first_day: date | None = None
    last_day: date | None = None
    priced_fights: int | None = None
    history_only_fights: int | None = None
    faults: tuple[DataFault, ...] = ()
    data_digest: str | None = None


class FileListing(Struct, frozen=True, kw_only=True):
    """Content of one file, found without unpickling it.

    `names` are all that unpickling would import, `strange` those of them that no estimator needs.
    """

    member: str
    path: str
    sha256: str
    file_bytes: int
    compression: str
    type: str
    versions: dict[str, str]
    arrays: int
    names: tuple[str, ...]
    strange: tuple[str, ...]


class ImportReport(Struct, frozen=True, kw_only=True):
    """The converted model. `largest_difference` is between a member and its original, on `probe_rows` rows.

    `interval_method` is null, with `interval_reason`, if no later fights were given. `summary` is for the registry.
    """

    model: str
    folder: str
    features: int
    takes_missing: bool
    probe_rows: int
    largest_difference: float
    interval_method: IntervalMethod | None
    interval_reason: str | None
    metrics: dict[str, float]
    bundle_bytes: int
    summary: dict[str, Any]


class LoadTestReport(Struct, frozen=True, kw_only=True):
    """Figures of a load test.

    `digests` are of the answers, one for each caller: SHA-256 over the bytes of every number. `own_memory_mb` was in
    use with the model loaded and the rows read, `peak_memory_mb` is the maximum.
    """

    digests: tuple[str, ...]
    own_memory_mb: float
    peak_memory_mb: float
    seconds: float


class ImportFights(Struct, frozen=True, kw_only=True, tag_field="kind", tag="import_fights"):
    """Import as the job specifies, without a ledger; write the complete lists to the file `report`, if given."""

    job: UpdateFightLog
    report: str | None = None


Request = TrainLocally | PredictMatrix | BacktestLocally | LoadTest | ImportJoblib | CheckData | ImportFights

Bounds = tuple[float, float]


class MarketAwareAnswer(Struct, frozen=True, kw_only=True):
    """The market-aware probability of red and its band by level, on the assumption that `method` names."""

    probability: float
    band: dict[str, Bounds]
    method: str


class RowAnswer(Struct, frozen=True, kw_only=True):
    """The answer for one row, for its red side; bounds by level, as in `{"0.95": [0.31, 0.68]}`.

    A null value has its reason next to it. `contributions` are absent unless the request asked for them.
    """

    probability: float
    intervals: dict[str, Bounds]
    interval_method: IntervalMethod | None
    interval_reason: str | None = None
    sampling_interval: Bounds | None
    sampling_reason: str | None
    market_aware: MarketAwareAnswer | None
    market_aware_reason: str | None
    contributions: Contributions | UnsetType = UNSET


class MatrixReport(Struct, frozen=True, kw_only=True):
    """End of the answers for all rows. `unused`: columns that are neither features nor known by name."""

    model: str
    rows: int
    unused: tuple[str, ...] = ()


class LocalMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the answer, with exactly one field present. The last line is a report or the failure."""

    progress: Progress | None = None
    rows: tuple[RowAnswer, ...] = field(default=())
    trained: TrainingReport | None = None
    answered: MatrixReport | None = None
    backtested: BacktestReport | None = None
    carried: LoadTestReport | None = None
    listed: tuple[FileListing, ...] = field(default=())
    imported: ImportReport | None = None
    checked: DataReport | None = None
    fights: FightLogReport | None = None
    failure: Failure | None = None
