"""The commands of `cornerman`: the module of each in `producer.cli.commands`, and its summary line."""

from __future__ import annotations

from producer.cli.lazy_group import LazyCommand

COMMANDS = {
    "demo": LazyCommand("demo", "Demonstrate the service, then stop it."),
    "up": LazyCommand("up", "Run a server and the worker pools until Ctrl-C."),
    "worker": LazyCommand("up", "Run one worker pool."),
    "serve": LazyCommand("up", "Run a gateway: HTTP, event streams and pages."),
    "relay": LazyCommand("operations.webhooks", "Deliver outcomes to webhooks, without a gateway."),
    "check": LazyCommand("check", "Check a fight log or a feature matrix."),
    "train": LazyCommand("train", "Train an ensemble."),
    "backtest": LazyCommand("backtest", "Forecast past fights and score the forecasts."),
    "predict": LazyCommand("predict", "Predict the rows of a feature matrix on this machine."),
    "enqueue": LazyCommand("enqueue", "Enqueue a feed's cards, or one card."),
    "result": LazyCommand("jobs", "Wait for a job's outcome and show it."),
    "follow": LazyCommand("jobs", "Show every outcome as it arrives, with the bets of cards."),
    "cancel": LazyCommand("jobs", "Cancel a job that is waiting, queued or running."),
    "replay": LazyCommand("replay", "Recompute a stored outcome and compare."),
    "feed": LazyCommand("feeds.feed", "Run odds feeds: retrieve, store prices, submit cards."),
    "prices": LazyCommand("feeds.prices", "Show the price histories of fights."),
    "status": LazyCommand("operations.status", "Show the state of a job, or an overview."),
    "alerts": LazyCommand("operations.alerts", "Show what is wrong now, and what to do."),
    "audit": LazyCommand("bets.audit", "Export what happened in a ledger, and verify such files."),
    "bets": LazyCommand("bets.bets", "Manage the register of bets, and review it."),
    "health": LazyCommand("operations.health", "Have a worker load a model and verify it."),
    "models": LazyCommand("models.model_commands", "List and manage trained models."),
    "fight-results": LazyCommand("fight_results", "Manage the results of fights."),
    "fight-log": LazyCommand("feeds.fight_log", "Import fights and results into a fight log."),
    "jobs": LazyCommand("job_lists", "List and search stored jobs, and show the history of one."),
    "archive": LazyCommand("operations.archive", "Manage the archive of outcomes."),
    "chains": LazyCommand("chains", "Submit, show and cancel chains of jobs."),
    "dead-letters": LazyCommand("operations.dead_letters", "Manage jobs that ended as worker_lost."),
    "quarantine": LazyCommand("operations.quarantine", "Manage queue items that no ledger wrote."),
    "tokens": LazyCommand("operations.tokens", "Manage tokens of gateways and limits of callers."),
    "webhooks": LazyCommand("operations.webhooks", "Manage webhooks: URLs to which outcomes are posted."),
    "schedules": LazyCommand("operations.schedules", "Manage schedules of jobs."),
    "preflight": LazyCommand("preflight", "Run the deployment checklist on this machine."),
    "set": LazyCommand(
        "operations.controls", "Change live controls, all of those named or none.", attribute="set_controls"
    ),
    "unset": LazyCommand("operations.controls", "Reset controls to their defaults."),
    "scale": LazyCommand("operations.controls", "Set the number of children of every pool of a kind to N."),
    "pause": LazyCommand("operations.controls", "Pause a queue: workers claim no more of its jobs."),
    "resume": LazyCommand("operations.controls", "Resume a queue that was paused, or a node that was drained."),
    "drain": LazyCommand("operations.controls", "Drain a node: finish its jobs and claim no more."),
    "compression": LazyCommand("operations.compression", "Show or switch compression of stored payloads and reports."),
}
