"""What an outcome was made from beside its job: enough to make it again, and to say what differs where it does.

It stands in the job's record next to the outcome, not in the report, which is the same bytes whoever wrote it. Outcomes
that no worker made (a worker lost, a limit, a deadline) have none.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct


class Surroundings(Struct, frozen=True, kw_only=True):
    """The machine and the software: within one of these the same job under the same model is the same bits.

    `processor` is its architecture and model; `libraries` are versions by name, with those of Python and cornerman.
    """

    processor: str
    libraries: dict[str, str]


class Origin(Struct, frozen=True, kw_only=True):
    """What decided an outcome, beside the job's payload.

    `claimed_at` is the moment as of which the age of quotes was judged. `models` says which model each name stood for,
    as the job asked for it. `controls` are those of the operator's, set when it was claimed, that can change an answer.
    """

    claimed_at: datetime
    models: dict[str, str]
    controls: dict[str, bool | int | str]
    surroundings: Surroundings


_decoder = msgspec.json.Decoder(Origin)
_encoder = msgspec.json.Encoder(order="sorted")


def encode_origin(origin: Origin) -> bytes:
    """Write an origin as canonical JSON."""
    return _encoder.encode(origin)


def decode_origin(text: bytes) -> Origin:
    """Read an origin. Raises msgspec.DecodeError."""
    return _decoder.decode(text)
