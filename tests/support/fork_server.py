"""A process that imports slow modules once and forks the programs that tests start.

Importing the engine takes two seconds of a processor, the gateway's framework one, and a test run starts more than a
hundred pools and fifty gateways and relays. A program that is forked here has a process id and a session of its own,
the environment, arguments and log file that it is given, and ends as an interpreter ends. It shares memory with the
server, and its libraries are loaded before it starts: tests of either start their pools as interpreters of their own,
with the mark `new_interpreter`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from tests.support.shared_files import RUN_PROCESS, made_once

ROOT = Path(__file__).parents[2]
MAX_MESSAGE_BYTES = 2**20
ADDRESS = "socket"


class ForkedProcess:
    """A program forked by a server, with those methods of `subprocess.Popen` that tests use."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._ended = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the program runs."""
        return self._reap(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the program and return its exit code. Raises subprocess.TimeoutExpired."""
        code = self._reap(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Send SIGTERM unless the program has ended."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL unless the program has ended."""
        self.send_signal(signal.SIGKILL)

    def _reap(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            self.returncode = int(self._server.ask({"reap": self.pid}))
            os.close(self._ended)
        return self.returncode


class ForkServer:
    """A connection to the process that has imported some modules: the first of a run starts it, for all of them.

    It ends when the run does. Start it before anything is to be forked from it.
    """

    def __init__(self, name: str, modules: Sequence[str]) -> None:
        folder = made_once(f"{name}-server", lambda folder: _start(folder / ADDRESS, modules))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(str(folder / ADDRESS))

    def start(
        self, program: Sequence[str], *, environment: Mapping[str, str], log: Path, stdout: int | None = None
    ) -> ForkedProcess:
        """Fork a program, given as the interpreter's arguments: `-m module ...` or `script.py ...`.

        Its output is appended to the log, but for its standard output if a file descriptor is given for that.
        """
        given = {"program": [*program], "environment": {**environment}}
        with log.open("ab") as stream:
            files = [stream.fileno() if stdout is None else stdout, stream.fileno()]
            return ForkedProcess(self, int(self.ask(given, files)))

    def ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        """Send a request, with file descriptors, and return the reply."""
        socket.send_fds(self._socket, [json.dumps(request).encode()], files)
        reply = self._socket.recv(MAX_MESSAGE_BYTES)
        assert reply, "the fork server has ended"
        return json.loads(reply)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _start(address: Path, modules: Sequence[str]) -> None:
    """Start a server that listens already, in a process that has this one as no parent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(address))
        listener.listen()
        subprocess.run(
            [sys.executable, "-m", __name__, str(listener.fileno()), *modules],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C is for the tests
            check=True,
        )


def _serve(listener: socket.socket, run: int) -> None:
    """Answer requests until the run's process ends; in a forked process, become what it is to run."""
    connections: list[socket.socket] = []
    while True:
        ready = select.select([run, listener, *connections], [], [])[0]
        if run in ready:
            return
        if listener in ready:
            connections.append(listener.accept()[0])
        for connection in [known for known in connections if known in ready]:
            request, files = _receive(connection)
            if not request:
                connections.remove(connection)
                connection.close()
                continue
            reply = _answer(json.loads(request), files, [listener, *connections])
            with suppress(ConnectionError):  # the next receipt says so, too
                connection.send(json.dumps(reply).encode())


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return the next request and its file descriptors; nothing if the other end is closed or was killed."""
    try:
        request, files, _, _ = socket.recv_fds(connection, MAX_MESSAGE_BYTES, 2)
    except ConnectionError:
        return b"", []
    return request, files


def _answer(wish: Mapping[str, Any], files: Sequence[int], sockets: Sequence[socket.socket]) -> int:
    """Reap a forked process and return its exit code, or fork one, without the server's sockets."""
    if "reap" in wish:
        return os.waitstatus_to_exitcode(os.waitpid(wish["reap"], 0)[1])
    pid = os.fork()
    if pid == 0:
        for connection in sockets:
            connection.close()
        _run(wish["program"], wish["environment"], files)
    for file in files:
        os.close(file)
    return pid


def _run(program: Sequence[str], environment: Mapping[str, str], files: Sequence[int]) -> NoReturn:
    """Become a program: the process ends with it."""
    os.setsid()
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it is chosen by the environment
    if program[0] == "-m":
        sys.argv = [*program[1:]]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [*program]
        runpy.run_path(program[0], run_name="__main__")
    sys.exit()


def main() -> None:
    """Import the modules named in the arguments, then serve the socket whose number is the first of them."""
    run = os.pidfd_open(int(os.environ[RUN_PROCESS]))
    if os.fork():
        os._exit(0)
    from workers.pool.library_threads import pin_environment

    pin_environment()  # as a pool does before it imports the engine
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.freeze()  # so that a collection in a forked process copies no page
    _serve(socket.socket(fileno=int(sys.argv[1])), run)
    os._exit(0)  # what was imported need not be taken down


if __name__ == "__main__":
    main()
