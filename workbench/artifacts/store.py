"""The cache: each artifact a read-only folder, complete by construction.

<cache>/<stage>-<key16>.lock      held (flock) while it is made, freed by the kernel when the process dies
<cache>/<stage>-<key16>.partial/  work in progress, continued after a kill
<cache>/<stage>-<key16>/          complete: manifest.json was written last, everything was fsynced, then renamed
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.artifacts.key import key_of
from workbench.errors import ArtifactError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Artifact:
    """A complete artifact: its folder and its manifest."""

    folder: Path
    stage: str
    key: str
    ingredients: Mapping[str, Any]
    summary: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]  # name -> {"bytes": int, "sha256": str}

    @classmethod
    def open(cls, folder: Path) -> Artifact:
        """Read a folder's manifest; ArtifactError if it is damaged."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            return cls(folder, *(manifest[k] for k in ("stage", "key", "ingredients", "summary", "files")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder / MANIFEST}: unreadable ({error}); delete {folder} and run again") from None

    def path(self, name: str) -> Path:
        """A file of the artifact, checked to be there with the recorded size."""
        path = self.folder / name
        if not path.exists() or path.stat().st_size != self.files[name]["bytes"]:
            raise ArtifactError(f"{path}: missing or of another size than recorded; delete {self.folder} and run again")
        return path

    def verify(self, *names: str) -> None:
        """Read these files (every one by default), compare checksums; ArtifactError names the first that differs."""
        names = names or tuple(self.files)
        for name, digest in zip(names, digests_of([self.path(name) for name in names]), strict=True):
            if digest != self.files[name]["sha256"]:
                raise ArtifactError(f"{self.folder / name}: its bytes changed; delete {self.folder} and run again")


class Store:
    """All artifacts below one cache folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, stage: str, key: str) -> Artifact | None:
        """The complete artifact of this key, or None."""
        folder = self._folder(stage, key)
        if not folder.is_dir():
            return None
        artifact = Artifact.open(folder)
        if artifact.key != key:
            raise ArtifactError(f"{folder}: holds the key {artifact.key[:16]}, expected {key[:16]}; delete it")
        for name in artifact.files:
            artifact.path(name)
        return artifact

    def all_of(self, stage: str) -> list[Artifact]:
        """Every complete artifact of a stage with a readable manifest, oldest first."""
        artifacts = []
        for folder in self.root.glob(f"{stage}-{'[0-9a-f]' * 16}"):
            with suppress(ArtifactError):  # whoever needs that very artifact gets the error from `find`
                artifacts.append(Artifact.open(folder))
        return sorted(artifacts, key=lambda a: (a.folder.stat().st_mtime_ns, a.key))

    def partial(self, stage: str, key: str) -> Path | None:
        """The folder an unfinished run of this key left behind, or None."""
        folder = self._folder(stage, key).with_suffix(".partial")
        return folder if folder.is_dir() else None

    def log(self, stage: str, key: str) -> Path:
        """Where a run of this key logs its times; outside the artifact, whose bytes must not depend on them."""
        return self.root / "logs" / f"{self._folder(stage, key).name}.jsonl"

    @contextmanager
    def making(self, stage: str, key: str, resume: bool = True) -> Iterator[Path]:
        """Hold the key's lock and yield the folder to work in, emptied first unless `resume`.

        Raises ArtifactError if another process is making it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        folder = self._folder(stage, key)
        with folder.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArtifactError(
                    f"{folder.name}: another process is making it; wait until that one ends, then run again"
                ) from None
            partial = folder.with_suffix(".partial")
            if not resume:
                shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(exist_ok=True)
            yield partial

    def commit(self, stage: str, ingredients: Mapping[str, Any], summary: Mapping[str, Any]) -> Artifact:
        """Turn the partial folder into the artifact: manifest last, everything on disk, then one rename."""
        key = key_of(ingredients)
        folder = self._folder(stage, key)
        partial = folder.with_suffix(".partial")
        for torn in partial.rglob("*.tmp"):  # a killed run was writing it
            torn.unlink()
        paths = [p for p in partial.rglob("*") if p.is_file() and p != partial / MANIFEST]
        names = sorted(p.relative_to(partial).as_posix() for p in paths)
        found = zip(names, digests_of([partial / n for n in names]), strict=True)
        files = {n: {"bytes": (partial / n).stat().st_size, "sha256": digest} for n, digest in found}
        manifest = {"stage": stage, "key": key, "ingredients": ingredients, "summary": summary, "files": files}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False))
        for path in (*(partial / n for n in names), partial / MANIFEST, partial):
            fsync(path)
        partial.rename(folder)
        fsync(self.root)
        return Artifact.open(folder)

    def _folder(self, stage: str, key: str) -> Path:
        return self.root / f"{stage}-{key[:16]}"


def digests_of(paths: Sequence[Path]) -> list[str]:
    """SHA-256 of each file, several read side by side: an artifact may hold many gigabytes."""

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(digest, paths))


def fsync(path: Path) -> None:
    """Return when the file, or the folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
