"""Memory that the shared libraries of this process take, returned to the system."""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")
_READ_ONLY_LIBRARY = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) r-[x-]p [^\n]+\.so[.0-9]*\n((?:[A-Z][^\n]*\n)*)", re.MULTILINE
)
_MODIFIED = re.compile(rb"^(?:Private_Dirty|Anonymous|Swap): +[1-9]", re.MULTILINE)


def release_library_pages() -> None:
    """Release the pages of shared libraries that equal their files; those that are used again come back by themselves.

    What a library executes once as it is loaded would stay resident: 68 MB of numba's compiler alone, which does
    nothing after machine code was read from its cache. The kernel maps a released page again on its next use, from its
    cache of files and 16 pages at once. To be called when loading has ended, not while another thread loads a library.
    Mappings that can be written, or ever were, are left alone. Does nothing without `/proc` or `madvise`.
    """
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is None or not _SMAPS.exists():
        return
    for mapping in _READ_ONLY_LIBRARY.finditer(_SMAPS.read_bytes()):
        if not _MODIFIED.search(mapping[3]):
            start, end = int(mapping[1], 16), int(mapping[2], 16)
            # A refusal, such as for locked pages, leaves them resident.
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
