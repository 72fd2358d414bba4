"""What Linux tells of this process: the memory it holds, and what it may use by its control groups (a container's
limits), versions 1 and 2, each level's the lowest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP, PROC = Path("/sys/fs/cgroup"), Path("/proc")
_PEAK = Path("/proc/self/clear_refs")  # proc(5): the peak is counted anew when 5 is written
UNLIMITED = 1 << 60  # bytes: version 1 says so


def cpus() -> float | None:
    """Cores' worth of time that may be taken, or None without a limit."""
    quotas = [tuple(text.split()) for text in _files("", "cpu.max")]
    quotas += zip(_files("cpu", "cpu.cfs_quota_us"), _files("cpu", "cpu.cfs_period_us"), strict=False)
    return min((int(q) / int(period) for q, period in quotas if q.lstrip("-").isdigit() and int(q) > 0), default=None)


def memory() -> int | None:
    """Bytes, or None without a limit."""
    return _lowest([*_files("", "memory.max"), *_files("memory", "memory.limit_in_bytes")])


def tasks() -> int | None:
    """Processes and threads that may still be begun, or None without a limit."""
    left = [
        int(most) - int(now)
        for kind in ("", "pids")
        for most, now in zip(_files(kind, "pids.max"), _files(kind, "pids.current"), strict=False)
        if most.isdigit()
    ]
    return min(left, default=None)


def _lowest(texts: list[str]) -> int | None:
    return min((int(text) for text in texts if text.isdigit() and int(text) < UNLIMITED), default=None)


def available() -> int:
    """Bytes of memory that programs may still have on this machine, and in this container."""
    return min([numbers(PROC / "meminfo")["MemAvailable"], *_left()])


def held() -> int:
    """Bytes that this process holds."""
    return numbers(PROC / "self/status")["VmRSS"]


def peak() -> int:
    """The most that it held since its begin, or since `count_anew`."""
    return numbers(PROC / "self/status")["VmHWM"]


def can_count_anew() -> bool:
    return os.access(_PEAK, os.W_OK)


def count_anew() -> None:
    """From now on `peak` is of what comes. Raises OSError where the system doesn't do that."""
    _PEAK.write_text("5")


def numbers(path: Path, unit: int = 1024) -> dict[str, int]:
    """`word: number …` a line."""
    words = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {w[0]: int(w[1]) * unit for w in words if len(w) > 1 and w[1].isdigit()}


def _left() -> Iterator[int]:
    """What the limit of each control group leaves; what it caches of files is not in use."""
    v1, v2 = ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"), ("", "memory.max", "memory.current")
    for controller, limit, use in (v1, v2):
        for folder in _groups(controller):
            if (said := _read(folder / limit).strip()).isdigit():
                yield int(said) - int(_read(folder / use)) + numbers(folder / "memory.stat", 1)["inactive_file"]


def _files(controller: str, name: str) -> Iterator[str]:
    """The content of a file in this process's group and in all above it."""
    yield from filter(None, (_read(folder / name).strip() for folder in _groups(controller)))


def _groups(controller: str) -> Iterator[Path]:
    """Folders of this process's group and of all above it; `controller` "" is version 2."""
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            root = CGROUP / controllers if controllers else CGROUP
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                yield folder
                if folder == root:
                    break


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
