"""What is written here and belongs into object storage: sent when it is whole, the page that links to the rest last."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.mirror import Object
from workbench.errors import RecipeError
from workbench.recipe.places import WRITTEN, shown, url_of

PROBE = ".mlim"
LAST = (".html", "about.json")  # ends of names: who finds such a file finds what it speaks of


def is_sent(path: Path) -> bool:
    """Whether there is something at the address of a path. Raises RecipeError where that can't be asked."""
    url = url_of(path, WRITTEN)
    return url is not None and bool(Bucket(url).found(""))


def send_changed(folder: Path) -> None:
    """Send what is new, or other than at the folder's address; what is there and not here stays."""
    if url := url_of(folder, WRITTEN):
        bucket = Bucket(url)
        there = {name: Object.of(name, info) for name, info in bucket.found("").items()}
        for path in _in_order(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            found = there.get(name)
            if not found or (found.size, found.md5) != (path.stat().st_size, _md5(path)):
                bucket.send(path, name)


def prepare(out: Path) -> None:
    """Raises RecipeError where nothing can be sent to the address of `out`; what a killed run had not sent goes."""
    if url_of(out.parent, WRITTEN) is None:
        raise RecipeError(f"{shown(out)}: is a whole bucket; give a name in it")
    out.parent.mkdir(parents=True, exist_ok=True)
    check(out.parent)
    _remove(out)


def deliver(out: Path) -> None:
    """Send a file or folder, and what was written beside it as NAME.…; then it is not here any more."""
    if url := url_of(out.parent, WRITTEN):
        bucket = Bucket(url)
        beside = [path for path in out.parent.glob("*") if path.name.startswith(f"{out.name}.")]
        for path in (*beside, out):
            if path.suffix not in (".partial", ".tmp", ".lock"):
                for file in _in_order((path, *path.rglob("*"))):
                    bucket.send(file, file.relative_to(out.parent).as_posix())
                _remove(path)


def check(folder: Path) -> None:
    """Raises RecipeError where nothing can be written at the address of a folder."""
    if url := url_of(folder, WRITTEN):
        bucket = Bucket(url)
        bucket.write(PROBE, b"")
        bucket.delete(PROBE)


def _in_order(paths: Iterator[Path] | Sequence[Path]) -> list[Path]:
    files = (path for path in paths if path.is_file() and path.suffix != ".tmp")
    return sorted(files, key=lambda path: (path.name.endswith(LAST), path))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
