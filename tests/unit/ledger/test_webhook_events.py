"""Which outcomes a webhook receives."""

from __future__ import annotations

import time

import pytest
from msgspec import structs

from ledger.contracts.webhooks import WebhookDefinition
from ledger.webhooks.events import StoredOutcome, matches, matches_pattern

URL = "https://example.com"
CARD = StoredOutcome(
    job_id="j", kind="predict_card", state="succeeded", settled_ms=1, card_id="ufc-300", decision="bet"
)
FAILED = structs.replace(CARD, state="failed", decision=None)
TRAINING = StoredOutcome(
    job_id="t", kind="train_ensemble", state="succeeded", settled_ms=1, card_id=None, decision=None
)
HEALTH = structs.replace(TRAINING, kind="check_health")


@pytest.mark.parametrize(
    ("filters", "matching"),
    [
        ({}, [CARD, FAILED, TRAINING]),
        ({"kinds": ("predict_card",)}, [CARD, FAILED]),
        ({"kinds": ("check_health",)}, [HEALTH]),
        ({"states": ("failed", "expired")}, [FAILED]),
        ({"decision": "bet"}, [CARD]),
        ({"decision": "abstain"}, []),
        ({"cards": ("ufc-299", "ufc-3*")}, [CARD, FAILED]),
        ({"cards": ("ufc-299",)}, []),
        ({"cards": ("*",)}, [CARD, FAILED]),
        ({"cards": ("*",), "states": ("failed",)}, [FAILED]),
    ],
)
def test_an_outcome_must_pass_every_filter(filters: dict[str, object], matching: list[StoredOutcome]) -> None:
    webhook = WebhookDefinition(url=URL, **filters)  # type: ignore[arg-type]
    assert [each for each in (CARD, FAILED, TRAINING, HEALTH) if matches(webhook, each)] == matching


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("a*", "a", True),
        ("*", "", True),
        ("a*c", "ac", True),
        ("a*c", "abc", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c", False),
        ("ab*ba", "aba", False),
        ("*b*b*", "ab", False),
        ("a[b]?", "a[b]?", True),
        ("a?", "ab", False),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, text: str, expected: bool) -> None:
    assert matches_pattern(pattern, text) is expected


def test_no_pattern_takes_long() -> None:
    started = time.process_time()
    assert not matches_pattern("*a" * 100 + "b", "a" * 200)
    assert time.process_time() - started < 1


def test_deliveries_of_one_card_share_a_key_and_other_jobs_have_their_own() -> None:
    assert CARD.key == FAILED.key != structs.replace(CARD, card_id="ufc-301").key
    assert TRAINING.key != structs.replace(TRAINING, job_id="other").key
    assert structs.replace(TRAINING, job_id="ufc-300").key != CARD.key
