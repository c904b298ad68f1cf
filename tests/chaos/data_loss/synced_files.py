"""A power cut: every file of a server is cut back to the length that its last successful sync had covered.

A small library, loaded into the server before all others, notes the length that a file has when `fsync` or `fdatasync`
begins, once that call has succeeded: what was written later may not be on the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos.preloaded_library import PreloadedLibrary

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int synced(int file, const char *name) {
  int (*real)(int) = dlsym(RTLD_NEXT, name);
  struct stat before;
  int known = fstat(file, &before) == 0 && S_ISREG(before.st_mode);
  int result = real(file);
  if (result == 0 && known) {
    char line[64];
    unsigned long long inode = before.st_ino, size = before.st_size;
    int length = snprintf(line, sizeof line, "%llu %llu\n", inode, size);
    int journal = open(getenv("CHAOS_SYNCED"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (write(journal, line, length) != length) abort();
    close(journal);
  }
  return result;
}

int fsync(int file) { return synced(file, "fsync"); }
int fdatasync(int file) { return synced(file, "fdatasync"); }
"""


class SyncedFiles:
    """The lengths that syncs have covered, of the files of one server. `usable` is whether it could be built."""

    def __init__(self, folder: Path) -> None:
        self._library, self._journal = PreloadedLibrary(folder, "synced", _SOURCE), folder / "synced"
        self.usable = self._library.usable

    def starter(self, binary: Path) -> Path:
        """Return what starts a program whose syncs are noted."""
        return self._library.starter(binary, "CHAOS_SYNCED", self._journal)

    def cut(self, folder: Path) -> int:
        """Cut the files of a folder, whose server is dead, back to what was synced; return how many bytes went."""
        lengths: dict[int, int] = {}
        for line in self._journal.read_text().splitlines():
            inode, length = map(int, line.split())
            lengths[inode] = max(length, lengths.get(inode, 0))
        dropped = 0
        for path in folder.rglob("*"):
            if path.is_file():
                facts = path.stat()
                length = min(lengths.get(facts.st_ino, 0), facts.st_size)
                dropped += facts.st_size - length
                os.truncate(path, length)
        return dropped
