"""Preflight checks under the largest expected load, each in a new process: identical bits, threads, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ledger.contracts.local_protocol import LoadTest, LoadTestReport
from producer.preflight.check import expect

THREADS = (1, 2, 4)
CALLERS = 4


@dataclass
class LoadChecks:
    """Load tests of a model, each in a new process so that no state is carried over."""

    run_load: Callable[[LoadTest], LoadTestReport]
    model: str
    data: str
    rows: int
    replicas: int
    max_memory_mb: float
    reports: list[LoadTestReport] = field(default_factory=list)

    def check_threads(self) -> str:
        """Check that one, two and four threads, and four concurrent callers, give the same bits."""
        expected = self._carry(threads=1).digests[0]
        for number in THREADS[1:]:
            digest = self._carry(threads=number).digests[0]
            expect(digest == expected, f"{number} threads give other bits than one")
        together = self._carry(threads=2, callers=CALLERS).digests
        expect(set(together) == {expected}, f"{CALLERS} concurrent callers get other bits than one")
        numbers = ", ".join(map(str, THREADS))
        return f"{self._load}: the same bits on {numbers} threads and for {CALLERS} concurrent callers"

    def check_runs(self) -> str:
        """Check that another run gives the same bits as every run before."""
        self._carry(threads=max(THREADS))
        digests = {digest for report in self.reports for digest in report.digests}
        expect(len(digests) == 1, f"{len(self.reports)} runs gave {len(digests)} different predictions")
        return f"{len(self.reports)} processes, identical predictions ({next(iter(digests))[:12]})"

    def check_memory(self) -> str:
        """Check that the highest memory peak of all runs is below the limit."""
        if not self.reports:
            self._carry(threads=max(THREADS))
        worst = max(self.reports, key=lambda report: report.peak_memory_mb)
        peak = f"{self._load}: peak {worst.peak_memory_mb:,.0f} of {self.max_memory_mb:,.0f} MB"
        expect(worst.peak_memory_mb < self.max_memory_mb, peak)
        return f"{peak}, {worst.own_memory_mb:,.0f} MB of it before the load; {worst.seconds:.2f} s"

    @property
    def _load(self) -> str:
        return f"{self.rows:,} fights x {self.replicas} replicas"

    def _carry(self, *, threads: int, callers: int = 1) -> LoadTestReport:
        report = self.run_load(
            LoadTest(
                model=self.model,
                data=self.data,
                rows=self.rows,
                replicas=self.replicas,
                threads=threads,
                callers=callers,
                max_memory_mb=self.max_memory_mb,
            )
        )
        self.reports.append(report)
        return report
