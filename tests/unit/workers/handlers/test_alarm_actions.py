from __future__ import annotations

import pytest

from workers.handlers.monitoring.alarm_actions import choose_action

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.mark.parametrize(
    ("setting", "champion", "earlier", "alarmed", "action", "to"),
    [
        ("none", A, [B], set(), "none", None),
        ("abstain", A, [B], set(), "abstain", None),
        ("abstain", B, [], set(), "abstain", None),
        ("rollback", A, [B, C], {A}, "rollback", B),
        ("rollback", A, [B, C], {A, B}, "rollback", C),
        ("rollback", A, [A, C], {A}, "rollback", C),
        ("rollback", A, [B], {A, B}, "abstain", None),
        ("rollback", A, [], {A}, "abstain", None),
        ("rollback", B, [C], {A}, "abstain", None),
        ("rollback", None, [C], {A}, "abstain", None),
    ],
)
def test_what_is_done_about_an_alarm(
    setting: str, champion: str | None, earlier: list[str], alarmed: set[str], action: str, to: str | None
) -> None:
    step = choose_action(setting, A, champion, earlier, alarmed)
    assert (step.action, step.to_model) == (action, to)
    assert step.detail
