"""A child that listens: the server claims for it in the moment the doorbell rings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.claims import RECALLED
from ledger.ledger import Ledger

OWNER = "n#1/1"


def submit(ledger: Ledger, name: str = "job") -> None:
    ledger.submit(CheckHealth(nonce=name), key=name)


def blocked(ledger: Ledger) -> bool:
    return bool(ledger.server.execute("INFO", "clients")["blocked_clients"])


def test_a_job_is_claimed_in_the_moment_its_doorbell_rings(ledger: Ledger, until: Callable[..., None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(ledger.claim_when_notified, "predict", OWNER, 4.0)
        until(lambda: blocked(ledger))
        submit(ledger)
        item, (claim,) = listening.result()
    assert (item, claim.job_id, claim.attempt) == (b"!", "job", 1)
    assert ledger.status("job").state is JobState.RUNNING
    (held,) = ledger.running_jobs(OWNER)
    assert (held.job_id, held.fence) == ("job", claim.fence)


def test_silence_ends_and_still_finds_what_no_doorbell_tells_of(ledger: Ledger) -> None:
    assert ledger.claim_when_notified("predict", OWNER, 0.01) == (None, [])
    submit(ledger)
    ledger.server.execute("DEL", ledger.server.key("doorbell", "predict"))
    item, (claim,) = ledger.claim_when_notified("predict", OWNER, 0.01)
    assert (item, claim.job_id) == (None, "job")


def test_one_job_is_claimed_and_the_rest_left_to_others(ledger: Ledger) -> None:
    for name in ("one", "two"):
        submit(ledger, name)
    _, claims = ledger.claim_when_notified("predict", OWNER, 1.0)
    assert [(claim.job_id, claim.queue_length) for claim in claims] == [("one", 1)]


@pytest.mark.parametrize("odd", [b"odd", b""])
def test_an_odd_item_is_handed_over(ledger: Ledger, odd: bytes) -> None:
    ledger.server.execute("LPUSH", ledger.server.key("doorbell", "predict"), odd)
    assert ledger.claim_when_notified("predict", OWNER, 1.0, "probe") == (odd, [])


def test_a_recall_is_told_from_every_item(ledger: Ledger) -> None:
    ledger.recall("probe", 1, 10.0)
    assert ledger.claim_when_notified("predict", OWNER, 1.0, "probe") == (RECALLED, [])


def test_a_server_that_forgot_the_scripts_is_sent_them_again(ledger: Ledger) -> None:
    submit(ledger)
    ledger.server.execute("SCRIPT", "FLUSH")
    item, (claim,) = ledger.claim_when_notified("predict", OWNER, 1.0)
    assert (item, claim.job_id) == (b"!", "job")


def test_a_list_of_another_type_is_an_error_and_not_silence(ledger: Ledger) -> None:
    ledger.server.execute("SET", ledger.server.key("doorbell", "predict"), "no list")
    with pytest.raises(Exception, match="WRONGTYPE"):
        ledger.claim_when_notified("predict", OWNER, 0.01)
    ledger.server.execute("DEL", ledger.server.key("doorbell", "predict"))  # at the end the types of keys are checked


def test_a_connection_that_is_cut_loses_no_job(ledger: Ledger, until: Callable[..., None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(ledger.claim_when_notified, "predict", OWNER, 4.0)
        until(lambda: blocked(ledger))
        ledger.server.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        submit(ledger)
        try:
            _, claims = listening.result()  # redis-py has tried again
        except LedgerUnavailableError:
            claims = ledger.claim("predict", OWNER)
    assert [claim.job_id for claim in claims] == ["job"]
