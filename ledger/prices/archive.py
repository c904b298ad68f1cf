"""The archive of price histories: Parquet files in the store of models, a folder for each month of events.

    prices/<year-month>/<digest of the content>.parquet

A file has the whole history of every fight of its month, and never changes: a new version is another file, and the old
one is removed once the new one can be read. So a process that is killed, or two that archive at once, leave at worst
several files with the same changes, which reading merges and the next archiving makes one.

Needs the packages `fsspec` and `pyarrow`, which are imported when they are first used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import LedgerError
from ledger.contracts.moments import to_moment
from ledger.contracts.prices import PriceChange, StartReading
from ledger.prices.merging import merge
from ledger.prices.stream_entries import FightPrices
from ledger.remote_folder import FsspecFolder

PRICES = "prices"
"""Place of the archive in the store."""
_ATTEMPTS = 5
"""How often a month is read whose files are replaced meanwhile."""
_EMPTY = FightPrices()

MonthPrices = Mapping[str, FightPrices]
"""Histories by id of the fight."""


class ArchiveUnavailableError(LedgerError):
    """The store of the archive cannot be reached, or a file of it cannot be read."""


class ArchivedMonth(NamedTuple):
    """The content of a month, and the files that it came from."""

    prices: MonthPrices
    files: tuple[str, ...]


class PriceArchive:
    """Price histories in a store. Every method raises ArchiveUnavailableError.

    Parameters
    ----------
    open_folder
        Returns the folder of the store.
    name
        The store, for messages.
    """

    def __init__(self, open_folder: Callable[[], FsspecFolder], name: str) -> None:
        self._open_folder = open_folder
        self._folder: FsspecFolder | None = None
        self.name = name

    @classmethod
    def in_store(cls, url: str, folder: Path) -> PriceArchive:
        """Return the archive in the store at an fsspec URL, or in a folder of this machine if the URL is empty."""
        if url:
            return cls(lambda: FsspecFolder.from_url(url), url.rpartition("@")[2])
        return cls(lambda: FsspecFolder.from_folder(folder), str(folder))

    def months(self) -> list[str]:
        """Return the months that have files, such as `2026-08`, the earliest first."""
        with self._reaching():
            return sorted({path.partition("/")[0] for path in self._files("")})

    def read_month(self, month: str, fight_id: str | None = None) -> ArchivedMonth:
        """Return the histories of the fights of a month, or of one of them."""
        with self._reaching():
            for _ in range(_ATTEMPTS):
                names = self._files(month)
                contents = [self._at.read(f"{PRICES}/{month}/{name}") for name in names]
                if None not in contents:  # otherwise the month was archived meanwhile
                    found: dict[str, FightPrices] = {}
                    for content in contents:
                        for name, prices in _decode(content, fight_id).items():
                            found[name] = merge(found.get(name, _EMPTY), prices)
                    return ArchivedMonth(found, tuple(names))
        raise ArchiveUnavailableError(f"the files of {month} change faster than they can be read: try again")

    def write_month(self, month: str, prices: MonthPrices, replaces: Iterable[str]) -> int:
        """Write the histories of a month in place of the files that they were read from.

        Returns
        -------
        int
            Number of bytes written; 0 if the month has exactly this content already.
        """
        content = _encode(prices)
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.parquet"
        place = f"{PRICES}/{month}/{name}"
        old = [each for each in replaces if each != name]
        with self._reaching():
            known = name in self._files(month)
            if not known:
                self._at.write(content, place)
            if self._at.read(place) != content:
                raise ArchiveUnavailableError(f"{place} cannot be read back as it was written: check the store")
            for each in old:
                self._at.remove_file(f"{PRICES}/{month}/{each}")
        return 0 if known else len(content)

    def find(self, fight_id: str, month: str | None = None) -> FightPrices:
        """Return the history of a fight, from one month or from all; an empty one if it is not there."""
        found = _EMPTY
        for each in self.months() if month is None else [month]:
            found = merge(found, self.read_month(each, fight_id).prices.get(fight_id, _EMPTY))
        return found

    def _files(self, month: str) -> list[str]:
        place = f"{PRICES}/{month}" if month else PRICES
        return sorted(path for path in self._at.files(place, 1 if month else 2) if path.endswith(".parquet"))

    @property
    def _at(self) -> FsspecFolder:
        if self._folder is None:
            self._folder = self._open_folder()
        return self._folder

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Convert the errors of file systems, of which some are of classes of their own."""
        try:
            yield
        except LedgerError:
            raise
        except ImportError as error:
            raise job_refused(
                f"reading archived prices needs the package {error.name}: pip install 'cornerman[engine]'"
            ) from error
        except Exception as error:
            raise ArchiveUnavailableError(f"the archive of prices in {self.name} cannot be used: {error}") from error


def month_of(moment: datetime) -> str:
    """Return the month of a moment in UTC, as folders are named."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def _encode(prices: MonthPrices) -> bytes:
    """Return a month as Parquet: equal content gives equal bytes under one version of pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A start is a row without a bookmaker.
    rows: list[PriceChange | StartReading] = []
    for fight_id in sorted(prices):
        rows += prices[fight_id].starts
        rows += prices[fight_id].changes
    moment = pa.timestamp("us", tz="UTC")

    def column(name: str, kind: Any) -> Any:
        return pa.array([getattr(row, name, None) for row in rows], type=kind)

    table = pa.table(
        {
            "fight_id": column("fight_id", pa.string()),
            "bookmaker": column("bookmaker", pa.string()),
            "fighter": column("fighter", pa.string()),
            "price": column("price", pa.float64()),
            "commission": column("commission", pa.float64()),
            "read_at": column("read_at", moment),
            "as_of": column("as_of", moment),
            "start": column("start", moment),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _decode(content: bytes | None, fight_id: str | None) -> dict[str, FightPrices]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(content))
    if fight_id is not None:  # making objects of the rows of others would take most of the time
        table = table.filter(pc.equal(table["fight_id"], fight_id))

    def moments(name: str) -> list[datetime | None]:
        return [None if value is None else to_moment(value) for value in table[name].cast(pa.int64()).to_pylist()]

    changes: dict[str, list[PriceChange]] = {}
    starts: dict[str, list[StartReading]] = {}
    columns = (table[name].to_pylist() for name in ("fight_id", "bookmaker", "fighter", "price", "commission"))
    times = (moments(name) for name in ("read_at", "as_of", "start"))
    for fight, bookmaker, fighter, price, commission, read_at, as_of, start in zip(*columns, *times, strict=True):
        if bookmaker is None:
            row = StartReading(fight_id=fight, start=start, read_at=read_at)
            starts.setdefault(fight, []).append(row)
            continue
        changes.setdefault(fight, []).append(
            PriceChange(
                fight_id=fight,
                bookmaker=bookmaker,
                fighter=fighter,
                price=price,
                read_at=read_at,
                as_of=as_of,
                commission=commission,
            )
        )
    return {
        fight: FightPrices(changes=tuple(changes.get(fight, ())), starts=tuple(starts.get(fight, ())))
        for fight in changes.keys() | starts.keys()
    }
