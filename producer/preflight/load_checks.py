"""Preflight checks under the largest expected load, each in a new process: identical bits, threads, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ledger.contracts.local_protocol import CarryLoad, LoadReport
from producer.preflight.check import require

THREADS = (1, 2, 4)
CALLERS = 4


@dataclass
class Loads:
    """Load tests of a model, each in a new process so that no state is carried over."""

    carry: Callable[[CarryLoad], LoadReport]
    model: str
    data: str
    rows: int
    replicas: int
    max_memory_mb: float
    carried: list[LoadReport] = field(default_factory=list)

    def threads(self) -> str:
        """Check that one, two and four threads, and four concurrent callers, give the same bits."""
        expected = self._carry(threads=1).digests[0]
        for number in THREADS[1:]:
            digest = self._carry(threads=number).digests[0]
            require(digest == expected, f"{number} threads give other bits than one")
        together = self._carry(threads=2, callers=CALLERS).digests
        require(set(together) == {expected}, f"{CALLERS} concurrent callers get other bits than one")
        numbers = ", ".join(map(str, THREADS))
        return f"{self._load}: the same bits on {numbers} threads and for {CALLERS} concurrent callers"

    def runs(self) -> str:
        """Check that another run gives the same bits as every run before."""
        self._carry(threads=max(THREADS))
        digests = {digest for report in self.carried for digest in report.digests}
        require(len(digests) == 1, f"{len(self.carried)} runs gave {len(digests)} different predictions")
        return f"{len(self.carried)} processes, identical predictions ({next(iter(digests))[:12]})"

    def memory(self) -> str:
        """Check that the highest memory peak of all runs is below the limit."""
        if not self.carried:
            self._carry(threads=max(THREADS))
        worst = max(self.carried, key=lambda report: report.peak_memory_mb)
        peak = f"{self._load}: peak {worst.peak_memory_mb:,.0f} of {self.max_memory_mb:,.0f} MB"
        require(worst.peak_memory_mb < self.max_memory_mb, peak)
        return f"{peak}, {worst.own_memory_mb:,.0f} MB of it before the load; {worst.seconds:.2f} s"

    @property
    def _load(self) -> str:
        return f"{self.rows:,} fights x {self.replicas} replicas"

    def _carry(self, *, threads: int, callers: int = 1) -> LoadReport:
        report = self.carry(
            CarryLoad(
                model=self.model,
                data=self.data,
                rows=self.rows,
                replicas=self.replicas,
                threads=threads,
                callers=callers,
                max_memory_mb=self.max_memory_mb,
            )
        )
        self.carried.append(report)
        return report
