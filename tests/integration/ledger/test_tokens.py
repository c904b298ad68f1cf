"""Tokens of gateways: made once, found by their text, revoked for ever; and what their callers may ask for."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ledger.async_ledger import AsyncLedger
from ledger.contracts.failures import JobRefusedError, QuotaExceededError
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.operations.tokens import CallerLimits, NewToken, Role, UnknownTokenError
from tests.support.claims import OWNER

AUDIT = {"user": "ana@ops", "reason": "a test"}


def create(ledger: Ledger, caller: str = "odds-east", role: Role = Role.PRODUCER, **options: object) -> NewToken:
    return ledger.tokens.create(caller, role, **AUDIT, **options)  # type: ignore[arg-type]


def everything_stored(ledger: Ledger) -> bytes:
    client = ledger.server.client
    return b" ".join(client.dump(key) + key for key in client.scan_iter(f"{ledger.settings.namespace}*"))


def test_a_token_is_found_by_its_text_and_by_no_other(ledger: Ledger) -> None:
    assert not ledger.tokens.exist()
    new, other = create(ledger), create(ledger, role=Role.READER)
    assert ledger.tokens.exist()
    found = ledger.tokens.verify(new.text)
    assert found is not None
    assert (found.caller, found.role, found.token_id) == ("odds-east", Role.PRODUCER, new.record.token_id)
    mixed = f"{new.text.rpartition('_')[0]}_{other.text.split('_', 2)[2]}"
    for text in ("", "x", new.text[:-1], f"{new.text}x", new.text.upper(), mixed, "cornerman_é", "_" * 10_000):
        assert ledger.tokens.verify(text) is None


def test_the_text_is_stored_nowhere_and_shown_once(ledger: Ledger) -> None:
    new = create(ledger)
    ledger.tokens.verify(new.text)
    secret = new.text.split("_", 2)[2]
    assert len(secret) == 43
    assert secret.encode() not in everything_stored(ledger)
    assert secret not in repr(new)
    assert secret not in repr(ledger.tokens.all())


def test_a_revoked_token_is_refused_at_once_and_for_ever(ledger: Ledger) -> None:
    new, other = create(ledger), create(ledger)
    assert ledger.tokens.revoke(new.record.token_id, **AUDIT)
    assert not ledger.tokens.revoke(new.record.token_id, **AUDIT)
    assert ledger.tokens.verify(new.text) is None
    assert ledger.tokens.verify(other.text) is not None
    listed = {token.token_id: token.revoked_at is not None for token in ledger.tokens.all()}
    assert listed == {new.record.token_id: True, other.record.token_id: False}
    with pytest.raises(UnknownTokenError, match="nothing-here"):
        ledger.tokens.revoke("nothing-here", **AUDIT)


def test_an_expired_token_is_refused(ledger: Ledger, until: Callable[..., None]) -> None:
    brief, long = create(ledger, expires_seconds=0.2), create(ledger, expires_seconds=3600.0)
    assert long.record.expires_at == long.record.created_at + timedelta(hours=1)
    until(lambda: ledger.tokens.verify(brief.text) is None)
    assert ledger.tokens.verify(long.text) is not None


def test_the_last_use_is_noted(ledger: Ledger) -> None:
    new = create(ledger)
    assert ledger.tokens.all()[0].last_used_at is None
    ledger.tokens.verify(new.text[:-1] + "x")
    assert ledger.tokens.all()[0].last_used_at is None
    before = ledger.server.time()
    ledger.tokens.verify(new.text)
    (listed,) = ledger.tokens.all()
    assert listed.last_used_at is not None
    assert before - 0.002 <= listed.last_used_at.timestamp() <= ledger.server.time()


def test_every_change_is_audited(ledger: Ledger) -> None:
    new = create(ledger, limits=CallerLimits(jobs_per_day=5))
    ledger.tokens.set_limits("odds-east", CallerLimits(), **AUDIT)
    ledger.tokens.revoke(new.record.token_id, user="bo@ops", reason="leaked")
    ledger.tokens.revoke(new.record.token_id, user="bo@ops", reason="again")
    changes = ledger.tokens.changes()
    assert [(change.what, change.who, change.why) for change in changes] == [
        ("revoked", "bo@ops", "leaked"),
        ("limited", "ana@ops", "a test"),
        ("limited", "ana@ops", "a test"),
        ("created", "ana@ops", "a test"),
    ]
    assert [change.limits for change in changes] == [None, CallerLimits(), CallerLimits(jobs_per_day=5), None]
    assert {change.token_id for change in changes} == {new.record.token_id, None}


@pytest.mark.parametrize(
    "options",
    [
        {"caller": "two words"},
        {"expires_seconds": 0.0},
        {"expires_seconds": float("nan")},
        {"limits": CallerLimits(requests_per_second=0.0)},
        {"limits": CallerLimits(requests_per_second=float("inf"))},
        {"limits": CallerLimits(burst=0)},
        {"limits": CallerLimits(jobs_per_day=0)},
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(ledger: Ledger, options: dict[str, object]) -> None:
    with pytest.raises(JobRefusedError):
        create(ledger, **options)  # type: ignore[arg-type]
    assert not ledger.tokens.exist()


def test_limits_stay_with_the_caller_when_its_tokens_change(ledger: Ledger) -> None:
    limits = CallerLimits(requests_per_second=5.0, burst=10, jobs_per_day=100)
    first = create(ledger, limits=limits)
    second = create(ledger)
    assert first.record.limits == second.record.limits == limits
    ledger.tokens.revoke(first.record.token_id, **AUDIT)
    found = ledger.tokens.verify(second.text)
    assert found is not None
    assert found.limits == ledger.tokens.limits("odds-east") == limits


def test_several_gateways_share_a_rate_and_say_when_to_come_again(ledger: Ledger) -> None:
    ledger.tokens.set_limits("odds-east", CallerLimits(requests_per_second=0.1, burst=20), **AUDIT)
    gateways = [Ledger.connect(ledger.settings) for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as threads:
            waits = list(threads.map(lambda number: gateways[number % 4].tokens.admit("odds-east"), range(60)))
    finally:
        for gateway in gateways:
            gateway.close()
    assert sum(wait == 0 for wait in waits) == 20
    assert all(0 < wait <= 10 for wait in waits if wait)
    assert ledger.tokens.admit("another") == 0


def test_who_comes_again_when_told_is_admitted(ledger: Ledger) -> None:
    ledger.tokens.set_limits("odds-east", CallerLimits(requests_per_second=5.0), **AUDIT)
    assert ledger.tokens.admit("odds-east") == 0
    for _ in range(3):
        wait = ledger.tokens.admit("odds-east")
        assert 0 < wait <= 0.2
        time.sleep(wait)
        assert ledger.tokens.admit("odds-east") == 0


def test_a_burst_of_the_past_or_a_clock_set_back_locks_nobody_out(ledger: Ledger) -> None:
    ledger.tokens.set_limits("odds-east", CallerLimits(requests_per_second=10.0, burst=2), **AUDIT)
    far = str(round((ledger.server.time() + 86_400) * 1e6))
    ledger.server.execute("SET", ledger.server.key("rate", "odds-east"), far)
    assert ledger.tokens.admit("odds-east") <= 0.1


def submit(ledger: Ledger, *names: str, caller: str = "odds-east") -> list[bool]:
    receipts = ledger.submit_many([CheckHealth(nonce=name) for name in names], caller=caller)
    return [receipt.created for receipt in receipts]


def test_a_quota_counts_new_jobs_alone_and_says_when_the_day_ends(ledger: Ledger) -> None:
    ledger.tokens.set_limits("odds-east", CallerLimits(jobs_per_day=3), **AUDIT)
    assert submit(ledger, "1", "2") == [True, True]
    assert submit(ledger, "1", "2") == [False, False]
    with pytest.raises(QuotaExceededError, match=r"2 new jobs today.*quota is 3") as caught:
        submit(ledger, "3", "4")
    assert 0 < caught.value.failure.details["retry_after_seconds"] <= 86_400
    assert ledger.queue_stats.depths()["predict"] == 2
    assert submit(ledger, "3") == [True]
    assert submit(ledger, "1", "2", "3") == [False] * 3
    with pytest.raises(QuotaExceededError):
        submit(ledger, "4")
    assert submit(ledger, "4", caller="another") == [True]
    ledger.submit(CheckHealth(nonce="of nobody"))


def test_a_call_of_several_steps_is_refused_as_a_whole(ledger: Ledger) -> None:
    ledger.tokens.set_limits("odds-east", CallerLimits(jobs_per_day=1500), **AUDIT)
    with pytest.raises(QuotaExceededError, match="at once"):
        submit(ledger, *map(str, range(1501)))
    assert ledger.queue_stats.depths()["predict"] == 0
    assert all(submit(ledger, *map(str, range(1500))))


def test_what_was_accepted_goes_on_whatever_its_caller_may_submit(ledger: Ledger) -> None:
    ledger.tokens.set_limits("odds-east", CallerLimits(jobs_per_day=1), **AUDIT)
    submit(ledger, "1")
    (claim,) = ledger.claim("predict", OWNER)
    assert ledger.release(claim)
    assert [again.job_id for again in ledger.claim("predict", OWNER)] == [claim.job_id]


def test_a_gateway_asks_on_its_event_loop(ledger: Ledger) -> None:
    new = create(ledger, limits=CallerLimits(requests_per_second=0.1))

    async def ask() -> tuple[bool, str | None, bool, list[bool]]:
        async with AsyncLedger(ledger.settings) as gateway:
            found = await gateway.tokens.verify(new.text)
            unknown = await gateway.tokens.verify(new.text[:-2] + "zz")
            admitted = [await gateway.tokens.admit("odds-east") == 0 for _ in range(2)]
            return await gateway.tokens.exist(), found and found.caller, unknown is None, admitted

    assert asyncio.run(ask()) == (True, "odds-east", True, [True, False])


def test_a_full_server_still_knows_its_tokens(ledger: Ledger, until: Callable[..., None]) -> None:
    """`last_used` may stay behind then."""
    new = create(ledger)
    client = ledger.server.client
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        assert ledger.tokens.verify(new.text) is not None
        assert ledger.tokens.revoke(new.record.token_id, **AUDIT)
        assert ledger.tokens.verify(new.text) is None
    finally:
        client.config_set("maxmemory", limit)


def test_the_form_of_a_text_can_be_searched_for(ledger: Ledger) -> None:
    """Scanners of repositories find leaked secrets by their prefix."""
    assert re.fullmatch(r"cornerman_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", create(ledger).text)
