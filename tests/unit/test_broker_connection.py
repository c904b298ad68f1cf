from __future__ import annotations

from typing import Any

import pytest
from kombu.exceptions import OperationalError

from workers.transport import RETRY_SECONDS, Connection


class Away(Connection):
    """A connection to a server that is not there."""

    def _connection_factory(self) -> Any:
        raise ConnectionRefusedError


def test_a_server_that_is_away_for_long_is_tried_again_as_often_as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda seconds: None)
    pauses: list[float] = []
    away = Away("redis://127.0.0.1:1/0")
    with pytest.raises(OperationalError):
        away.ensure_connection(lambda error, pause_seconds: pauses.append(pause_seconds), 50)
    assert pauses == [RETRY_SECONDS] * 50
