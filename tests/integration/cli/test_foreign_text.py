"""Text of a caller on a terminal: letters outside its encoding, rich's markup, and control characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.ledger import LedgerSettings

CARD_ID = "[/main] [red]Błachowicz :boom: \x1b[2J\u202e end"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card whose time has passed, so that it is shown in a table of failures."""
    fight = {"id": "[/bold]", "fighters": [{"name": "Jiří Procházka"}, {"name": "Ян 张"}]}
    job = {"kind": "predict_card", "card_id": CARD_ID, "event_start": "2020-01-05T22:00:00Z", "fights": [fight]}
    path = tmp_path / "card.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def enqueue(card: Path, settings: LedgerSettings, encoding: str) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ,
        "PYTHONIOENCODING": encoding,
        "CORNERMAN_REDIS_URL": str(settings.redis_url),
        "CORNERMAN_NAMESPACE": settings.namespace,
    }
    command = [sys.executable, "-m", "producer.cli.main", "enqueue", "--card", str(card)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_text_of_a_caller_is_shown_as_it_is_on_any_terminal(
    card: Path, ledger_settings: LedgerSettings, encoding: str
) -> None:
    done = enqueue(card, ledger_settings, encoding)
    shown = done.stdout.decode(encoding)
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    assert "[/main] [red]" in shown
    assert ":boom:" in shown
    assert ("Błachowicz" if encoding == "utf-8" else "B?achowicz") in shown
    assert not {"\x1b", "\u202e"} & set(shown)
