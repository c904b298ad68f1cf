"""Provenance of an outcome: the inputs besides the job itself, enough to recompute it and to explain a difference.

Stored in the job's record next to the outcome, not in the report, so that equal reports are equal bytes whatever worker
wrote them. Outcomes that no worker produced (a lost worker, a limit, a deadline) have none.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from ledger.contracts.bets import BettingRoom
from ledger.contracts.job_reports.update_report import FighterState
from ledger.contracts.jobs import DevigMethod
from ledger.contracts.lazy_decoder import LazyDecoder


class RuntimeEnvironment(Struct, frozen=True, kw_only=True):
    """Hardware and software of a worker. In equal environments the same job and model give the same bits.

    Attributes
    ----------
    processor
        Architecture and model of the processor.
    libraries
        Versions by name, Python and cornerman included.
    """

    processor: str
    libraries: dict[str, str]


class Provenance(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Inputs that decided an outcome, besides the job's payload.

    Attributes
    ----------
    claimed_at
        Time at which the age of quotes was checked.
    models
        Digest of the model by alias, as the job named it.
    controls
        Operator controls at the time of the claim that can change an answer.
    surroundings
        Environment of the worker.
    devig_method
        Of a card: the method that removed the bookmakers' margins. A job that leaves it to the default does not name
        it, and the default of a later version may be another.
    states
        The fighters' state of each of these models that has one, by the model's digest.
    room
        Of a card: what the caps on bets left, if there were any; see `ledger.contracts.bets.BettingRoom`.
    """

    claimed_at: datetime
    models: dict[str, str]
    controls: dict[str, bool | int | str]
    surroundings: RuntimeEnvironment
    devig_method: DevigMethod | None = None
    states: dict[str, FighterState] = {}
    room: BettingRoom | None = None


_decoder: LazyDecoder[Provenance] = LazyDecoder(Provenance)
_encoder = msgspec.json.Encoder(order="sorted")


def encode_provenance(origin: Provenance) -> bytes:
    """Encode a provenance as canonical JSON."""
    return _encoder.encode(origin)


def decode_provenance(text: bytes) -> Provenance:
    """Decode a provenance. Raises msgspec.DecodeError."""
    return _decoder.decode(text)
