"""Every file of a cache read again, and held beside the checksum that was noted when it was made; where none was, it is
seen whether it is whole."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.artifacts.key import key_of
from workbench.artifacts.store import MANIFEST, Artifact
from workbench.cache.place import POSITION, Here
from workbench.cache.thing import PICTURES, Thing
from workbench.errors import ArtifactError

AT_ONCE = 8  # files read side by side
TENSORS = ".safetensors"
MODEL = ("model.json", "model.safetensors", "about.json")  # without which there is none (answers/compose.py)


@dataclass(frozen=True)
class Damage:
    """A file that is not what it was, and what is wrong with it."""

    thing: str
    file: str
    what: str


@dataclass(frozen=True)
class Noted:
    """A file as it was when it was made."""

    thing: str  # the folder that is of no use without it
    file: str  # below the cache
    bytes: int
    found: int | None  # bytes, as it was listed
    sha256: str = ""
    crc32: int | None = None  # of the tensors in it, by their names
    by: str = ""  # the file that tells of it; when all go, it is the first


def noted(place: Here, things: Sequence[Thing]) -> tuple[list[Noted], list[Damage]]:
    """The files of which something is known; what is damaged to begin with."""
    files, damaged, named = list[Noted](), list[Damage](), {thing.name: thing for thing in things}
    for thing in things:
        for folder, by in _folders(thing):
            try:
                for name, known in _known(place, thing, folder, named).items():
                    file = f"{folder}/{name}"
                    found = thing.files[file].bytes if file in thing.files else None
                    files.append(Noted(folder, file, found=found, by=by, **known))
            except (OSError, ValueError, KeyError, TypeError, ArtifactError) as error:
                damaged.append(Damage(folder, by, f"unreadable ({error})"))
    return files, damaged


def verify(place: Here, files: Sequence[Noted], seen: Callable[[bool], None]) -> Iterator[Damage]:
    """Those that are damaged; `seen` hears of each file whether it is well."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for file, what in zip(files, pool.map(lambda file: _wrong(place, file), files), strict=True):
            seen(not what)
            if what:
                yield Damage(file.thing, file.file.removeprefix(f"{file.thing}/"), what)


def _folders(thing: Thing) -> Iterator[tuple[str, str]]:
    """What is whole or damaged by itself, and its file that tells what belongs to it."""
    if thing.kind == "checkpoints":
        told = (name for name in sorted(thing.files) if name.endswith(f"/{POSITION}"))
        yield from ((name.rpartition("/")[0], POSITION) for name in told if ".tmp/" not in name)
    elif thing.kind not in ("unfinished", "left over"):
        yield thing.name, MANIFEST if thing.kind == "artifact" else ""


def _known(place: Here, thing: Thing, folder: str, named: Mapping[str, Thing]) -> Mapping[str, Mapping[str, Any]]:
    """What is known of the files of a folder, by their names in it."""
    if thing.kind == "artifact":
        return _of_artifact(place, thing)
    if thing.kind == "checkpoints":
        from workbench.train.checkpoint import STATE, Checkpoint  # torch

        told = Checkpoint.parse(_read(place, thing, f"{folder}/{POSITION}"))
        sizes = {name: {"bytes": size} for name, size in told.sizes.items()}
        return sizes | {STATE: {**sizes[STATE], "crc32": told.crc32}}
    there = {name.removeprefix(f"{folder}/"): {"bytes": file.bytes} for name, file in thing.files.items()}
    if thing.kind == "model":
        there = {name: {"bytes": 0} for name in MODEL} | there
    if thing.kind == PICTURES:  # one with a dot is on its way
        return {name: {**of, "sha256": name.rpartition("/")[2]} for name, of in there.items() if "." not in name}
    made = [_of_artifact(place, named[need]) for need in thing.needs if need in named]
    return {name: made[0].get(name, of) if made else of for name, of in there.items()}  # the artifact's, or links to it


def _of_artifact(place: Here, thing: Thing) -> Mapping[str, Mapping[str, Any]]:
    artifact = Artifact.of(Path(thing.name), json.loads(_read(place, thing, f"{thing.name}/{MANIFEST}")))
    if artifact.key != key_of(artifact.ingredients) or thing.base != f"{artifact.stage}-{artifact.key[:16]}":
        raise ValueError("its key is not that of its ingredients")
    return {name: artifact.files[name] for name in artifact.here}


def _read(place: Here, thing: Thing, file: str) -> bytes:
    return b"".join(place.read(file, thing.files[file].bytes))


def _wrong(place: Here, noted: Noted) -> str:
    try:
        if noted.found is None:
            raise FileNotFoundError
        if noted.found != noted.bytes:
            return f"{noted.found:,} bytes, expected {noted.bytes:,}"
        if noted.file.endswith(TENSORS) and not noted.sha256:
            return _wrong_tensors(place, noted)
        digest = hashlib.sha256()
        for data in place.read(noted.file, noted.bytes):
            digest.update(data)
    except FileNotFoundError:
        return "missing" if not noted.by or _is_there(place, f"{noted.thing}/{noted.by}") else ""
    except EOFError:
        return "cut short"
    return "its bytes changed" if noted.sha256 and digest.hexdigest() != noted.sha256 else ""


def _wrong_tensors(place: Here, noted: Noted) -> str:
    """Of a file without a checksum of its own: whether it is as long as its header says, and its tensors are those."""
    try:
        size = 8 + int.from_bytes(b"".join(place.read(noted.file, 8)), "little")
        header = json.loads(b"".join(place.read(noted.file, min(size, noted.bytes), 8)))
        spans = {name: told["data_offsets"] for name, told in header.items() if name != "__metadata__"}
        if size + max((end for _, end in spans.values()), default=0) != noted.bytes:
            return "cut short"
        checksum = 0
        for _, (start, end) in sorted(spans.items()):
            for data in place.read(noted.file, size + end, size + start):
                checksum = zlib.crc32(data, checksum)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"no {TENSORS}"
    return "its bytes changed" if noted.crc32 not in (None, checksum) else ""


def _is_there(place: Here, file: str) -> bool:
    try:
        return bool(next(place.read(file, 1)))
    except FileNotFoundError:
        return False
