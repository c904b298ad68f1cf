"""A training pool whose jobs train nothing: each runs until there is a job called `gate`."""

from __future__ import annotations

import os
import sys
import time
from datetime import date

import workers.handlers.training.train_ensemble  # noqa: F401 - as a training pool's children have it, so that a job does not grow by it
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import TrainEnsemble
from ledger.contracts.reports import TrainingReport
from workers.__main__ import main
from workers.jobs.context import JobContext


def run_until_gate(job: TrainEnsemble, context: JobContext) -> TrainingReport:
    context.progress(str(os.getpid()), 0, 1)
    while context.ledger.status("gate").state is JobState.UNKNOWN:
        time.sleep(0.02)
    return TrainingReport(
        model="0" * 64,
        alias=None,
        data_digest="0" * 64,
        data_cutoff=date(2026, 1, 1),
        fights=0,
        events=0,
        features=0,
        bootstrap_samples=0,
        interval_method="anchored",
        metrics={},
        bundle_bytes=0,
    )


if __name__ == "__main__":
    sys.exit(main(handlers={"train_ensemble": run_until_gate}))
