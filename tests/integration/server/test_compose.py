from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROFILES = ("producer", "feed", "gateway", "monitoring", "flower", "tracing")
PARENT_MB = 256  # what a pool's own process has, with a good margin


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose to read the file")
def test_the_compose_file_is_valid_and_keeps_its_promises() -> None:
    command = ["docker-compose", *(part for name in PROFILES for part in ("--profile", name)), "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    services = _sections(done.stdout)
    pools = {"predict", "train", "monitor"}
    assert set(services) == {
        "valkey",
        *pools,
        "producer",
        "feed",
        "gateway",
        "prometheus",
        "grafana",
        "flower",
        "traces",
    }
    assert all("mem_limit:" in service for service in services.values())
    assert "--appendonly yes" in services["valkey"]
    assert "--maxmemory-policy noeviction" in services["valkey"]
    assert "healthcheck:" in services["valkey"]
    for pool in ("predict", "train", "monitor"):
        assert "/readyz" in services[pool]
        assert "restart: unless-stopped" in services[pool]
        assert "condition: service_healthy" in services[pool]
        assert f"- {pool}" in services[pool]
    gateway = services["gateway"].translate(str.maketrans("", "", "'\""))
    assert "command: - serve" in gateway
    published = r"127\.0\.0\.1:8080:8080|host_ip: 127\.0\.0\.1 .*published: 8080"  # versions 1 and 2 of the tool
    assert re.search(published, gateway)
    assert "/readyz" in gateway
    assert "restart: no" in services["producer"].translate(str.maketrans("", "", "'\""))


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose to read the files")
def test_the_compose_file_with_sentinels_gives_every_service_their_url() -> None:
    files = ["-f", "docker-compose.yml", "-f", "deploy/sentinel/docker-compose.yml"]
    command = ["docker-compose", *files, *(part for name in PROFILES for part in ("--profile", name)), "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    services = _sections(done.stdout)
    for name in ("predict", "train", "monitor", "producer", "feed", "gateway"):
        assert "redis+sentinel://sentinel-1,sentinel-2,sentinel-3/shop/0" in services[name]
    for name in ("valkey", "replica-1", "replica-2"):
        assert "--min-replicas-to-write 1" in services[name]
        assert "--appendonly yes" in services[name]
    assert {"sentinel-1", "sentinel-2", "sentinel-3"} < services.keys()
    assert all("mem_limit:" in service for service in services.values())


@pytest.mark.parametrize("pool", ["predict", "train", "monitor"])
def test_a_pool_fits_into_its_container(pool: str) -> None:
    """Otherwise the kernel kills a child that needs too much, where its own limit makes that a typed failure."""
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    service = _sections("\n".join(filter(None, lines)))[pool]
    children, limit_mb, container_gb = (
        int(_the(pattern, service))
        for pattern in (r'"--concurrency", "(\d+)"', r"CORNERMAN_CHILD_MAX_MEMORY_MB: (\d+)", r"mem_limit: (\d+)g")
    )
    assert children * limit_mb + PARENT_MB <= container_gb * 1024


@pytest.mark.parametrize("service", ["grafana", "flower"])
def test_what_has_no_password_does_not_start(service: str) -> None:
    """The entry point is run as it stands, with a harmless command in place of the service's own."""
    text = (ROOT / "docker-compose.yml").read_text().split(f"\n  {service}:\n")[1]
    script = _the(r"entrypoint: \[\"sh\", \"-c\", '([^']*)'\]", text.split("\n\n")[0]).replace("$$", "$")
    script = re.sub(r"exec .*", "exec env", script)
    name = {"grafana": "GF_SECURITY_ADMIN_PASSWORD", "flower": "FLOWER_PASSWORD"}[service]
    for password, code in (("", 78), ("hush", 0)):
        run = subprocess.run(
            ["/bin/sh", "-c", script], env={name: password}, capture_output=True, text=True, check=False
        )
        assert run.returncode == code
        assert ("hush" in run.stdout) == (code == 0)
    assert f"127.0.0.1:{'3000' if service == 'grafana' else '5555'}" in text


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
