from __future__ import annotations

from pathlib import Path

import pytest

from workers.supervisor.memory_limits import cgroup_limits, memory_limits

MIB = 2**20


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "proc"


def group(folder: Path, *, second: bool, limit: str, used_mb: int, reclaimable_mb: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    limit_file, used_file, field = ("memory.max", "memory.current", "inactive_file")
    if not second:
        limit_file, used_file, field = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / limit_file).write_text(f"{limit}\n")
    (folder / used_file).write_text(f"{used_mb * MIB}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{field} {reclaimable_mb * MIB}\n")


def test_version_2_the_tightest_of_a_group_and_those_above_it_is_among_them(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/shop/pool\n")
    root = tmp_path / "cgroup"
    group(root / "shop" / "pool", second=True, limit=str(800 * MIB), used_mb=300, reclaimable_mb=50)
    group(root / "shop", second=True, limit=str(500 * MIB), used_mb=450)
    found = {(bound.limit_mb, bound.free_mb) for bound in cgroup_limits(proc, root)}
    assert found == {(800.0, 550.0), (500.0, 50.0)}


def test_version_1_is_read_from_its_own_folder_and_no_limit_is_none(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("9:cpu:/other\n4:memory:/shop\n0::/\n")
    root = tmp_path / "cgroup"
    group(root / "memory", second=False, limit="9223372036854771712", used_mb=1)
    group(root / "memory" / "shop", second=False, limit=str(600 * MIB), used_mb=700)
    group(root / "cpu" / "other", second=False, limit=str(1 * MIB), used_mb=1)
    (found,) = cgroup_limits(proc, root)
    assert (found.limit_mb, found.free_mb) == (600.0, 0.0)
    assert found.name.endswith("/memory/shop")


def test_in_a_container_the_mounted_folder_is_the_group(proc: Path, tmp_path: Path) -> None:
    """The path is the host's and not there; without a namespace of its own it may even lead outside."""
    root = tmp_path / "cgroup"
    group(root, second=True, limit=str(256 * MIB), used_mb=56)
    for path in ("/system.slice/docker-abc.scope", "/../../elsewhere"):
        (proc / "self" / "cgroup").write_text(f"0::{path}\n")
        (found,) = cgroup_limits(proc, root)
        assert (found.limit_mb, found.free_mb) == (256.0, 200.0)


def test_without_limits_there_is_the_machine_alone(proc: Path, tmp_path: Path) -> None:
    assert cgroup_limits(proc, tmp_path) == []
    (proc / "self" / "cgroup").write_text("0::/\n")
    group(tmp_path / "cgroup", second=True, limit="max", used_mb=5)
    (machine,) = memory_limits(proc, tmp_path / "cgroup")
    assert machine.name == "machine"
    assert 0 < machine.free_mb <= machine.limit_mb
