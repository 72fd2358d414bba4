"""Canonical JSON -> key, and digests of the files a recipe reads.

A key is known before anything runs: SHA-256 over the canonical JSON of a stage's name, version, recipe section,
input keys and source digests. What can't be made canonical JSON is an error, never a random key.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import ArtifactError


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; ArtifactError for anything that has no single JSON form."""
    _check(value, "")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(ingredients: Mapping[str, Any]) -> str:
    """64 hexadecimal digits that name an artifact made from these ingredients."""
    return hashlib.sha256(canonical(ingredients).encode()).hexdigest()


def _check(value: Any, path: str) -> None:
    if value is None or isinstance(value, (bool, int, str)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArtifactError(f"key ingredient {path[1:]}: {value} has no canonical JSON; use a finite number")
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            _check(inner, f"{path}.{i}")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise ArtifactError(f"key ingredient {path[1:]}: the key {name!r} is no text")
            _check(inner, f"{path}.{name}")
    else:
        raise ArtifactError(f"key ingredient {path[1:]}: {type(value).__name__} has no canonical JSON")


class Digests:
    """SHA-256 of files and folders, remembered by (path, size, change times) so that a plan reads no byte twice."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, list[Any]] = {}
        self._met: dict[str, str] = {}
        self._changed = False
        with suppress(OSError, ValueError):  # nothing remembered: the digests are computed again
            self._known = json.loads(memory.read_text())

    def of(self, path: Path, skip: Callable[[str], bool] | None = None) -> str:
        """Digest of a file's bytes, or of a folder's file names and bytes; hidden ones and `skip` are left out.

        Raises OSError when the path can't be read.
        """
        if path.is_dir():
            total = hashlib.sha256()
            for name, file, is_link in _walk(path, skip):
                digest = self._file(file)
                total.update(f"{name}\0{digest}\n".encode("utf-8", "surrogateescape"))
                if not is_link:
                    self._met[file] = digest
            return total.hexdigest()
        return self._file(str(path))

    def met(self, path: str) -> str | None:
        """The digest of a file that `of` found in a folder at this path, through no link; the disk isn't asked."""
        return self._met.get(path)

    def remembered(self, path: str) -> str | None:
        """The digest of a file that has not changed since it was read; nothing is read. Raises OSError."""
        known = self._known.get(path)
        return str(known[-1]) if known and known[:-1] == _seen(path) else None

    def save(self) -> None:
        """Remember the digests for the next plan."""
        if self._changed:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            aside = self._memory.with_suffix(f".{os.getpid()}")
            aside.write_text(json.dumps(self._known))
            aside.replace(self._memory)
            self._changed = False

    def _file(self, path: str) -> str:
        if known := self.remembered(path):
            return known
        seen = _seen(path)  # before it is read: a change meanwhile is noticed next time
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[path] = [*seen, digest]
        self._changed = True
        return digest


def _seen(path: str) -> list[int]:
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _walk(folder: Path, skip: Callable[[str], bool] | None) -> list[tuple[str, str, bool]]:
    """Name below `folder` (with forward slashes) and path of each file, whether it is a link; sorted by name."""
    files, waiting = list[tuple[str, str, bool]](), [("", str(folder))]
    while waiting:
        below, here = waiting.pop()
        with suppress(PermissionError), os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith(".") or (skip and skip(entry.path)):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{below}{entry.name}/", entry.path))
                elif entry.is_file():
                    files.append((below + entry.name, entry.path, entry.is_symlink()))
    return sorted(files)
