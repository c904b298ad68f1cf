"""The TypeScript client, and the commands of the guide for HTTP callers, with a real gateway and a real pool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from ledger.contracts import codec
from ledger.contracts.job_state import Outcome
from ledger.contracts.reports import CardReport
from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from tests.support.gateways import GatewayProcess, running_gateway
from tests.support.node import NODE, TSC
from tests.support.pools import StartPool
from tests.support.small_models import first_card, set_alias, small_league, trained

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "gateway" / "typescript"
GUIDE = (ROOT / "docs" / "guides" / "http.md").read_text(encoding="utf-8")
BASH = shutil.which("bash") or ""
needs_node = pytest.mark.skipif(
    not (NODE and TSC.exists()), reason="needs node, and typescript from npm in build/node: see .ci/run"
)


@pytest.fixture
def gateway(
    ledger: Ledger, ledger_settings: LedgerSettings, start_pool: StartPool, tmp_path: Path
) -> Iterator[GatewayProcess]:
    """A gateway with a pool behind it that has a champion."""
    set_alias(ledger, "champion", trained(tmp_path / "models", seed=1).digest)
    start_pool(concurrency=1, real=True)
    with running_gateway(ledger_settings, tmp_path) as running:
        yield running


def compiled(program: str, folder: Path) -> Path:
    """Compile a program with the client, strictly, and return its JavaScript."""
    sources = folder / "sources"
    sources.mkdir()
    for file in ("client.ts", "types.ts", "tsconfig.json"):
        shutil.copy(CLIENT / file, sources)
    (sources / "package.json").write_text('{"type": "module"}')
    (sources / "program.ts").write_text(program)
    done = subprocess.run([TSC, "-p", sources], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    (sources / "build" / "package.json").write_text('{"type": "module"}')
    return sources / "build" / "program.js"


def run(script: Path, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [NODE, script, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_node
def test_a_program_in_typescript_does_what_one_in_python_does(
    gateway: GatewayProcess, ledger: Ledger, tmp_path: Path
) -> None:
    program = (ROOT / "tests/support/typescript/program.ts").read_text(encoding="utf-8")
    soon = datetime.now(UTC) + timedelta(hours=1)
    card = msgspec.structs.replace(first_card(small_league()), event_start=soon, deadline=None)
    found = json.loads(run(compiled(program, tmp_path), gateway.url, codec.encode(card).decode()))
    key = "a/card of Node ü"
    stored = ledger.outcome(key)
    assert isinstance(stored, Outcome)
    assert isinstance(stored.report, CardReport)
    assert found.pop("fights") == len(stored.report.fights)
    followed = found.pop("followed")
    assert followed[0] == key
    assert len(followed) == 2
    assert found == {
        "created": [True, False],
        "wrong": True,
        "correlation": "from Node",
        "sameReport": True,
        "failed": "model_not_found",
        "place": True,
        "asked": [None, "string"],
        "lastOfJob": key,
        "refused": [422, "invalid_input", True],
        "unknown": 404,
        "late": True,
        "cancelled": "cancelled",
        "listed": 3,
        "afterTries": True,
        "tries": [3, True],
        "aborted": True,
    }


@needs_node
@pytest.mark.skipif(not (BASH and shutil.which("curl")), reason="needs bash and curl")
def test_the_commands_and_the_program_of_the_guide_run(gateway: GatewayProcess, tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    script = "\necho; echo ---\n".join(blocks)
    done = subprocess.run(
        [BASH, "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, "GATEWAY": gateway.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    _, receipt, outcome, events, refusal = (part.strip() for part in done.stdout.split("---"))
    assert json.loads(receipt) == {"job_id": "night-1-noon", "created": True, "durable": False}
    assert json.loads(outcome)["report"]["kind"] == "card_report"
    assert "event: outcome" in events
    assert json.loads(refusal)["code"] == "invalid_input"
    (program,) = re.findall(r"```typescript\n(.*?)```", GUIDE, re.DOTALL)
    environment = "declare const process: { env: { GATEWAY?: string; TOKEN?: string } };\n"
    assert "unknown_fighter" in run(compiled(environment + program, tmp_path), GATEWAY=gateway.url)
