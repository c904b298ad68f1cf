"""Mutated valid files through every reader: `python -m tests.fuzz --cases 10000 --seed 1`.

Each case takes a valid file, changes it by a seed of its own, and reads it as the product does. A case passes if the
file is read, or refused by an error that becomes a typed failure other than `internal`; if it ends within a time limit;
and if a refusal leaves nothing written. Cases run in child processes: what kills one is a fault, too. A case is
repeated by its name: `python -m tests.fuzz --case matrix:123`.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import multiprocessing
import pickle
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from engine.data.feature_matrix_files import read_matrix, read_prediction_rows
from engine.data.fight_log import read_fight_log
from ledger.contracts.codec import decode_job
from ledger.contracts.failures import FailureCode
from ledger.contracts.local_protocol import ImportJoblib
from producer.feed.fight_results_file import read_results
from producer.feed.odds_api import read_cards
from tests.support import foreign_estimators
from tests.unit.engine.data.test_fight_log import FIGHTERS, FIGHTS, STAT_LINES
from workers.failures import to_failure
from workers.handlers.import_joblib import import_files

SECONDS = 60.0  # for one case, on a busy machine
SHARES = {"feed": 0.25, "card": 0.2, "results": 0.2, "fight_log": 0.15, "matrix": 0.15, "joblib": 0.05}
NASTY = (
    *(
        "",
        " ",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "1e999",
        "-1",
        "0",
        "0.5",
        "9" * 400,
        "1_000",
        "0x10",
        "null",
        "None",
        "true",
    ),
    *(
        "\x00",
        "\ufeff",
        "😀",
        "e\u0301",
        "\ud800",
        '"',
        "'",
        ",",
        "\n",
        "\r",
        "[]",
        "{}",
        "[/red]",
        "2020-02-30",
        "0000-00-00",
    ),
    *(
        "9999-12-31",
        "2199-01-01",
        "2020-01-01T00:00:00+14:00",
        "2020-01-01T25:00:00Z",
        "20200101",
        "01/02/2020",
        "-150",
    ),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    float("nan"),
    "",
    "x" * 5000,
    [],
    {},
    [[]],
    {"a": {}},
    *NASTY[:12],
)
Reader = Callable[[random.Random, Path], None]


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few changed, taken out, doubled or cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at, length = rng.randrange(len(data) or 1), rng.randrange(1, 9)
        change = rng.randrange(6)
        if change == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif change == 1:
            del data[at : at + length]
        elif change == 2:
            data[at:at] = rng.randbytes(length)
        elif change == 3:
            data[at:at] = data[at : at + 10 * length]
        elif change == 4:
            data[at:at] = rng.choice(NASTY).encode("utf-8", "surrogatepass")
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def mutated_json(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with one of its parts replaced, taken out or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        change = rng.random()
        if change < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if change < 0.15:
            return {**value, rng.choice(NASTY): value[name]}
        return {**value, name: mutated_json(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        if rng.random() < 0.15:
            return [*value[:at], *value[at + 1 :], *(value[at : at + 1] * rng.choice((0, 2, 50)))]
        return [*value[:at], mutated_json(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)


def mutated_table(frame: pd.DataFrame, rng: random.Random) -> pd.DataFrame:
    """Return a table with cells, a column or rows changed."""
    frame = frame.copy()
    column = rng.choice(list(frame.columns))
    change = rng.randrange(8)
    if change < 4:
        for row in rng.sample(range(len(frame)), rng.choice((1, 2, len(frame)))):
            frame = frame.astype({column: object})
            frame.loc[row, column] = rng.choice(NASTY)
    elif change == 4:
        frame = frame.drop(columns=column)
    elif change == 5:
        frame = frame.rename(columns={column: rng.choice(NASTY).encode("utf-8", "replace").decode()})
    elif change == 6:
        frame = pd.concat([frame, frame.sample(2, random_state=rng.randrange(99))], ignore_index=True)
    else:
        values: list[Any] = [
            pd.Timestamp("2020-01-01", tz="America/New_York"),
            timedelta(days=1),
            b"\xff",
            [1, 2],
            {"a": 1},
            True,
            10**18,
            None,
            date(2020, 1, 1),
        ]
        frame[column] = [rng.choice(values)] * len(frame)
    return frame


def write_table(frame: pd.DataFrame, path: Path, rng: random.Random) -> None:
    """Write a table as its suffix says, its cells or its bytes mutated."""
    by_cells = rng.random() < 0.7
    table = mutated_table(frame, rng) if by_cells else frame
    stream = io.BytesIO()
    if path.suffix == ".parquet":
        stream.write(_parquet(table))
    else:
        stream.write(table.to_csv(index=False).encode("utf-8", "surrogatepass"))
    content = stream.getvalue()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    path.write_bytes(content if by_cells else mutated_bytes(content, rng))


def _parquet(table: pd.DataFrame) -> bytes:
    try:
        return table.to_parquet(None, index=False)
    except Exception:  # noqa: BLE001 - a format with types cannot hold everything: then all cells are text
        text = table.map(lambda cell: str(cell).encode("utf-8", "replace").decode())
        return text.rename(columns=lambda name: name.encode("utf-8", "replace").decode()).to_parquet(None, index=False)


def _text(value: Any, rng: random.Random) -> bytes:
    if rng.random() < 0.6:
        return json.dumps(mutated_json(value, rng)).encode()
    return mutated_bytes(json.dumps(value).encode(), rng)


def read_feed(rng: random.Random, folder: Path) -> None:
    """A feed of The Odds API."""
    outcomes = [{"name": "Ana A", "price": 1.8}, {"name": "Bea B", "price": 2.1}]
    market = {"key": "h2h", "outcomes": outcomes}
    event = {
        "id": "e1",
        "sport_key": "mma_mixed_martial_arts",
        "commence_time": "2030-08-22T21:15:00Z",
        "home_team": "Ana A",
        "away_team": "Bea B",
        "bookmakers": [{"key": "one", "last_update": "2030-08-22T20:00:00Z", "markets": [market]}],
    }
    other = {**event, "id": "e2", "home_team": "Cy C", "away_team": "Di D"}
    read_cards(_text([event, other], rng), price_format=rng.choice(("decimal", "american")))


def read_card(rng: random.Random, folder: Path) -> None:
    """A card as JSON, from the golden files."""
    golden = Path(__file__).with_name("golden")
    decode_job(_text(json.loads((golden / f"job_predict_card_{rng.choice(('full', 'plain'))}.json").read_bytes()), rng))


def read_results_file(rng: random.Random, folder: Path) -> None:
    """A file of results."""
    frame = pd.DataFrame(
        {
            "date": ["2026-11-21"] * 3,
            "red": ["Ana A", "Cy C", "E"],
            "blue": ["Bea B", "Di D", "F"],
            "winner": ["Red", "Di D", "draw"],
        }
    )
    path = folder / f"results.csv{rng.choice(('', '.gz'))}"
    write_table(frame, path, rng)
    read_results(path.read_bytes(), date(2026, 11, 25))


def read_log(rng: random.Random, folder: Path) -> None:
    """The folder of a fight log, one of its tables mutated."""
    tables = {"fights": FIGHTS, "stat_lines": STAT_LINES, "fighters": FIGHTERS}
    changed = rng.choice(list(tables))
    for name, frame in tables.items():
        if name == changed:
            write_table(frame, folder / f"{name}{rng.choice(('.csv', '.csv.gz', '.parquet'))}", rng)
        else:
            frame.to_csv(folder / f"{name}.csv", index=False)
    read_fight_log(folder)


def read_matrix_file(rng: random.Random, folder: Path) -> None:
    """A feature matrix, to train on and to answer."""
    draw = np.random.default_rng(rng.randrange(10))
    frame = pd.DataFrame(draw.normal(size=(40, 4)), columns=["red_x", "blue_x", "diff_y", "rounds"]).assign(
        won=np.arange(40) % 2, event="e", date="2020-01-01", o1=1.8, o2=2.1
    )
    path = folder / f"matrix{rng.choice(('.csv', '.parquet', '.csv.gz'))}"
    write_table(frame, path, rng)
    if rng.random() < 0.2:
        read_prediction_rows(
            path, ["red_x", "blue_x", "diff_y", "rounds"], red_odds="o1", blue_odds="o2", pairs=[("r_", "b_")]
        )
        return
    read_matrix(path, label="won", event="event", date="date", red_odds="o1", blue_odds="o2")


def read_joblib(rng: random.Random, folder: Path) -> None:
    """Three estimators of another system, one of them mutated inside or in its bytes."""
    files = {}
    changed = rng.choice(("rf", "xgb", "nn"))
    for short, pickled in _system().items():
        path = folder / f"{short}.joblib"
        estimator = pickle.loads(pickled)  # noqa: S301 - pickled by `_system`
        inside = short == changed and rng.random() < 0.5
        if inside:
            _mutate_object(estimator, rng)
        joblib.dump(estimator, path, compress=rng.choice((0, 3)))
        if short == changed and not inside:
            path.write_bytes(mutated_bytes(path.read_bytes(), rng))
        files[foreign_estimators.SHORT[short]] = str(path)
    out = folder / "out"
    request = ImportJoblib(files=files, trusted=True, trained_until=date(2024, 1, 1), out=str(out))
    try:
        import_files(request, lambda line: None)
    except Exception:
        assert not out.exists() or not any(out.iterdir()), "a refused import has left something"
        raise


_SYSTEM: dict[str, bytes] = {}


def _system() -> dict[str, bytes]:
    if not _SYSTEM:
        _SYSTEM.update({name: pickle.dumps(estimator) for name, estimator in foreign_estimators.plain_system().items()})
    return _SYSTEM


def _mutate_object(estimator: Any, rng: random.Random) -> None:
    part = rng.choice([step for _, step in estimator.steps]) if hasattr(estimator, "steps") else estimator
    if hasattr(part, "estimators_") and rng.random() < 0.5:
        part = rng.choice(part.estimators_)
    name = rng.choice(sorted(vars(part)))
    value = getattr(part, name)
    if isinstance(value, np.ndarray) and rng.random() < 0.6:
        odd = [
            value[:0],
            value.astype(object),
            value * np.nan if value.dtype.kind == "f" else value[::-1],
            value.reshape(-1, 1),
        ]
        setattr(part, name, rng.choice(odd))
    elif rng.random() < 0.3:
        delattr(part, name)
    else:
        setattr(part, name, rng.choice(VALUES))


READERS: dict[str, Reader] = {
    "feed": read_feed,
    "card": read_card,
    "results": read_results_file,
    "fight_log": read_log,
    "matrix": read_matrix_file,
    "joblib": read_joblib,
}


def outcome(reader: str, seed: int) -> tuple[str, str]:
    """Run one case; what came of it ("read", or the code of its failure), and its traceback if that is `internal`."""
    rng = random.Random(f"{reader}:{seed}")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            READERS[reader](rng, Path(folder))
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            code = to_failure(error).code
            return str(code.value), traceback.format_exc() if code is FailureCode.INTERNAL else ""
    return "read", ""


def cases(total: int, first: int, only: str | None = None) -> Iterator[tuple[str, int]]:
    """Yield the names of `total` cases, spread over the readers; those of a seed are always the same."""
    shares = SHARES if only is None else {only: 1.0}
    for reader, share in shares.items():
        for number in range(max(1, round(total * share))):
            yield reader, first * 1_000_000 + number


def _serve(asked: Any, answers: Any) -> None:
    while (case := asked.get()) is not None:
        answers.put((case, outcome(*case)))


def run(todo: list[tuple[str, int]], log: Callable[[str], None] = print) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Run cases in child processes, one after another; count outcomes, and name the cases at fault."""
    context = multiprocessing.get_context("spawn")
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[str] = []
    remaining = list(reversed(todo))
    while remaining:
        asked, answers = context.Queue(), context.Queue()
        child = context.Process(target=_serve, args=(asked, answers), daemon=True)
        child.start()
        seconds = 4 * SECONDS  # to import what it needs
        while remaining:
            case = remaining.pop()
            asked.put(case)
            result = _answer(answers, child, seconds)
            seconds = SECONDS
            said, trace = result if isinstance(result, tuple) else (result, "")
            counts[case[0], said] += 1
            if said in ("internal", "hang", "killed"):
                faults.append(f"{case[0]}:{case[1]} {said}")
                log(f"{faults[-1]}\n{trace}")
            if said in ("hang", "killed"):
                break
        child.kill()
        child.join()
    return counts, faults


def _answer(answers: Any, child: Any, seconds: float) -> tuple[str, str] | str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return answers.get(timeout=0.2)[1]  # type: ignore[no-any-return]
        except Exception:  # noqa: BLE001 - queue.Empty, or a child that is gone
            if not child.is_alive():
                return "killed"
    return "hang"


def main(arguments: list[str] | None = None) -> int:
    """Run and count; 1 if any case ended as internal, hung, or took its process down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", choices=tuple(READERS))
    parser.add_argument("--case", metavar="READER:NUMBER", help="repeat one case in this process")
    options = parser.parse_args(arguments)
    if options.case:
        reader, _, number = options.case.partition(":")
        print("\n".join(outcome(reader, int(number))))  # noqa: T201
        return 0
    started = datetime.now(UTC)
    counts, faults = run(list(cases(options.cases, options.seed, options.reader)))
    for (reader, said), count in sorted(counts.items()):
        print(f"{reader:10} {said:24} {count:6,}")  # noqa: T201
    seconds = (datetime.now(UTC) - started).total_seconds()
    print(f"{sum(counts.values()):,} cases in {seconds:.0f} s, {len(faults)} at fault")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
