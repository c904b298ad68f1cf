"""The command `health` while the server fails over."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from ledger.ledger import Claim, Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.claims import OWNER, REPORT


@pytest.mark.usefixtures("command_environment")
def test_a_check_that_a_failover_has_lost_is_submitted_again(
    ledger: Ledger, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORNERMAN_POLL_FALLBACK_SECONDS", "0.1")
    codes: list[int] = []
    command = threading.Thread(target=lambda: codes.append(CliRunner().invoke(main, ["health"]).exit_code))
    command.start()
    keys = f"{ledger.settings.namespace}:*"
    until(lambda: list(ledger.server.client.scan_iter(f"{ledger.settings.namespace}:job:*", 1000)))
    ledger.server.client.unlink(*ledger.server.client.scan_iter(keys, 1000))
    claims: list[Claim] = []
    until(lambda: claims.extend(ledger.claim("predict", OWNER)) or claims)
    ledger.settle(claims[0], REPORT)
    command.join()
    assert codes == [ExitCode.OK]
