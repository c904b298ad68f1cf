from __future__ import annotations

import pytest

from ledger.contracts.controls import (
    COMPONENTS,
    CONTROLS,
    Control,
    Controls,
    ControlValue,
    check_consistency,
    find_control,
    format_value,
    parse_value,
)
from ledger.contracts.failures import JobRefusedError

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
def test_a_value_is_read_as_it_is_written(name: str, text: str, value: ControlValue) -> None:
    assert parse_value(name, text) == value
    assert type(parse_value(name, text)) is type(value)
    assert format_value(value) == text


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
    with pytest.raises(JobRefusedError, match=said) as refused:
        parse_value(name, text)
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
    with pytest.raises(JobRefusedError) as refused:
        find_control(name)
    assert all(control.pattern in str(refused.value) for control in CONTROLS)
    assert all(component in str(refused.value) for component in COMPONENTS)


def test_no_alias_can_be_taken_for_a_digest() -> None:
    with pytest.raises(JobRefusedError, match="shape of a model's digest"):
        find_control(f"model.{DIGEST}")


def test_what_is_not_set_has_its_default_and_what_cannot_be_read_counts_as_not_set() -> None:
    controls = Controls.from_fields(
        [b"pause.predict", b"on", b"max_replicas", b"20", b"of_a_newer_version", b"x", b"max_threads", b"all"]
    )
    assert controls == Controls({"pause.predict": True, "max_replicas": 20})
    assert (controls.flag("pause.predict"), controls.flag("pause.train"), controls.flag("bootstrap")) == (
        True,
        False,
        True,
    )
    assert (controls.number("max_replicas"), controls.number("max_threads")) == (20, None)
    assert controls.choice("log_level.guard") is None
    for ask in (controls.flag, controls.number, controls.choice):
        with pytest.raises(JobRefusedError):
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
def test_who_may_claim(given: dict[str, ControlValue], claims: bool) -> None:
    assert Controls(given).may_claim("predict", "ringside") is claims


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"min_children.predict": 3, "max_children.predict": 3}, True),
        ({"min_children.predict": 4, "max_children.predict": 3}, False),
        ({"min_children.predict": 4, "max_children.train": 3}, True),
        ({"min_children.predict": 4, "max_children.predict": None}, True),
    ],
)
def test_the_fewest_children_are_no_more_than_the_most(values: dict[str, ControlValue | None], fits: bool) -> None:
    if fits:
        check_consistency(values)
    else:
        with pytest.raises(JobRefusedError, match="above max_children"):
            check_consistency(values)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_every_control_says_what_it_is_and_a_number_its_unit_and_bounds(control: Control) -> None:
    assert control.description
    assert (control.kind is int) == bool(control.unit) == (0 < control.min_value < control.max_value)
    assert (control.kind is bool) == (control.default is not None)
