from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger.contracts.controls import Controls
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger
from ledger.operations.control_store import ControlConflictError

BY = {"user": "ann@desk", "reason": "a test"}
OLD, NEW = "a" * 64, "b" * 64


def test_a_control_is_set_read_noted_and_taken_back(ledger: Ledger) -> None:
    assert ledger.controls.current() == Controls()
    before = ledger.server.time()
    first, second = ledger.controls.set({"bootstrap": False, "max_replicas": 20}, **BY)
    assert (first.who, first.name, first.before, first.after, first.why) == (
        "ann@desk",
        "bootstrap",
        None,
        "off",
        "a test",
    )
    assert (second.name, second.before, second.after) == ("max_replicas", None, "20")
    assert before - 0.002 <= first.at.timestamp() <= ledger.server.time()
    assert ledger.controls.current() == Controls({"bootstrap": False, "max_replicas": 20})
    assert ledger.controls.last_changes() == [first, second]
    (third,) = ledger.controls.set({"bootstrap": None}, user="bob", reason="over")
    assert (third.before, third.after) == ("off", None)
    assert ledger.controls.current() == Controls({"max_replicas": 20})
    assert ledger.controls.last_changes() == [second]
    assert ledger.controls.changes() == [third, second, first]
    assert ledger.controls.changes(limit=1) == [third]
    assert ledger.controls.changes(name="max_replicas") == [second]


@pytest.mark.parametrize(
    "values",
    [{"speed": 1}, {"bootstrap": "maybe"}, {"max_replicas": 3}, {"speed": None}, {"bootstrap": False, "speed": 1}],
)
def test_what_is_refused_changes_nothing(ledger: Ledger, values: dict[str, int | str | None]) -> None:
    with pytest.raises(JobRefusedError):
        ledger.controls.set(values, **BY)
    assert (ledger.controls.current(), ledger.controls.changes()) == (Controls(), [])


@pytest.mark.parametrize("text", ["", " ", "x" * 501, "two\nlines"])
@pytest.mark.parametrize("field", ["user", "reason"])
def test_who_and_why_must_be_said(ledger: Ledger, field: str, text: str) -> None:
    with pytest.raises(JobRefusedError, match=field):
        ledger.controls.set({"bootstrap": False}, **(BY | {field: text}))


def test_bounds_that_cross_are_refused_also_against_what_is_set_already(ledger: Ledger) -> None:
    ledger.controls.set({"max_children.predict": 2}, **BY)
    with pytest.raises(JobRefusedError, match="above max_children"):
        ledger.controls.set({"min_children.predict": 3}, **BY)
    ledger.controls.set({"min_children.predict": 3, "max_children.predict": 3}, **BY)


def test_of_many_who_expect_the_same_one_changes_it(ledger: Ledger) -> None:
    def attempt(number: int) -> bool:
        try:
            ledger.controls.set({"max_threads": number}, **BY, expected={"max_threads": None})
        except ControlConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(1, 33))) == 1
    (change,) = ledger.controls.changes()
    assert str(ledger.controls.current().number("max_threads")) == change.after
    with pytest.raises(ControlConflictError, match=f"max_threads is {change.after} by now"):
        ledger.controls.set({"bootstrap": False, "max_threads": 1}, **BY, expected={"max_threads": None})
    assert ledger.controls.current().flag("bootstrap")  # all or none
    with pytest.raises(JobRefusedError, match="bootstrap is compared and not set"):
        ledger.controls.set({"max_threads": 1}, **BY, expected={"bootstrap": True})


def test_an_alias_has_one_value_whoever_moves_it(ledger: Ledger) -> None:
    for digest in (OLD, NEW):
        ledger.models.register(digest, {})
    ledger.aliases.set("champion", NEW, user="job 7", reason="trained")
    (moved,) = ledger.controls.set({"model.champion": OLD}, **BY, expected={"model.champion": NEW})
    assert (moved.before, moved.after) == (NEW, OLD)
    assert ledger.aliases.resolve("champion") == OLD
    assert [change.who for change in ledger.controls.changes(name="model.champion")] == ["ann@desk", "job 7"]
    assert (ledger.controls.current(), ledger.controls.last_changes()) == (
        Controls(),
        [],
    )  # an alias has no default to differ from
    with pytest.raises(JobRefusedError, match="no model c"):
        ledger.controls.set({"model.champion": "c" * 64}, **BY)
    with pytest.raises(JobRefusedError, match="has no default"):
        ledger.controls.set({"model.champion": None}, **BY)


def test_a_claim_brings_the_controls_that_hold_for_it(ledger: Ledger) -> None:
    ledger.submit_many([CheckHealth(nonce="1"), CheckHealth(nonce="2")])
    (plain,) = ledger.claim("predict", "n#1/1")
    ledger.controls.set({"max_threads": 1, "log_level.guard": "DEBUG"}, **BY)
    (switched,) = ledger.claim("predict", "n#1/2")
    assert plain.controls == Controls()
    assert switched.controls == ledger.controls.current() == Controls({"max_threads": 1, "log_level.guard": "DEBUG"})


@pytest.mark.parametrize(
    ("stop", "stopped"),
    [
        ("pause.predict", {("predict", "a"), ("predict", "b")}),
        ("drain.a", {("predict", "a"), ("train", "a")}),
        ("drain.train@b", {("train", "b")}),
    ],
)
def test_what_is_stopped_claims_nothing_from_then_on(ledger: Ledger, stop: str, stopped: set[tuple[str, str]]) -> None:
    for number in range(4):
        ledger.submit_many([CheckHealth(nonce=str(number)), TrainEnsemble(data=str(number))])
    (running,) = ledger.claim("predict", "a#1/9")
    ledger.controls.set({stop: True}, **BY)
    places = {(queue, node) for queue in ("predict", "train") for node in ("a", "b")}
    assert {(queue, node) for queue, node in places if not ledger.claim(queue, f"{node}#1/1")} == stopped
    assert ledger.renew([(running.job_id, running.fence)]) == set()  # what runs goes on
    assert ledger.submit(CheckHealth(nonce="later")).created
    ledger.controls.set({stop: None}, **BY)
    assert all(ledger.claim(queue, f"{node}#1/2") for queue, node in stopped)
