"""The system's limits, faked."""

import multiprocessing
import os
import resource
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

from workbench import linux
from workbench.doctor import machine

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def proc(tmp_path, monkeypatch) -> Path:
    """A /proc and a /sys/fs/cgroup of this test."""
    monkeypatch.setattr(linux, "PROC", tmp_path / "proc")
    monkeypatch.setattr(linux, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    write(tmp_path, {"proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\nSwapTotal: 0 kB\n"})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


V2 = {"proc/self/cgroup": "0::/kubepods/pod/box\n"}
V1 = {"proc/self/cgroup": "4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n2:pids:/docker/1\n0::/\n"}


def test_half_a_core_by_version_2_the_lowest_of_all_levels(proc):
    write(
        proc, {**V2, "cgroup/kubepods/pod/box/cpu.max": "max 100000\n", "cgroup/kubepods/pod/cpu.max": "50000 100000\n"}
    )
    assert linux.cpus() == 0.5
    (found,) = machine.cores(0)
    assert found.state == "warning" and found.found.startswith(
        "8 of 64 cores may be used, for 0.5 cores' worth of time"
    )
    assert found.mend.startswith("set runtime.threads: 1,")
    assert machine.cores(1)[0].state == "ok"


def test_limits_by_version_1_also_where_a_container_sees_itself_as_the_root(proc):
    write(
        proc, {**V1, "cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000", "cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000"}
    )
    write(proc, {"cgroup/memory/docker/1/memory.limit_in_bytes": "9223372036854771712"})
    write(proc, {"cgroup/memory/memory.limit_in_bytes": "2000000000"})
    write(proc, {"cgroup/pids/docker/1/pids.max": "100", "cgroup/pids/docker/1/pids.current": "40"})
    assert (linux.cpus(), linux.memory(), linux.tasks()) == (2.5, 2_000_000_000, 60)
    assert machine.cores(0)[0].mend.startswith("set runtime.threads: 3,")


def test_without_limits(proc):
    write(proc, {**V1, "cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "-1"})
    write(proc, {"cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000"})
    assert (linux.cpus(), linux.memory(), linux.tasks()) == (None, None, None)
    assert machine.cores(0)[0].found == "8 of 64 cores may be used"
    write(proc, {**V2, "cgroup/kubepods/pod/box/pids.max": "max", "cgroup/kubepods/pod/box/pids.current": "4"})
    assert (linux.cpus(), linux.memory(), linux.tasks()) == (None, None, None)


def test_a_container_of_little_memory(proc):
    assert machine.memory()[0].state == "ok"
    write(proc, {**V2, "cgroup/kubepods/memory.max": "2147483648\n"})
    (found,) = machine.memory()
    assert found.state == "warning" and found.found.endswith("this container may use 2.1 GB")


def test_few_processes_may_be_begun(proc):
    write(proc, {**V2, "cgroup/kubepods/pids.max": "600", "cgroup/kubepods/pids.current": "500"})
    (found,) = machine.tasks()
    assert found.state == "warning" and found.found == "100 processes and threads (the container's limit of pids)"
    assert found.mend == "raise that to 576 at least"


def test_threads_held_to_one(proc, monkeypatch):
    assert machine.threads(0)[0].state == "ok"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (found,) = machine.threads(0)
    assert (found.state, found.found) == ("warning", "OMP_NUM_THREADS=1")
    assert found.mend == "unset OMP_NUM_THREADS: 8 cores may be used"
    assert machine.threads(4)[0].state == "ok"  # torch is told the recipe's
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert machine.threads(0)[0].state == "ok"


def test_dockers_64_mb_of_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 << 20, 0, 64 << 20))
    (found,) = machine.shared_memory()
    assert found.state == "warning" and found.found == "67 MB free of 67 MB in /dev/shm" and not found.stops
    assert "--shm-size" in found.mend
    monkeypatch.setattr(machine, "SHM", tmp_path / "none")
    assert machine.shared_memory()[0].state == "missing" and not machine.shared_memory()[0].stops


def test_shared_memory_that_cannot_be_written(monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(multiprocessing.context.SpawnContext, "Lock", refuse)
    (found,) = machine.shared_memory()
    assert found.stops and found.found == "/dev/shm: Permission denied"


@pytest.mark.parametrize(
    ("limits", "state", "mend"),
    [
        ((256, 1_000_000), "warning", "ulimit -n 4096"),
        ((256, 2000), "warning", "ulimit -n 2000"),
        ((256, 512), "warning", "raise the hard limit to 1024 (limits.conf, --ulimit)"),
        ((256, resource.RLIM_INFINITY), "warning", "ulimit -n 4096"),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "ok", ""),
        ((1024, 4096), "ok", ""),
    ],
)
def test_open_files(monkeypatch, limits, state, mend):
    monkeypatch.setattr(resource, "getrlimit", lambda what: limits)
    (found,) = machine.open_files()
    assert (found.state, found.mend) == (state, mend)


def test_clocks(monkeypatch):
    assert machine.clocks()[0].state == "ok"
    monkeypatch.setattr(time, "time", lambda: 0.0)
    (found,) = machine.clocks()
    assert (found.state, found.found) == ("warning", "1970-01-01 00:00 UTC")
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    assert machine.clocks()[0].stops
