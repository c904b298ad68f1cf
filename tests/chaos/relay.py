"""`python -m tests.chaos.relay`: a relay for which every tenth job is of the same card.

Few jobs of a chaos run are cards. So that there is an order to keep, the ordering key of a job is made of its number,
as the card_id of a card is. Everything else is the relay as it is.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from gateway.webhooks.__main__ import main
from ledger.webhooks import events
from tests.chaos.jobs import CARDS, card_id

_real_key = events.ordering_key


def card_of(job_id: str) -> int:
    """Return the number of the card to which a job of the run counts."""
    return int(job_id.rpartition("-")[2]) % CARDS


def _key(text: str) -> str:
    word, _, job_id = text.partition(" ")
    return _real_key(f"card {card_id(card_of(job_id))}" if word == "job" else text)


if __name__ == "__main__":
    with patch.object(events, "ordering_key", _key):
        sys.exit(main())
