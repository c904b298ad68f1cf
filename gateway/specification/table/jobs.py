"""Operations of jobs: submit, status, outcome, cancel, replay, and their event streams."""

from __future__ import annotations

from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, header, path_parameter, query
from gateway.specification.table import examples
from ledger.contracts.job_state import JobState, JobStatus, Outcome, Receipt
from ledger.jobs.job_history import JobHistory
from ledger.jobs.job_index import MAX_PAGE_JOBS, JobPage

JOB_ID = path_parameter("job_id", "Id of the job.")
KEY = header(
    "Idempotency-Key",
    "Id of the job; by default a digest of its content. The same job with the same key is the same job.",
    minLength=1,
    maxLength=200,
)
CORRELATION = header(
    "X-Correlation-ID",
    "Text that the outcome repeats; by default the id of the request.",
    maxLength=200,
)
TRACE = (
    header(
        "traceparent",
        "Trace that the job belongs to, and the span that submits it (W3C Trace Context); an invalid one is ignored.",
    ),
    header("tracestate", "State of the trace's vendors; it goes with `traceparent`."),
)
DURABLE = query(
    "durable",
    "`true`: answer only after the server has the job on disk. `replica`: after replicas have it, too.",
    anyOf=[{"type": "boolean"}, {"enum": ["replica"]}],
    default=False,
)
NOT_BEFORE = query(
    "not_before", "Wait until this time of the server's clock before it is queued.", type="string", format="date-time"
)
AFTER = query("after", "Id of a job that has to succeed before it is queued.", type="string", maxLength=200)
JOB = {"$ref": "#/components/schemas/Job"}
GONE = {404: "The job was never submitted.", 410: "The job ended and its retention is over."}
MADE = {
    201: Answer(description="The job is accepted.", body=Receipt, headers=("Location",)),
    200: Answer(description="The same job is known; `created` is false.", body=Receipt, headers=("Location",)),
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/jobs",
        name="submitJob",
        tag="jobs",
        summary="Submit a job.",
        description=(
            "The job is accepted as a whole or refused, and an accepted job gets exactly one outcome, whatever fails. "
            "After an error of the connection submit it again: the same content, or the same key, is the same job. "
            "All kinds but `predict_card`, `check_health` and `replay` need the role operator."
        ),
        role=Role.PRODUCER,
        parameters=(
            KEY,
            CORRELATION,
            *TRACE,
            DURABLE,
            NOT_BEFORE,
            AFTER,
            query(
                "supersede",
                "Of a card: it replaces the earlier jobs of the same card, model, options and caller.",
                type="boolean",
                default=False,
            ),
            query(
                "supersedes",
                "Card, or id of a job, that the card replaces, too: for example, the card before its start moved.",
                type="string",
                maxLength=200,
            ),
        ),
        body=JOB,
        examples=examples.jobs(),
        answers=MADE,
        problems={
            409: "The server cannot confirm the write that `durable` asks for; the job is accepted. Or, with a `code`: "
            "the job `after` cannot succeed any more (`predecessor_failed`), another job has newer prices of the card "
            "(`superseded`).",
        },
    ),
    Operation(
        method="GET",
        path="/v1/jobs",
        name="listJobs",
        tag="jobs",
        summary="Return a page of jobs, newest first.",
        description="`state` and `kind` may be repeated. A page may be short, or empty, although there are more jobs.",
        role=Role.READER,
        parameters=(
            query("state", "Only in these states.", type="array", items={"enum": sorted(JobState)}),
            query("kind", "Only of these kinds.", type="array", items={"type": "string"}),
            query("caller", "Only those of this caller.", type="string", maxLength=200),
            query("card", "Only those of the card with this id.", type="string", maxLength=200),
            query("since", "Submitted at this time or later.", type="string", format="date-time"),
            query("until", "Submitted before this time.", type="string", format="date-time"),
            query("internal", "Also those that workers submit for each other.", type="boolean", default=False),
            query("limit", "Jobs at most.", type="integer", minimum=1, maximum=MAX_PAGE_JOBS, default=50),
            query("cursor", "`cursor` of the page before.", type="string", maxLength=300),
        ),
        answers={200: Answer(description="Jobs; `cursor` continues with the next page.", body=JobPage)},
        problems={422: "No kind, state or caller has this name, or it is no cursor; `detail` says which."},
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}",
        name="jobStatus",
        tag="jobs",
        summary="Return the state of a job.",
        role=Role.READER,
        parameters=(JOB_ID,),
        answers={200: Answer(description="Its state.", body=JobStatus)},
        problems=GONE,
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/outcome",
        name="jobOutcome",
        tag="jobs",
        summary="Return the outcome of a job, waiting for it if asked to.",
        role=Role.READER,
        parameters=(
            JOB_ID,
            query(
                "wait",
                "Seconds to wait for the outcome; the gateway may wait less.",
                type="number",
                minimum=0,
                default=0,
            ),
        ),
        answers={
            200: Answer(description="The outcome: a report or a failure.", body=Outcome),
            202: Answer(description="There is no outcome yet: the state.", body=JobStatus),
        },
        problems={**GONE, 502: "A newer version wrote the outcome."},
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/history",
        name="jobHistory",
        tag="jobs",
        summary="Return the history of a job: its claims, how each ended, and the log lines about it.",
        role=Role.READER,
        parameters=(JOB_ID,),
        answers={200: Answer(description="What happened to the job, oldest first.", body=JobHistory)},
        problems=GONE,
    ),
    Operation(
        method="POST",
        path="/v1/jobs/{job_id}/cancel",
        name="cancelJob",
        tag="jobs",
        summary="Cancel a job, waiting, queued or running; a job that has ended keeps its outcome.",
        role=Role.PRODUCER,
        parameters=(JOB_ID,),
        answers={200: Answer(description="Its state.", body=JobStatus)},
        problems=GONE,
    ),
    Operation(
        method="POST",
        path="/v1/jobs/{job_id}/replay",
        name="replayJob",
        tag="jobs",
        summary="Submit a `replay` job, which recomputes the stored outcome of another job and compares them.",
        description="A training or a backtest is recomputed as a `retrain` job, for which the role operator is needed.",
        role=Role.PRODUCER,
        parameters=(
            JOB_ID,
            *TRACE,
            query("retrain", "Recompute a training or a backtest in full.", type="boolean", default=False),
        ),
        answers={201: MADE[201]},
        problems={
            **GONE,
            409: "The job has no outcome yet.",
            422: "It takes as long as the job did, and `retrain` is not set.",
        },
    ),
)
