"""The cache's disk: every promise broken once, and nothing left behind."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from workbench.doctor import folder
from workbench.doctor.folder import probe


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(folder, "TRIAL", 1 << 16)


def states(cache: Path) -> dict[str, str]:
    return {f.name: f.state for f in probe(str(cache), "runtime.cache", ".trial", True)}


NAMES = ["runtime.cache", "disk space", "disk speed", "file locks", "renaming", "memory maps"]


def test_a_cache_that_is_not_there_yet_is_tried_where_it_will_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = folder.folder("some/cache", "runtime.cache")
    assert [f.name for f in found] == NAMES
    assert found[0].found == f"{tmp_path} can be written"
    assert {f.state for f in found} - {"warning"} == {"ok"}  # little room is no fault of this test's
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_cache(tmp_path):
    for place in (Path("/dev/null"), tmp_path / "file" / "below"):
        (tmp_path / "file").write_text("")
        (found,) = folder.folder(str(place), "runtime.cache")
        assert found.stops and "is not a folder" in found.found


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    (found,) = probe(str(tmp_path), "runtime.reports", ".trial", False)
    assert found.stops and found.found == f"{tmp_path}: Permission denied" and "runtime.reports" in found.mend


def test_a_full_disk(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (found,) = probe(str(tmp_path), "runtime.cache", ".trial", True)
    assert found.stops and found.found == f"{tmp_path}: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_little_room_and_few_inodes(tmp_path, monkeypatch):
    real = os.statvfs(tmp_path)
    values = {name: getattr(real, name) for name in dir(real) if name.startswith("f_")}

    def faked(**other):
        monkeypatch.setattr(os, "statvfs", lambda path: type("Found", (), values | other))
        return folder._room(tmp_path)

    roomy = {"f_frsize": 4096, "f_bavail": 1 << 30, "f_files": 1 << 20, "f_favail": 1 << 20}
    assert faked(**roomy).state == "ok"
    assert faked(**roomy | {"f_bavail": 1000}).state == "warning"
    assert faked(**roomy | {"f_favail": 5}).state == "warning"
    assert faked(**roomy | {"f_files": 0, "f_favail": 0}).state == "ok"  # btrfs counts none


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path, monkeypatch):
    (tmp_path / "mounts").write_text(
        f"a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\nb {tmp_path}-not tmpfs rw 0 0\n"
    )
    monkeypatch.setattr(folder, "MOUNTS", tmp_path / "mounts")
    assert folder._kind(tmp_path) == "nfs4" and folder._kind(Path("/")) == "ext4"


def test_a_slow_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: time.sleep(0.05))
    found = folder._speed(tmp_path)
    assert found.state == "warning" and "set runtime.cache to a local disk" in found.mend


def test_a_lock_that_two_processes_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *args, **how: subprocess.CompletedProcess(args, 0, b"", b""))
    assert states(tmp_path)["file locks"] == "broken"
    said = subprocess.CompletedProcess((), 1, b"", b"OSError: [Errno 37] No locks available")
    monkeypatch.setattr(subprocess, "run", lambda *args, **how: said)
    assert folder.locks(tmp_path) == (False, "the lock of another can't be asked")


def test_locks_that_the_disk_does_not_have(tmp_path, monkeypatch):
    def none(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(folder.fcntl, "flock", none)
    (found,) = [f for f in probe(str(tmp_path), "runtime.cache", ".trial", True) if f.name == "file locks"]
    assert found.stops and found.found == "OSError: No locks available" and "local_lock=flock" in found.mend


def test_a_rename_that_is_seen_half_done(tmp_path, monkeypatch):
    def copied(self, other):
        other.write_bytes(b"")
        time.sleep(0.02)
        other.write_bytes(self.read_bytes())

    monkeypatch.setattr(folder, "RENAMES", 20)
    monkeypatch.setattr(Path, "replace", copied)
    assert states(tmp_path)["renaming"] == "broken"


def stands(path: str, key: str, trial: str, deep: bool) -> list:
    (Path(path) / trial).mkdir()
    time.sleep(60)
    return []


def test_a_file_server_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "probe", stands)
    monkeypatch.setattr(folder, "SECONDS", 1.5)
    (found,) = folder.folder(str(tmp_path), "runtime.cache")
    assert found.stops and found.found == f"{tmp_path}: no answer within 1.5 seconds"
    assert list(tmp_path.iterdir()) == []
