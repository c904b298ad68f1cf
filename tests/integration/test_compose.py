from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARENT_MB = 256  # what a pool's own process has, with a good margin


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose to read the file")
def test_the_compose_file_is_valid_and_keeps_its_promises() -> None:
    command = ["docker-compose", "--profile", "producer", "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    services = _sections(done.stdout)
    assert set(services) == {"valkey", "predict", "train", "producer"}
    assert "--appendonly yes" in services["valkey"]
    assert "--maxmemory-policy noeviction" in services["valkey"]
    assert "healthcheck:" in services["valkey"]
    for pool in ("predict", "train"):
        assert "mem_limit:" in services[pool]
        assert "restart: unless-stopped" in services[pool]
        assert "condition: service_healthy" in services[pool]
        assert f"- {pool}" in services[pool]
    assert "restart: no" in services["producer"].translate(str.maketrans("", "", "'\""))


@pytest.mark.parametrize("pool", ["predict", "train"])
def test_a_pool_fits_into_its_container(pool: str) -> None:
    """Otherwise the kernel kills a child that needs too much, where its own limit makes that a typed failure."""
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    service = _sections("\n".join(filter(None, lines)))[pool]
    children, limit_mb, container_gb = (
        int(_the(pattern, service))
        for pattern in (r'"--concurrency", "(\d+)"', r"CORNERMAN_MEMORY_LIMIT_MB: (\d+)", r"mem_limit: (\d+)g")
    )
    assert children * limit_mb + PARENT_MB <= container_gb * 1024


def _the(pattern: str, text: str) -> str:
    [found] = re.findall(pattern, text)
    return str(found)


def test_the_image_does_not_run_as_root() -> None:
    stages = (ROOT / "Dockerfile").read_text().split("FROM ")
    assert "USER cornerman" in stages[-1]
    assert "constraints.txt" in stages[-2]


def _sections(text: str) -> dict[str, str]:
    """The services of `docker-compose config` by name, each as its own text; the tool sorts and quotes its output."""
    sections: dict[str, str] = {}
    name = None
    inside = False
    for line in text.splitlines():
        if not line.startswith(" "):
            inside = line == "services:"
        elif inside and line.startswith("  ") and not line.startswith("   "):
            name = line.strip().removesuffix(":")
            sections[name] = ""
        elif inside and name is not None:
            sections[name] += line.strip() + "\n"
    return {name: " ".join(text.split("\n")) for name, text in sections.items()}
