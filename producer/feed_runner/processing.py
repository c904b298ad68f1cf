"""What is done with each reading of a feed: price history, changes of fights, and cards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from producer.client import Client
from producer.feed_runner.card_policy import CardPolicy, submit_moved_cards
from producer.feed_runner.fight_changes import moved_cards, record_fight_changes
from producer.feed_runner.listing import MISSING_TIME
from producer.feed_runner.reading import Reading


def process_reading(
    client: Client,
    feed: str,
    reading: Reading,
    policy: CardPolicy | None,
    missing_time: timedelta = MISSING_TIME,
) -> dict[str, int]:
    """Store the prices and fights of a reading and submit its cards; repeating it changes nothing.

    Parameters
    ----------
    client
        A client whose writes carry the fence of the feed's leader.
    feed
        Name of the feed.
    reading
        The reading.
    policy
        When a card gets a new answer; None to submit no cards. Those that have begun are never submitted.
    missing_time
        How long a fight has been missing before it counts as withdrawn.

    Returns
    -------
    dict
        `changes` of prices, and `cards` that made a new job.

    Raises
    ------
    JobRefusedError
        The server has no memory for new prices.
    LeadershipLostError
        Another runner leads the feed now.
    LedgerUnavailableError
        The server does not answer; process the same reading again.
    """
    ledger = client.ledger
    read_at = reading.retrieval.read_at
    changes = ledger.prices.record_cards(reading.cards, read_at, skip_faulty=True)
    unreadable = {error.event for error in reading.refused if error.event is not None}
    record_fight_changes(ledger, feed, reading.cards, read_at, unreadable=unreadable, missing_time=missing_time)
    if policy is None:
        return {"changes": changes, "cards": 0}
    now = datetime.fromtimestamp(ledger.server.time(), UTC)
    cards = [card for card in reading.cards if card.event_start > now]
    entries = submit_moved_cards(client, cards, policy, replaces=moved_cards(ledger, feed, reading.cards))
    return {"changes": changes, "cards": sum(entry.receipt is not None and entry.receipt.created for entry in entries)}
