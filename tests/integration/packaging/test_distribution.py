"""What is distributed: an sdist and a wheel that build, and work as a client without any extra, with types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.server.embedded_server import EmbeddedServer

ROOT = Path(__file__).parents[3]
ROOMS = ("cornerman", "engine", "gateway", "ledger", "producer", "workers")
CONSUMER = """
from cornerman import CardReport, Client, FightFailure, JobFailedError, PredictCard, ProductionEnsembleManager


def probabilities(client: Client, card: PredictCard) -> list[float]:
    receipt = client.enqueue(card)
    reveal_type(receipt)
    try:
        report: CardReport = client.result(receipt, timeout_seconds=30)
    except JobFailedError as error:
        reveal_type(error.failure.code)
        raise
    return [fight.fighters[0].probability for fight in report.fights if not isinstance(fight, FightFailure)]


def load(manager: ProductionEnsembleManager) -> None:
    reveal_type(manager.load_models)
"""
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")

pytestmark = pytest.mark.acceptance


def run(command: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    names = {name: value for name, value in os.environ.items() if not name.startswith(("CORNERMAN_", "PYTHON", "MYPY"))}
    return subprocess.run(command, cwd=cwd, env=names, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this tree and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("distributions")
    reachable = run(
        [sys.executable, *PIP, "download", "--no-deps", "--dest", folder / "probe", "setuptools>=77"], folder
    )
    if reachable.returncode != 0:
        pytest.skip("pip reaches no package registry")
    done = run([sys.executable, "-m", "build", "--outdir", folder, ROOT], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def client_python(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that holds the wheel, and what it needs without extras."""
    folder = tmp_path_factory.mktemp("client")
    python = folder / "venv" / "bin" / "python"
    assert run([sys.executable, "-m", "venv", folder / "venv"], folder).returncode == 0
    (wheel,) = distributions.glob("*.whl")
    done = run([python, *PIP, "install", "--constraint", ROOT / "constraints.txt", wheel], folder)
    assert done.returncode == 0, done.stderr
    return python


def expected_files() -> set[str]:
    """Every module, script, document and type marker of the rooms."""
    kinds = ("*.py", "*.lua", "*.zdict", "*.json", "*.html", "*.css", "*.js", "*.svg", "*.ts", "py.typed")
    found = (path for room in ROOMS for kind in kinds for path in (ROOT / room).rglob(kind))
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_the_wheel_holds_every_source_file_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected_files()
    assert {f"{room}/py.typed" for room in ROOMS} <= names


def test_the_sdist_holds_every_source_file_and_the_documents_of_a_project(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    documents = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml", "constraints.txt"}
    assert expected_files() | documents <= names


def test_the_plain_package_is_a_client(client_python: Path, tmp_path: Path) -> None:
    listed = run([client_python, "-m", "pip", "list", "--format", "json"], tmp_path)
    installed = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert installed >= {"cornerman", "click", "msgspec", "redis", "rich"}
    assert not installed & {"numpy", "celery", "pandas", "xgboost-cpu"}
    done = run([client_python, "-c", "from cornerman import Client, read_feed; print(Client.__name__)"], tmp_path)
    assert (done.returncode, done.stdout) == (0, "Client\n"), done.stderr


def test_the_extra_http_is_a_gateway(distributions: Path, valkey: EmbeddedServer, tmp_path: Path) -> None:
    """In a fresh environment `cornerman serve` answers, with the documents of the wheel."""
    python = tmp_path / "venv" / "bin" / "python"
    assert run([sys.executable, "-m", "venv", tmp_path / "venv"], tmp_path).returncode == 0
    (wheel,) = distributions.glob("*.whl")
    done = run([python, *PIP, "install", "--constraint", ROOT / "constraints.txt", f"{wheel}[http]"], tmp_path)
    assert done.returncode == 0, done.stderr
    named = {"CORNERMAN_REDIS_URL": valkey.url, "CORNERMAN_GATEWAY_PORT": "0", "PATH": os.environ["PATH"]}
    serving = subprocess.Popen(
        [python.with_name("cornerman"), "serve"], cwd=tmp_path, env=named, stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        url = serving.stdout.readline().split()[-1]
        for path in ("/readyz", "/openapi.json", "/schemas/Outcome.json", "/reference", "/"):
            with urllib.request.urlopen(url + path, timeout=30) as response:  # noqa: S310 - our own gateway
                assert response.status == 200
                assert response.read()
    finally:
        serving.terminate()
        assert serving.wait(30) == 0
        serving.stdout.close()


def test_the_command_line_is_there(client_python: Path, tmp_path: Path) -> None:
    for command in ([client_python.with_name("cornerman")], [client_python, "-m", "cornerman"]):
        done = run([*command, "--help"], tmp_path)
        assert done.returncode == 0, done.stderr
        assert "enqueue" in done.stdout
    refused = run([client_python.with_name("cornerman"), "status"], tmp_path)
    assert "no server" in refused.stderr


def test_the_engine_is_named_as_missing(client_python: Path, tmp_path: Path) -> None:
    done = run([client_python, "-c", "from cornerman import ProductionEnsembleManager"], tmp_path)
    assert "pip install 'cornerman[engine]'" in done.stderr


def test_a_strict_type_checker_sees_the_types(client_python: Path, tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    done = run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", client_python, "consumer.py"], tmp_path
    )
    assert done.returncode == 0, done.stdout
    assert "Receipt[" in done.stdout
    assert "CardReport]" in done.stdout
    assert "FailureCode" in done.stdout
    assert "def (model_paths:" in done.stdout
