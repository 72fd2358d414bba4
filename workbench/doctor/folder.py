"""The cache's disk: does it keep what mlim's artifacts and checkpoints rely on, is it fast, is there room?

Everything is tried in a folder of its own, which is removed whatever happens.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workbench.doctor.child import Died, in_child
from workbench.doctor.finding import Finding, judged
from workbench.forecast.words import size

MOUNTS = Path("/proc/mounts")
SECONDS = 30.0  # for all of it: a file server that is gone answers never
TRIAL = 32 << 20  # bytes that are written and read
RENAMES = 200
LEAST = 5 * 10**9  # bytes free
INODES = 10_000
WRITE, READ = 20e6, 50e6  # bytes a second: less, and training waits for the disk
LOCAL = "set runtime.cache to a local disk"
LOCK = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def folder(path: str, key: str, deep: bool = True) -> list[Finding]:
    """A folder, named by the recipe key `key`, in a child; `deep`: as the cache, not only to be written."""
    path, trial = str(Path(path).absolute()), f".mlim-doctor-{uuid.uuid4().hex[:12]}"
    try:
        return in_child(probe, (path, key, trial, deep), SECONDS)
    except Died as error:
        with suppress(Died):
            in_child(remove, (path, trial), 5)
        mend = f"see to that disk (`df {path}`, `dmesg`), or set {key} to another"
        return [Finding(key, "broken", f"{path}: {error}", mend)]


def probe(path: str, key: str, trial: str, deep: bool) -> list[Finding]:
    """In the child: all that is tried in the folder, or in the one in which it would be made."""
    there = _there(Path(path))
    if not there.is_dir():
        return [Finding(key, "broken", f"{path}: {there} is not a folder", f"set {key} to a folder")]
    own, found = there / trial, Finding(key, "ok", f"{there} can be written")
    try:
        own.mkdir()
        return [found, _room(there), _speed(own), *(_tried(name, own) for name in PROMISES)] if deep else [found]
    except OSError as error:
        mend = f"give the user the right to write there, make room, or set {key} to another folder"
        return [Finding(key, "broken", f"{there}: {error.strerror}", mend)]
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove(path: str, trial: str) -> list[Finding]:
    """What a probe that was ended has left."""
    shutil.rmtree(_there(Path(path)) / trial, ignore_errors=True)
    return []


def _there(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _room(there: Path) -> Finding:
    found = os.statvfs(there)
    free, inodes = found.f_bavail * found.f_frsize, found.f_favail
    told = f"{size(free)} free in {there} ({_kind(there)})"
    if found.f_files:  # some file systems have no limit of them
        told += f", {inodes:,} more files"
    enough = free >= LEAST and (not found.f_files or inodes >= INODES)
    return judged("disk space", told, "make room, or set runtime.cache to a larger disk; `mlim plan` tells", enough)


def _kind(there: Path) -> str:
    """The type of the file system, by the last and longest mount above the folder."""
    with suppress(OSError):
        mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
        above = [(len(point), kind) for point, kind in mounts if there.resolve().is_relative_to(point)]
        return max(above, key=lambda pair: pair[0])[1]
    return "a disk"


def _speed(own: Path) -> Finding:
    data, file = os.urandom(TRIAL), own / "speed"
    write = _seconds(lambda: _written(file, data))
    handle = os.open(file, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # or memory would be measured
        read = _seconds(lambda: os.pread(handle, TRIAL, 0))
    finally:
        os.close(handle)
    small = sorted(_seconds(lambda: _written(own / "small", b"x")) for _ in range(5))[2]
    file.unlink()
    told = f"writes {TRIAL / write / 1e6:,.0f} MB/s, reads {TRIAL / read / 1e6:,.0f} MB/s, {small * 1e3:.1f} ms a flush"
    return judged("disk speed", told, f"slow; {LOCAL}", TRIAL / write >= WRITE and TRIAL / read >= READ)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return max(time.perf_counter() - begun, 1e-6)


def _written(file: Path, data: bytes) -> None:
    with file.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _tried(name: str, own: Path) -> Finding:
    try:
        good, found = PROMISES[name](own)
    except OSError as error:
        good, found = False, f"{type(error).__name__}: {error.strerror}"
    return Finding(name, "ok", found) if good else Finding(name, "broken", found, MENDS[name])


def locks(own: Path) -> tuple[bool, str]:
    """A second process must not get what this one holds."""
    file = own / "lock"
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other = subprocess.run([sys.executable, "-c", LOCK, str(file)], capture_output=True, timeout=10)
    if other.returncode and b"BlockingIOError" in other.stderr:
        return True, "one process at a time holds a lock"
    return False, "two processes hold the same lock" if not other.returncode else "the lock of another can't be asked"


def renames(own: Path) -> tuple[bool, str]:
    """Whoever reads a file that is replaced sees the old one or the new one, and always one of them."""
    file, aside, wrong, done = own / "file", own / "aside", list[str](), threading.Event()
    versions = [letter * 65536 for letter in (b"a", b"b")]
    file.write_bytes(versions[0])

    def read() -> None:
        while not (done.is_set() or wrong):
            try:
                if file.read_bytes() not in versions:
                    wrong.append("a reader saw half of a file that was renamed")
            except OSError as error:
                wrong.append(f"while it was replaced, a file was not to be read ({error.strerror})")

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(RENAMES):
        aside.write_bytes(versions[i % 2])
        aside.replace(file)
    done.set()
    reader.join()
    (own / "one").mkdir()
    (own / "one").rename(own / "two")
    return not wrong, wrong[0] if wrong else f"{RENAMES} of files, each whole, and of a folder"


def maps(own: Path) -> tuple[bool, str]:
    """Shards of pictures and token ids are read through memory maps."""
    file = own / "map"
    file.write_bytes(b"mapped" * 1000)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped[-6:] == b"mapped", "files can be mapped into memory"


PROMISES: dict[str, Callable[[Path], tuple[bool, str]]] = {
    "file locks": locks,
    "renaming": renames,
    "memory maps": maps,
}
MENDS = {
    "file locks": f"NFS: mount it with version 4, or with local_lock=flock where one machine uses it; or {LOCAL}",
    "renaming": f"{LOCAL}: what is written aside would be seen half-written",
    "memory maps": f"mount that disk so that files can be mapped (FUSE: without direct_io); or {LOCAL}",
}
