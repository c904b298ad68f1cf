"""The receivers of docs/guides/webhooks.md verify what the relay signs, and refuse everything else."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.webhooks.signature import signed_headers
from ledger.webhooks.webhook_store import new_secret
from tests.support.node import NODE

GUIDE = (Path(__file__).parents[3] / "docs/guides/webhooks.md").read_text()
BODY = '{"type":"webhook.test","data":{"text":"Jiří"}}'.encode()
SECRET, FORMER = new_secret(), new_secret()

Verify = Callable[[str, dict[str, str], bytes], Any]


def example(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(code)


def in_python() -> Verify:
    names: dict[str, Any] = {}
    exec(example("python"), names)  # noqa: S102 - it is our own document
    verify: Verify = names["verify"]
    return verify


def in_node() -> Verify:
    if not NODE:
        pytest.skip("needs Node.js: see .ci/run")
    harness = (
        'import { readFileSync } from "node:fs";\n'
        'const given = JSON.parse(readFileSync(0, "utf8"));\n'
        'console.log(JSON.stringify(verify(given.secret, given.headers, Buffer.from(given.body, "base64"))));\n'
    )

    def verify(secret: str, headers: dict[str, str], body: bytes) -> Any:
        given = {"secret": secret, "headers": headers, "body": base64.b64encode(body).decode()}
        command = [NODE, "--input-type=module", "-e", example("js") + harness]
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr)
        return json.loads(done.stdout)

    return verify


@pytest.fixture(params=[in_python, in_node], ids=["python", "node"])
def verify(request: pytest.FixtureRequest) -> Verify:
    made: Verify = request.param()
    return made


def headers(*secrets: str, seconds: float = 0.0) -> dict[str, str]:
    return signed_headers(secrets or (SECRET,), "msg_1", int(time.time() + seconds), BODY)


def test_it_accepts_what_was_signed(verify: Verify) -> None:
    assert verify(SECRET, headers(), BODY) == json.loads(BODY)
    assert verify(FORMER, headers(SECRET, FORMER), BODY) == json.loads(BODY)


def test_it_refuses_everything_else(verify: Verify) -> None:
    good = headers()
    wrong: list[tuple[str, dict[str, str], bytes]] = [
        (FORMER, good, BODY),
        (SECRET, good, BODY + b" "),
        (SECRET, good | {"webhook-id": "msg_2"}, BODY),
        (SECRET, good | {"webhook-signature": "v1,"}, BODY),
        (SECRET, good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}, BODY),
        (SECRET, good | {"webhook-timestamp": "soon"}, BODY),
        (SECRET, headers(seconds=-400), BODY),
        (SECRET, headers(seconds=400), BODY),
    ]
    for secret, given, body in wrong:
        with pytest.raises(ValueError, match=r"old|valid|invalid literal"):
            verify(secret, given, body)
