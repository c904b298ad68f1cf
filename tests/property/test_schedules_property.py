"""The slots that pools submit are those of the cron text, whatever pools die, wherever, and however the clock is set.

The server's clock is set to the changes of summer time of odd zones, forward and back. Jobs are removed as soon as they
are seen, as by the end of their retention: that a slot is not submitted again must not depend on its job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.contracts.jobs import CheckHealth
from ledger.contracts.schedules import CatchUp, Schedule, ScheduleRun
from ledger.ledger import Ledger, LedgerSettings
from ledger.schedules.cron_slots import slots_after
from tests.chaos.server import Server
from tests.support.cron_texts import TRANSITIONS, cron_texts

NAMESPACE = "cornerman"
AUTUMN = ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-26T01:30"]
BY = {"user": "ann", "reason": "a test"}
POOLS = 3
GRACE_SECONDS = 600.0
CLOCK_SECONDS = 10.0


Event = tuple[int, str] | None
"""What happens to a pool at a command of its look, counted from 1."""


class Killed(BaseException):
    """The process of a pool ends here."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("chaos") / "server", NAMESPACE) as server:
        if not server.clock.usable:
            pytest.skip("needs a C compiler, for a server whose clock can be set")
        yield server


@pytest.fixture(scope="module")
def connect(server: Server) -> Iterator[Callable[[str], Ledger]]:
    opened: list[Ledger] = []

    def connect(user: str) -> Ledger:
        opened.append(Ledger.connect(LedgerSettings(redis_url=server.url(user), namespace=NAMESPACE)))
        return opened[-1]

    yield connect
    for ledger in opened:
        ledger.close()


class World:
    """A server at a chosen time, an operator, and pools that look when they are told to, and die."""

    def __init__(self, server: Server, operator: Ledger, worker: Ledger, start: datetime) -> None:
        self.operator = operator
        self.submitted: list[str] = []
        self._server = server
        self._worker = worker
        self.set_clock(start)
        server.command("FLUSHALL")
        self._pools = [worker.due_runs() for _ in range(POOLS)]
        self.latest = start

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.operator.server.time(), UTC)

    def set_clock(self, moment: datetime) -> None:
        self._server.clock.move(round(moment.timestamp() - time.time()))
        end = time.monotonic() + CLOCK_SECONDS
        while abs(self.now - moment) > timedelta(seconds=1):  # the server keeps its time for a moment
            assert time.monotonic() < end, "the server's clock was not set"
            time.sleep(0.001)

    def look(self, pool: int, event: Event = None) -> tuple[ScheduleRun, ...]:
        """Let a pool look. At a command it may die, before or after it, or be overtaken by another pool."""
        sent, server = 0, self._worker.server
        send = type(server)._send
        at, what = event or (0, "")

        def count(request: Any) -> list[Any]:
            nonlocal sent
            sent += 1
            if sent == at and what == "dies before":
                raise Killed
            if sent == at and what == "overtaken":
                with suppress(AttributeError):
                    del server._send
                self._pools[(pool + 1) % POOLS].look()
                self._forget_jobs()
                server._send = count  # type: ignore[method-assign]
            replies = send(server, request)
            if sent == at and what == "dies after":
                raise Killed
            return replies

        server._send = count  # type: ignore[method-assign]
        try:
            return self._pools[pool].look().runs
        except Killed:
            self._pools[pool] = self._worker.due_runs()
            return ()
        finally:
            del server._send
            self.latest = max(self.latest, self.now)
            self._forget_jobs()

    def _forget_jobs(self) -> None:
        keys = self._server.command("KEYS", f"{NAMESPACE}:job:*")
        self.submitted += [key.decode().partition(":job:")[2] for key in keys]
        if keys:
            self._server.command("DEL", f"{NAMESPACE}:queue:predict", *keys)


