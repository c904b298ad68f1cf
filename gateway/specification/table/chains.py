"""Operations of chains of jobs."""

from __future__ import annotations

from gateway.api.chains import ChainReply
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, path_parameter
from gateway.specification.table.jobs import AFTER, CORRELATION, DURABLE, GONE, JOB, NOT_BEFORE, TRACE
from ledger.contracts.chains import ChainStatus
from ledger.jobs.chains import MAX_CHAIN_JOBS

NAME = path_parameter("name", "Name of the chain: the id of its first job; the others are `name/2`, `name/3`, ...")
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/chains/{name}",
        name="submitChain",
        tag="jobs",
        summary="Submit a chain of jobs: each is queued when the one before has succeeded.",
        description=(
            "The chain is accepted as a whole or refused. The same chain again is the same chain. If a job does not "
            "succeed, those after it end as `predecessor_failed`. Kinds need the same roles as in `submitJob`."
        ),
        role=Role.PRODUCER,
        parameters=(NAME, CORRELATION, *TRACE, DURABLE, NOT_BEFORE, AFTER),
        body={"type": "array", "items": JOB, "minItems": 1, "maxItems": MAX_CHAIN_JOBS},
        answers={
            201: Answer(description="The jobs are accepted: their receipts in order.", body=ChainReply),
            200: Answer(description="The same chain is known.", body=ChainReply),
        },
        problems={409: "The job `after` cannot succeed any more."},
    ),
    Operation(
        method="GET",
        path="/v1/chains/{name}",
        name="chainStatus",
        tag="jobs",
        summary="Return the state of a chain and of its jobs.",
        role=Role.READER,
        parameters=(NAME,),
        answers={200: Answer(description="Its state; `step` is the number of the current job.", body=ChainStatus)},
        problems=GONE,
    ),
    Operation(
        method="POST",
        path="/v1/chains/{name}/cancel",
        name="cancelChain",
        tag="jobs",
        summary="Cancel the jobs of a chain that have not ended.",
        role=Role.PRODUCER,
        parameters=(NAME,),
        answers={200: Answer(description="Its state.", body=ChainStatus)},
        problems=GONE,
    ),
)
