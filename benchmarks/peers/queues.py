"""The queues of the contest: configuration of each, the advice of its documentation, and what that promises."""

from __future__ import annotations

from dataclasses import dataclass

OURS, RAW_LIST = "cornerman", "raw list"


@dataclass(frozen=True)
class Queue:
    """A configured queue with two worker processes.

    Attributes
    ----------
    name
        Name in the tables.
    program
        Module in `programs`.
    commands
        How its workers are started; `{python}` and `{bin}` are those of its environment, `{url}` is the server's
        address.
    advice
        What its documentation says that led to this configuration, and where.
    killed
        What its documentation says of a job whose worker is killed, and where.
    requirements
        File in `requirements`; None for the environment of this project.
    variant
        Variant of the program's configuration.
    jobs_share
        Share of the backlog's jobs for a slow queue, so that its backlogs take seconds and not minutes.
    """

    name: str
    program: str
    commands: tuple[tuple[str, ...], ...]
    advice: str
    killed: str
    requirements: str | None = "main"
    variant: str = ""
    jobs_share: float = 1.0


_HUEY = ("{python}", "-m", "huey.bin.huey_consumer", "huey_program.huey", "-k", "process", "-w", "2")
_HUEY_KILLED = "lost: no acknowledgement, at most once (consumer.html, Consumer shutdown)"
_TASKIQ = ("{bin}/taskiq", "worker", "taskiq_program:broker", "--workers", "2")
_RQ = ("{bin}/rq", "worker-pool", "-n", "2", "-u", "{url}/0", "-P", ".")
_RQ_KILLED = "not run again: ends as failed (AbandonedJobError) at the next cleaning (docs/exceptions)"

QUEUES = (
    Queue(
        RAW_LIST,
        "raw_program",
        (("{python}", "raw_program.py"), ("{python}", "raw_program.py")),
        "no library: LPUSH and BRPOP; the floor of what a round trip costs",
        "lost",
    ),
    Queue(
        "huey",
        "huey_program",
        (_HUEY,),
        "`-k process` for work of the processor (consumer.html, Worker types)",
        _HUEY_KILLED,
    ),
    Queue(
        "huey, notified",
        "huey_program",
        (_HUEY,),
        "`notify_result=True` for results with little delay (guide.html, RedisHuey)",
        _HUEY_KILLED,
        variant="notified",
    ),
    Queue(
        "taskiq, streams",
        "taskiq_program",
        (_TASKIQ,),
        "`RedisStreamBroker`, the first example, where data must last; results expire (README of taskiq-redis)",
        "delivered again: the stream supports acknowledgements (README of taskiq-redis)",
    ),
    Queue(
        "taskiq, lists",
        "taskiq_program",
        (_TASKIQ,),
        "`ListQueueBroker`, if acknowledgements are not wanted (README of taskiq-redis)",
        "lost: no acknowledgements (README of taskiq-redis)",
        variant="lists",
    ),
    Queue(
        "Dramatiq",
        "dramatiq_program",
        (("{bin}/dramatiq", "dramatiq_program", "--processes", "2"),),
        "as many processes as processors, threads by default (guide.html, Workers); results (guide.html, Results)",
        "requeued when the worker's heartbeat is over (changelog, RedisBroker); actors must be idempotent "
        "(best_practices.html)",
        jobs_share=0.3,
    ),
    Queue(
        "RQ",
        "rq_program",
        (_RQ,),
        "`rq worker-pool`; a fork for each job in production (benchmark.md: run Worker or SpawnWorker)",
        _RQ_KILLED,
        jobs_share=0.05,
    ),
    Queue(
        "RQ, SimpleWorker",
        "rq_program",
        ((*_RQ, "-w", "rq.worker.SimpleWorker"),),
        "without a fork, only for trusted jobs of a few ms (benchmark.md)",
        _RQ_KILLED,
        jobs_share=0.3,
    ),
    Queue(
        "SAQ",
        "saq_program",
        (("{bin}/saq", "saq_program.settings", "--workers", "2"),),
        "the README's example; 10 jobs at once in a process",
        "swept as stuck: aborted, or retried if it has retries left (README: heartbeat monitor, sweeping)",
        "saq",
        jobs_share=0.3,
    ),
    Queue(
        "arq",
        "arq_program",
        (("{bin}/arq", "arq_program.WorkerSettings"), ("{bin}/arq", "arq_program.WorkerSettings")),
        "the first example, one command a worker; it polls its queue every 0.5 s by default",
        "run again, perhaps more than once: it stays in the queue until it has ended (index.html, Usage)",
        "arq",
        jobs_share=0.3,
    ),
    Queue(
        "Celery",
        "celery_program",
        (("{bin}/celery", "-A", "celery_program", "worker", "-c", "2", "--loglevel", "WARNING"),),
        "64 messages fetched ahead for short tasks (userguide/optimizing.html, Prefetch limits)",
        "lost by default: acknowledged before it runs (glossary.html, early acknowledgment)",
        jobs_share=0.3,
    ),
    Queue(
        OURS,
        "cornerman_program",
        (("{python}", "-m", "benchmarks.queue.noop_pool", "--pool", "predict", "--concurrency", "2"),),
        "a pool as shipped, whose handlers return at once",
        "run again after its lease or at once, at most 3 times; then it ends as `worker_lost` "
        "([promises](delivery.md))",
        None,
    ),
)
