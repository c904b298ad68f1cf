"""A clock of the server's own, which can be set while it runs.

A small library, loaded into the server before all others, adds what stands in a file to its time of day; not to the
clock that only grows, by which it waits. To build it takes a C compiler.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static const volatile long long *offset;

__attribute__((constructor)) static void load(void) {
  void *page = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, open(getenv("CHAOS_SERVER_CLOCK"), O_RDONLY), 0);
  if (page != MAP_FAILED) offset = page;
}

int gettimeofday(struct timeval *now, void *zone) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int result = real(now, zone);
  if (offset) now->tv_sec += *offset;
  return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (offset && clock == CLOCK_REALTIME) now->tv_sec += *offset;
  return result;
}

time_t time(time_t *now) {
  struct timeval exact;
  gettimeofday(&exact, 0);
  if (now) *now = exact.tv_sec;
  return exact.tv_sec;
}
"""


class Clock:
    """What a server takes for the time of day. `usable` is whether it could be built."""

    def __init__(self, folder: Path) -> None:
        source, self._library, self._offset = folder / "clock.c", folder / "clock.so", folder / "clock"
        source.write_text(_SOURCE)
        self._offset.write_bytes(struct.pack("=q", 0))
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(source), "-ldl"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.usable = False
        else:
            self.usable = True

    def starter(self, binary: Path) -> Path:
        """Return what starts a program under this clock; where there is none, the program."""
        if not self.usable:
            return binary
        script = self._library.with_name("server")
        words = f"LD_PRELOAD='{self._library}' CHAOS_SERVER_CLOCK='{self._offset}' exec '{binary}' \"$@\""
        script.write_text(f"#!/bin/sh\n{words}\n")
        script.chmod(0o755)
        return script

    @contextmanager
    def set(self, seconds: int) -> Iterator[None]:
        """Set it forward or back, and right at the end."""
        self.move(seconds)
        yield
        self.move(0)

    def move(self, seconds: int) -> None:
        """Let it differ from the right time by so many seconds from now on."""
        with self._offset.open("r+b") as offset:  # in its place: the server has it mapped
            offset.write(struct.pack("=q", seconds))
