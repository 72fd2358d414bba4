"""What the system gives this process: cores, memory, shared memory, open files, processes, and its clocks."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import shutil
import time
from pathlib import Path

from workbench import linux
from workbench.doctor.finding import Finding, judged
from workbench.forecast.words import size

SHM = Path("/dev/shm")
GB = 10**9
SHARED = GB  # bytes: NCCL's channels between the GPUs of a machine take up to 100 MB a GPU
FILES = 1024  # open ones: a pool of downloads, libraries, and the pipes of processes
TASKS = 512  # processes and threads, and 8 a core
MEMORY = 4 * GB  # of a training of a small model, with torch's libraries
BORN = 1735689600.0  # 2025: a clock that says less makes every certificate invalid


def cores(threads: int) -> list[Finding]:
    """Cores, those that may be used, and the share of them that a container is given; `threads` is runtime.threads."""
    own, quota = len(os.sched_getaffinity(0)), linux.cpus()
    told = f"{own} of {os.cpu_count()} cores may be used"
    if quota is None or quota >= own:
        return [Finding("cores", "ok", told)]
    told += f", for {quota:g} cores' worth of time (the container's limit)"
    fitting = math.ceil(quota)
    mend = f"set runtime.threads: {fitting}, since more threads are stopped most of the time; or raise the limit"
    return [judged("cores", told, mend, 0 < threads <= fitting)]


def threads(wanted: int) -> list[Finding]:
    """Whether the environment holds libraries to fewer threads than the cores."""
    own = wanted or len(os.sched_getaffinity(0))
    held = {n: v for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS") if (v := os.environ.get(n))}
    fewer = {name: value for name, value in held.items() if value.isdigit() and int(value) < own}
    told = ", ".join(f"{name}={value}" for name, value in (fewer or held).items()) or "no variable limits them"
    if wanted:
        fewer.pop("OMP_NUM_THREADS", None)  # torch is told the recipe's
    return [judged("threads", told, f"unset {' '.join(fewer)}: {own} cores may be used", not fewer)]


def memory() -> list[Finding]:
    """Memory of the machine or of the container, and swap."""
    bytes_of = linux.numbers(linux.PROC / "meminfo")
    total, free = bytes_of["MemTotal"], bytes_of["MemAvailable"]
    limit = linux.memory()
    told = f"{size(free)} free of {size(total)}, {size(bytes_of['SwapTotal'])} of swap"
    if limit is not None and limit < total:
        told += f"; this container may use {size(limit)}"
    mend = "end other programs or give the machine more; models of size tiny and small need about that"
    return [judged("memory", f"{told}", f"less than {size(MEMORY)}: {mend}", min(free, limit or free) >= MEMORY)]


def shared_memory() -> list[Finding]:
    """Where processes share memory: a container's is 64 MB unless it is given more."""
    name, docker = "shared memory", "docker run --shm-size=8g (or --ipc=host); Kubernetes: an emptyDir of medium Memory"
    if not SHM.is_dir():
        return [Finding(name, "missing", f"no {SHM}", f"mount a tmpfs there; {docker}", needed=False)]
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        return [Finding(name, "broken", f"{SHM}: {error.strerror}", f"make it writable; {docker}")]
    space = shutil.disk_usage(SHM)
    told = f"{size(space.free)} free of {size(space.total)} in {SHM}"
    return [judged(name, told, f"trainings on several GPUs need {size(SHARED)}: {docker}", space.free >= SHARED)]


def open_files() -> list[Finding]:
    """How many files may be open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "any number" if hard == resource.RLIM_INFINITY else str(hard)
    enough = soft == resource.RLIM_INFINITY or soft >= FILES
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    mend = f"ulimit -n {wanted}" if wanted >= FILES else f"raise the hard limit to {FILES} (limits.conf, --ulimit)"
    told = "any number" if soft == resource.RLIM_INFINITY else str(soft)
    return [judged("open files", f"{told} at once, {most} where asked for", mend, enough)]


def tasks() -> list[Finding]:
    """How many processes and threads may be begun."""
    limits = {"the container's limit of pids": linux.tasks()}
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    limits["ulimit -u"] = None if soft == resource.RLIM_INFINITY or os.geteuid() == 0 else soft
    left = {name: count for name, count in limits.items() if count is not None}
    if not left:
        return [Finding("processes", "ok", "any number")]
    name = min(left, key=left.__getitem__)
    wanted = TASKS + 8 * len(os.sched_getaffinity(0))
    told = f"{left[name]} processes and threads ({name})"
    return [judged("processes", told, f"raise that to {wanted} at least", left[name] >= wanted)]


def clocks() -> list[Finding]:
    """Checkpoints are written by one clock, certificates judged by the other."""
    before = time.monotonic()
    time.sleep(0.05)
    passed, wall = time.monotonic() - before, time.time()
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(wall))
    if not 0.05 <= passed < 5:
        mend = "set the machine's clock source to another (or the hypervisor's); restart it"
        return [Finding("clocks", "broken", f"50 ms took {passed * 1000:.0f} ms by the monotonic clock", mend)]
    return [judged("clocks", when, "set the clock (NTP): downloads fail with a wrong date", wall > BORN)]
