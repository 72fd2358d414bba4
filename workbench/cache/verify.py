"""Every file of a cache read again and held beside the checksum that was noted when it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.artifacts.store import MANIFEST, Artifact
from workbench.cache.place import Here
from workbench.cache.thing import PICTURES, Thing

AT_ONCE = 8  # files read side by side


@dataclass(frozen=True)
class Damage:
    """A file that is not what it was, and what is wrong with it."""

    thing: str
    file: str
    what: str


@dataclass(frozen=True)
class Noted:
    """A file as it was when it was made."""

    thing: str
    file: str  # below the cache
    bytes: int
    sha256: str


def noted(place: Here, things: Sequence[Thing]) -> tuple[list[Noted], list[Damage]]:
    """The files of which something was noted; what is damaged to begin with."""
    files, damaged = list[Noted](), list[Damage]()
    for thing in things:
        try:
            files += _noted(place, thing)
        except (OSError, ValueError, KeyError, TypeError) as error:
            damaged.append(Damage(thing.name, MANIFEST, f"unreadable ({error})"))
    return files, damaged


def verify(place: Here, files: Sequence[Noted], seen: Callable[[bool], None]) -> Iterator[Damage]:
    """Those that are damaged; `seen` hears of each file whether it is well."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for file, what in zip(files, pool.map(lambda file: _wrong(place, file), files), strict=True):
            seen(not what)
            if what:
                yield Damage(file.thing, file.file.removeprefix(f"{file.thing}/"), what)


def _noted(place: Here, thing: Thing) -> Iterator[Noted]:
    if thing.kind == "artifact":
        artifact = Artifact.of(Path(thing.name), _json(place, thing, MANIFEST))
        for name in artifact.here:
            yield Noted(
                thing.name, f"{thing.name}/{name}", artifact.files[name]["bytes"], artifact.files[name]["sha256"]
            )
    elif thing.kind == PICTURES:
        for name, file in thing.files.items():
            if "." not in name:  # else it is on its way
                yield Noted(thing.name, name, file.bytes, name.rpartition("/")[2])


def _json(place: Here, thing: Thing, name: str) -> Mapping[str, Any]:
    file = f"{thing.name}/{name}"
    found: Mapping[str, Any] = json.loads(b"".join(place.read(file, thing.files[file].bytes)))
    return found


def _wrong(place: Here, noted: Noted) -> str:
    digest, size = hashlib.sha256(), 0
    try:
        for data in place.read(noted.file, noted.bytes):
            digest.update(data)
            size += len(data)
    except (FileNotFoundError, EOFError):
        return "missing" if not size else "cut short"
    if size != noted.bytes:
        return f"{size:,} bytes, expected {noted.bytes:,}"
    return "" if digest.hexdigest() == noted.sha256 else "its bytes changed"
