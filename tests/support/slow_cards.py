"""A real pool whose cards take as long as their ids say, `slow:SECONDS`; all others are answered at once."""

from __future__ import annotations

import sys
import time

from ledger.contracts.jobs import PredictCard
from ledger.contracts.reports import CardReport
from workers.__main__ import main
from workers.jobs.context import JobContext
from workers.jobs.registry import HANDLERS


def answer_slowly(job: PredictCard, context: JobContext) -> CardReport:
    from workers.handlers.prediction.predict_card import predict_card  # children only, as in a real pool

    name, _, seconds = job.card_id.partition(":")
    time.sleep(float(seconds) if name == "slow" else 0.0)
    return predict_card(job, context)


if __name__ == "__main__":
    sys.exit(main(handlers={**HANDLERS, "predict_card": answer_slowly}))
