"""What a container may use: the limits of this process's control groups, versions 1 and 2, each level's the lowest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CGROUP, PROC = Path("/sys/fs/cgroup"), Path("/proc")
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


def _files(controller: str, name: str) -> Iterator[str]:
    """The content of a file in this process's group and in all above it; `controller` "" is version 2."""
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            root = CGROUP / controllers if controllers else CGROUP
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                if text := _read(folder / name).strip():
                    yield text
                if folder == root:
                    break


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
