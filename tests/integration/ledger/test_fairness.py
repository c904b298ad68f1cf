"""No kind of job in a queue is kept waiting for ever by a steady stream of another."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import ROUTES, CheckHealth
from ledger.jobs.claims import Claim
from ledger.ledger import Ledger
from tests.support.claims import OWNER, claim_one, submit

PAIRS = [pair for pair in permutations(ROUTES, 2) if ROUTES[pair[0]].queue == ROUTES[pair[1]].queue]
SHARE = 5
SOON = datetime(2099, 1, 1, tzinfo=UTC)


def put(ledger: Ledger, kind: str, name: str, deadline: datetime | None) -> None:
    """Queue a job of a kind: which fields it has besides makes no difference to its place."""
    queue = ROUTES[kind].queue
    submit(ledger, name, deadline)
    place = ledger.server.execute("HGET", ledger.server.key("job", name), "place")
    score = "+inf" if deadline is None else deadline.timestamp() * 1000
    ledger.server.execute("ZREM", ledger.server.key("queue", "predict"), place)
    ledger.server.execute("ZADD", ledger.server.key("queue", queue), score, place)
    ledger.server.execute("HSET", ledger.server.key("job", name), "kind", kind, "queue", queue)


def handed_out(ledger: Ledger, queue: str, limit: int = 1) -> list[str]:
    claims: list[Claim] = ledger.claim(queue, OWNER, limit)
    for claim in claims:
        ledger.cancel(claim.job_id)
    return [claim.job_id for claim in claims]


@pytest.mark.parametrize(("steady", "other"), PAIRS)
@pytest.mark.parametrize("dated", [True, False])
def test_a_job_without_a_deadline_gets_its_turn_among_others(
    ledger: Ledger, steady: str, other: str, dated: bool
) -> None:
    for number in range(2):
        put(ledger, steady, f"before {number}", SOON if dated else None)
    put(ledger, other, "patient", None)
    turns = 0
    while "patient" not in handed_out(ledger, ROUTES[other].queue):
        put(ledger, steady, f"later {turns}", SOON if dated else None)  # for each that goes, one comes
        turns += 1
        assert turns < SHARE + 2


def test_four_of_five_go_by_their_deadline_whatever_waits(ledger: Ledger) -> None:
    for number in range(60):
        submit(ledger, f"bulk {number}")
    for number in range(40):
        submit(ledger, f"card {number:02}", SOON)
    order = [name for _ in range(10) for name in handed_out(ledger, "predict", 5)]
    assert [name for name in order if name.startswith("card")] == [f"card {number:02}" for number in range(40)]
    assert [name for name in order if name.startswith("bulk")] == [f"bulk {number}" for number in range(10)]
    assert all(sum(name.startswith("bulk") for name in order[at : at + 5]) == 1 for at in range(0, 50, 5))


def test_who_waits_alone_or_among_his_like_waits_by_age(ledger: Ledger) -> None:
    for number in range(12):
        submit(ledger, f"{number:02}")
    assert [name for _ in range(4) for name in handed_out(ledger, "predict", 3)] == [f"{n:02}" for n in range(12)]
    assert ledger.server.execute("EXISTS", ledger.server.key("turns")) == 0


def test_an_urgent_check_goes_before_all_others_and_comes_back_there(ledger: Ledger) -> None:
    submit(ledger, "urgent", datetime.fromtimestamp(ledger.server.time() + 30, UTC))
    submit(ledger, "patient")
    check = ledger.submission.submit_urgent(CheckHealth(nonce="check", deadline=SOON)).job_id
    for _ in range(SHARE + 1):
        claim = claim_one(ledger)
        assert claim.job_id == check
        assert ledger.release(claim)


def test_an_urgent_check_that_nobody_claims_expires(ledger: Ledger) -> None:
    deadline = datetime.fromtimestamp(ledger.server.time() + 0.1, UTC)
    check = ledger.submission.submit_urgent(CheckHealth(deadline=deadline)).job_id
    while ledger.server.time() <= deadline.timestamp() + 0.002:
        assert ledger.outcome(check) is None
    assert ledger.claim("predict", OWNER) == []
    outcome = ledger.outcome(check)
    assert outcome is not None
    assert outcome.state == "expired"


def test_what_goes_before_all_others_has_a_deadline(ledger: Ledger) -> None:
    with pytest.raises(JobRefusedError, match="deadline"):
        ledger.submission.submit_urgent(CheckHealth())
    assert ledger.queue_stats.depths()["predict"] == 0


def test_a_record_that_has_lost_its_deadline_does_not_block_its_queue(ledger: Ledger) -> None:
    check = ledger.submission.submit_urgent(CheckHealth(deadline=SOON)).job_id
    submit(ledger, "behind")
    ledger.server.execute("HSET", ledger.server.key("job", check), "deadline", "")
    assert ledger.reap().expired == 0
    assert [claim.job_id for claim in ledger.claim("predict", OWNER, 2)] == [check, "behind"]