EVENTS = st.tuples(st.integers(1, 9), st.sampled_from(["dies before", "dies after", "overtaken"]))
STEPS = st.lists(
    st.tuples(
        st.integers(-3_600, 5_400),  # seconds by which the clock is moved
        st.lists(st.tuples(st.integers(0, POOLS - 1), st.none() | EVENTS), max_size=4),
    ),
    min_size=2,
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    cron=cron_texts(),
    zone=st.sampled_from(sorted(TRANSITIONS)),
    change=st.integers(0, 3),
    lead_seconds=st.integers(0, 7_200),
    catch_up=st.sampled_from(["skip", "last", "all"]),
    steps=STEPS,
)
def test_every_slot_is_submitted_once_or_skipped_by_the_rule(
    server: Server,
    connect: Callable[[str], Ledger],
    ledgers: tuple[Ledger, Ledger],
    cron: str,
    zone: str,
    change: int,
    lead_seconds: int,
    catch_up: CatchUp,
    steps: list[tuple[int, list[tuple[int, Event]]]],
) -> None:
    world = World(server, *ledgers, TRANSITIONS[zone][change] - timedelta(seconds=lead_seconds))
    schedule = Schedule(
        name="s",
        cron=cron,
        zone=zone,
        jobs=(CheckHealth(),),
        catch_up=catch_up,
        max_catch_up=1000,
        grace_seconds=GRACE_SECONDS,
    )
    begun = world.operator.schedules.put(schedule, **BY).decided_until
    for seconds, looks in steps:
        world.set_clock(world.now + timedelta(seconds=seconds))
        for pool, event in looks:
            for run in world.look(pool, event):
                late_seconds = (run.decided_at - run.slot).total_seconds()
                assert run.state == "skipped" or catch_up != "skip" or late_seconds <= GRACE_SECONDS
    world.set_clock(world.latest + timedelta(seconds=1))  # also if it was set back at the end
    due = [*takewhile(lambda slot, now=world.now: slot <= now, slots_after(cron, zone, begun))]
    world.look(1)

    until = world.operator.schedules.get("s").decided_until
    assert until >= max(due, default=begun)
    expected = [*takewhile(lambda slot: slot <= until, slots_after(cron, zone, begun))]
    submitted = sorted(datetime.fromisoformat(job_id.partition("@")[2]) for job_id in world.submitted)
    assert len({*submitted}) == len(submitted)  # none is submitted twice
    if catch_up == "all":
        assert submitted == expected
        return
    skipped = [run for run in world.operator.schedules.history("s", 500) if run.state == "skipped"]
    ranges = [[slot for slot in expected if run.slot <= slot <= (run.through or run.slot)] for run in skipped]
    assert [len(each) for each in ranges] == [run.slots for run in skipped]
    assert sorted([*submitted, *(slot for each in ranges for slot in each)]) == expected
    if catch_up == "last" and expected:
        assert submitted[-1] == expected[-1]


@pytest.fixture(scope="module")
def ledgers(connect: Callable[[str], Ledger]) -> tuple[Ledger, Ledger]:
    return connect("operator"), connect("worker")


@pytest.mark.parametrize("what", ["dies before", "dies after", "overtaken"])
def test_a_slot_is_submitted_once_wherever_its_pool_is_interrupted(
    server: Server, ledgers: tuple[Ledger, Ledger], what: str
) -> None:
    world = World(server, *ledgers, start := datetime(2026, 6, 1, 0, 30, tzinfo=UTC))
    world.operator.schedules.put(Schedule(name="s", cron="0 * * * *", jobs=(CheckHealth(),), catch_up="all"), **BY)
    commands = 8  # a look at one due slot has fewer
    for hour in range(1, commands + 1):
        world.set_clock(start + timedelta(hours=hour))
        world.look(0, (hour, what))
        world.look(1)
    assert sorted(world.submitted) == [f"s@2026-06-01T{hour:02}:00:00Z" for hour in range(1, commands + 1)]


@pytest.mark.parametrize(
    ("cron", "zone", "eve", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 2 * * *", "America/New_York", "2026-03-07T17:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T16:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("0 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-30T00:30"]),
        (
            "0 30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            [f"2026-10-{at}:30" for at in ("25T00", "25T01", "26T01")],
        ),
    ],
)
def test_what_runs_at_half_past_two_when_the_clocks_are_changed(
    server: Server, ledgers: tuple[Ledger, Ledger], cron: str, zone: str, eve: str, expected: list[str]
) -> None:
    """Look every ten minutes of two nights."""
    world = World(server, *ledgers, start := datetime.fromisoformat(eve).replace(tzinfo=UTC))
    world.operator.schedules.put(Schedule(name="s", cron=cron, zone=zone, jobs=(CheckHealth(),)), **BY)
    for minutes in range(600, 48 * 60, 10):
        world.set_clock(start + timedelta(minutes=minutes))
        world.look(minutes % POOLS)
    assert world.submitted == [f"s@{at}:00Z" for at in expected]
