"""Whatever stands on a doorbell's list, Celery is handed the same words."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.settings import LedgerSettings
from workers.broker.kombu_transport import DOORBELL_TASK, Channel, doorbell_message

forged = st.fixed_dictionaries(
    {
        "body": st.text(),
        "headers": st.fixed_dictionaries({"task": st.text(), "timelimit": st.lists(st.floats(), max_size=2)}),
        "properties": st.dictionaries(st.text(), st.text()),
    }
).map(lambda message: json.dumps(message).encode())


def heard(item: bytes) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """What Celery receives, without the ids that it gets for its own use, and what was quarantined."""
    aside: list[tuple[str, bytes]] = []
    channel = Channel.__new__(Channel)
    channel.ledger_settings = LedgerSettings(namespace="shop")
    channel.quarantine = lambda queue, odd: aside.append((queue, odd))
    queue, text = channel._on_popped(b"shop:doorbell:predict", item)
    assert queue == "predict"
    message = json.loads(text)
    for holder, name in (("headers", "id"), ("headers", "root_id"), ("properties", "correlation_id")):
        assert message[holder].pop(name)
    assert message["properties"].pop("delivery_tag")
    return message, aside


@given(st.binary() | forged)
def test_an_item_cannot_say_anything(item: bytes) -> None:
    plain, nothing = heard(b"!")
    message, aside = heard(item)
    assert message == plain
    assert aside == ([] if item == b"!" else [("predict", item)])
    assert nothing == []


def test_the_message_names_a_queue_and_no_limit() -> None:
    message = doorbell_message("train")
    assert message["headers"]["task"] == DOORBELL_TASK
    assert json.loads(message["body"]) == [["train"], {}, {}]
    assert not {"timelimit", "eta", "expires", "callbacks", "errbacks", "chord", "chain"} & set(message["headers"])
