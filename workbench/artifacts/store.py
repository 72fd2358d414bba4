"""The cache: each artifact a read-only folder, complete by construction.

<cache>/<stage>-<key16>.lock      held (flock) while it is made, freed by the kernel when the process dies
<cache>/<stage>-<key16>.partial/  work in progress, continued after a kill
<cache>/<stage>-<key16>/          complete: manifest.json was written last, everything was fsynced, then renamed
<cache>/<stage>-<key16>.streamed/ the same, but for files that stay in an object store; its manifest names them
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.format import check_format
from workbench.artifacts.key import key_of
from workbench.errors import ArtifactError

if TYPE_CHECKING:
    from workbench.artifacts.remote import Remote

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Away:
    """An object store that holds artifacts as the cache does, and how many bytes of streamed files are kept here."""

    url: str
    kept: int


@dataclass(frozen=True)
class Artifact:
    """A complete artifact: its folder and its manifest."""

    folder: Path
    stage: str
    key: str
    ingredients: Mapping[str, Any]
    summary: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]  # name -> {"bytes": int, "sha256": str}
    streamed: Sequence[str] = ()  # files that are not in the folder
    away: Away | None = None  # where those are

    @classmethod
    def open(cls, folder: Path) -> Artifact:
        """Read a folder's manifest; ArtifactError if it is damaged."""
        try:
            return cls.of(folder, json.loads((folder / MANIFEST).read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder / MANIFEST}: unreadable ({error}); delete {folder} and run again") from None

    @classmethod
    def of(cls, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
        check_format(manifest, folder / MANIFEST, f"delete {folder} and run again")
        stage, key, ingredients, summary, files = (
            manifest[name] for name in ("stage", "key", "ingredients", "summary", "files")
        )
        return cls(folder, stage, key, ingredients, summary, files, manifest.get("streamed", ()))

    def manifest(self) -> dict[str, Any]:
        """What `of` reads."""
        names = ("stage", "key", "ingredients", "summary", "files", *(["streamed"] if self.streamed else []))
        return {name: getattr(self, name) for name in names}

    @property
    def is_there(self) -> bool:
        """Whether only an object store has it, of which the folder is a name, until `Store.here` brought it."""
        return not self.folder.is_absolute()

    @property
    def here(self) -> list[str]:
        """The files in the folder."""
        streamed = set(self.streamed)
        return [name for name in self.files if name not in streamed]

    def path(self, name: str) -> Path:
        """A file of the artifact, checked to be there with the recorded size."""
        path = self.folder / name
        if not path.exists() or path.stat().st_size != self.files[name]["bytes"]:
            raise ArtifactError(f"{path}: missing or of another size than recorded; delete {self.folder} and run again")
        return path

    def verify(self, *names: str) -> None:
        """Read these files (all that are here by default), compare checksums; ArtifactError names the first that
        differs. Streamed ones are verified when they come."""
        names = names or tuple(self.here)
        for name, digest in zip(names, digests_of([self.path(name) for name in names]), strict=True):
            if digest != self.files[name]["sha256"]:
                raise ArtifactError(f"{self.folder / name}: its bytes changed; delete {self.folder} and run again")


class Store:
    """All artifacts below one cache folder."""

    remote: Remote | None = None  # from where some may be taken (shared.py)

    def __init__(self, root: Path, away: Away | None = None) -> None:
        self.root, self.away = root, away

    def find(self, stage: str, key: str) -> Artifact | None:
        """The complete artifact of this key, or None; one whose files are streamed where a store of them is known."""
        folder = self._folder(stage, key)
        streamed = folder.with_suffix(".streamed")
        try:
            if folder.is_dir():
                return self._open(folder, key)
        except ArtifactError:
            if not (self.away and streamed.is_dir()):
                raise
        return self._open(streamed, key) if self.away and streamed.is_dir() else None

    def seek(self, stage: str, key: str) -> Artifact | None:
        """The same, also one that `is_there`. Raises MlimError."""
        return self.find(stage, key)

    def here(self, artifact: Artifact, streams: str = "") -> Artifact:
        """One that was found, its files on this machine but for those that match `streams`. Raises MlimError."""
        return artifact

    def _open(self, folder: Path, key: str) -> Artifact:
        artifact = Artifact.open(folder)
        if artifact.key != key:
            raise ArtifactError(f"{folder}: holds the key {artifact.key[:16]}, expected {key[:16]}; delete it")
        for name in artifact.here:
            artifact.path(name)
        return replace(artifact, away=self.away) if artifact.streamed else artifact

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
        folder = self._folder(stage, key)
        with self.locked(folder.name):
            partial = folder.with_suffix(".partial")
            if not resume:
                shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(exist_ok=True)
            yield partial

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock of a folder of the cache. Raises ArtifactError if another process does."""
        folder = self.root / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            yield

    @property
    def bucket(self) -> Bucket | None:
        """The object store in which the cache is, too (shared.py)."""
        return None

    def share(self, artifact: Artifact) -> None:
        """Let other machines have it, where the cache is theirs too (shared.py). Raises MlimError."""

    def note(self, name: str, data: bytes, makes: str = "") -> None:
        """Leave a small file for other machines, where the cache is theirs too (shared.py). Raises MlimError, but where
        it can't be left and there is nothing that the run `makes`."""

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
        return self.adopt(Artifact(partial, stage, key, ingredients, summary, files))

    def adopt(self, artifact: Artifact) -> Artifact:
        """The same for a partial folder whose files are known to be those of `artifact`, but for streamed ones."""
        partial, folder = artifact.folder, self._folder(artifact.stage, artifact.key)
        folder = folder.with_suffix(".streamed") if artifact.streamed else folder
        (partial / MANIFEST).write_text(as_json(artifact.manifest()))
        for path in (*(partial / name for name in artifact.here), partial / MANIFEST, partial):
            fsync(path)
        if folder.exists():  # damaged: `find` did not take it
            shutil.rmtree(folder)
        partial.rename(folder)
        fsync(self.root)
        return self._open(folder, artifact.key)

    def _folder(self, stage: str, key: str) -> Path:
        return self.root / f"{stage}-{key[:16]}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold <folder>.lock, which the kernel frees when the process dies; ArtifactError if another process does."""
    with folder.with_suffix(".lock").open("w") as lock:
        for wait in (0.01, 0.05, 0.0):  # who looks whether it is held (uses.py) has it for a moment
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(wait)
        else:
            raise ArtifactError(
                f"{folder.name}: another process is making it; wait until that one ends, then run again"
            )
        yield


def as_json(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)


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
