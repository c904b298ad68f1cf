"""Identity of a fighter snapshot: a digest of its arrays, so that an answer can name the state that it used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

import numpy as np

from engine.data.fighter_snapshot import FighterSnapshot


@dataclass(frozen=True, slots=True)
class StateIdentity:
    """Which fighters' state a model answers from.

    Attributes
    ----------
    digest : str
        SHA-256 over the arrays of the snapshot, 64 hexadecimal digits.
    cutoff : date
        Day of the last fight in it.
    """

    digest: str
    cutoff: date


def identify_snapshot(snapshot: FighterSnapshot) -> StateIdentity:
    """Return the identity of a snapshot; two snapshots have the same one if their arrays are equal to the bit."""
    content = hashlib.sha256()
    for name, array in sorted(snapshot.to_arrays().items()):
        values = np.ascontiguousarray(array)
        content.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        content.update(values.tobytes())
    return StateIdentity(content.hexdigest(), snapshot.data_cutoff)
