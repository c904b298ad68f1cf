"""A clock of the server's own, which can be set while it runs.

A small library, loaded into the server before all others, adds what stands in a file to its time of day; not to the
clock that only grows, by which it waits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.preloaded_library import PreloadedLibrary

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
        self._library, self._offset = PreloadedLibrary(folder, "clock", _SOURCE), folder / "clock"
        self._offset.write_bytes(struct.pack("=q", 0))
        self.usable = self._library.usable

    def starter(self, binary: Path) -> Path:
        """Return what starts a program under this clock; where there is none, the program."""
        return self._library.starter(binary, "CHAOS_SERVER_CLOCK", self._offset) if self.usable else binary

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
