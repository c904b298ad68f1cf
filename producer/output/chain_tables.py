"""The table of a chain of jobs. Layout only."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from ledger.contracts.chains import ChainState, ChainStatus
from producer.output.table_parts import NOTHING, STYLES, failures_table, wrapping_table


def chain_tables(chain: ChainStatus) -> list[RenderableType]:
    """Return the table of a chain, and the failure that ended it."""
    table = wrapping_table(f"Chain {chain.name}: {chain_state(chain)}", "job", "kind", "state", "attempt", "waits for")
    for job in chain.jobs:
        time = None if job.not_before is None else f"{job.not_before:%Y-%m-%d %H:%M:%S}"
        table.add_row(
            Text(job.job_id),
            job.kind or NOTHING,
            Text(job.state, style=STYLES.get(job.state, "")),
            str(job.attempt),
            Text(", ".join(filter(None, (time, job.after))) or NOTHING),
        )
    if chain.failure is None:
        return [table]
    return [table, failures_table([(chain.jobs[chain.step - 1].job_id, chain.failure)])]


def chain_state(chain: ChainStatus) -> str:
    """Return the state of a chain in a few words."""
    step = f"step {chain.step} of {len(chain.jobs)}"
    return str(chain.state) if chain.state is ChainState.SUCCEEDED else f"{chain.state}, {step}"
