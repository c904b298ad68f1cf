from __future__ import annotations

import pytest

from ledger.contracts.controls import (
    COMPONENTS,
    TABLE,
    Control,
    Controls,
    Value,
    check_together,
    control_of,
    text_of,
    value_of,
)
from ledger.contracts.failures import JobRefused

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("pause.predict", "on", True),
        ("pause.train", "off", False),
        ("drain.ringside", "on", True),
        ("drain.predict@ringside-2.local", "on", True),
        ("min_children.predict", "1", 1),
        ("max_children.train", "512", 512),
        ("max_memory_mb.predict", "4096", 4096),
        ("bootstrap", "off", False),
        ("max_replicas", "10", 10),
        ("max_batch_size", "1", 1),
        ("max_threads", "1", 1),
        ("log_level.guard", "DEBUG", "DEBUG"),
        ("model.champion", DIGEST, DIGEST),
        ("model.with.dots", DIGEST, DIGEST),
    ],
)
def test_a_value_is_read_as_it_is_written(name: str, text: str, value: Value) -> None:
    assert value_of(name, text) == value
    assert type(value_of(name, text)) is type(value)
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pause.predict", "yes", "on or off"),
        ("bootstrap", "0", "on or off"),
        ("max_children.predict", "0", "from 1 to 512"),
        ("max_children.predict", "513", "from 1 to 512"),
        ("max_children.predict", "-1", "processes"),
        ("max_children.predict", "1e9", "processes"),
        ("max_memory_mb.train", "63", "MiB from 64"),
        ("max_replicas", "9", "from 10"),
        ("max_threads", "", "threads"),
        ("log_level.guard", "LOUD", "DEBUG, INFO, WARNING, ERROR"),
        ("model.champion", "ab12", "64 hexadecimal digits"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str, text: str, said: str) -> None:
    with pytest.raises(JobRefused, match=said) as refused:
        value_of(name, text)
    assert name in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "speed",
        "pause",
        "pause.",
        "pause.paint",
        "bootstrap.predict",
        "bootstrap.",
        "drain.two words",
        "drain.paint@node",
        "drain.node#1/2",
        "log_level.nobody",
        "model.",
    ],
)
def test_an_unknown_name_is_refused_with_the_names_that_there_are(name: str) -> None:
    with pytest.raises(JobRefused) as refused:
        control_of(name)
    assert all(control.pattern in str(refused.value) for control in TABLE)
    assert all(component in str(refused.value) for component in COMPONENTS)


def test_no_alias_can_be_taken_for_a_digest() -> None:
    with pytest.raises(JobRefused, match="shape of a model's digest"):
        control_of(f"model.{DIGEST}")


def test_what_is_not_set_has_its_default_and_what_cannot_be_read_counts_as_not_set() -> None:
    controls = Controls.read(
        [b"pause.predict", b"on", b"max_replicas", b"20", b"of_a_newer_version", b"x", b"max_threads", b"all"]
    )
    assert controls == Controls({"pause.predict": True, "max_replicas": 20})
    assert (controls.flag("pause.predict"), controls.flag("pause.train"), controls.flag("bootstrap")) == (
        True,
        False,
        True,
    )
    assert (controls.number("max_replicas"), controls.number("max_threads")) == (20, None)
    assert controls.word("log_level.guard") is None
    for ask in (controls.flag, controls.number, controls.word):
        with pytest.raises(JobRefused):
            ask("speed")


@pytest.mark.parametrize(
    ("given", "claims"),
    [
        ({}, True),
        ({"pause.predict": True}, False),
        ({"pause.predict": False}, True),
        ({"pause.train": True}, True),
        ({"drain.ringside": True}, False),
        ({"drain.predict@ringside": True}, False),
        ({"drain.train@ringside": True}, True),
        ({"drain.elsewhere": True}, True),
    ],
)
def test_who_may_claim(given: dict[str, Value], claims: bool) -> None:
    assert Controls(given).claims("predict", "ringside") is claims


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"min_children.predict": 3, "max_children.predict": 3}, True),
        ({"min_children.predict": 4, "max_children.predict": 3}, False),
        ({"min_children.predict": 4, "max_children.train": 3}, True),
        ({"min_children.predict": 4, "max_children.predict": None}, True),
    ],
)
def test_the_fewest_children_are_no_more_than_the_most(values: dict[str, Value | None], fits: bool) -> None:
    if fits:
        check_together(values)
    else:
        with pytest.raises(JobRefused, match="above max_children"):
            check_together(values)


@pytest.mark.parametrize("control", TABLE, ids=lambda control: control.name)
def test_every_control_says_what_it_is_and_a_number_its_unit_and_bounds(control: Control) -> None:
    assert control.meaning
    assert (control.kind is int) == bool(control.unit) == (0 < control.least < control.most)
    assert (control.kind is bool) == (control.default is not None)
