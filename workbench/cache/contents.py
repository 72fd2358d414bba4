"""What lies in a cache: each thing with its size, its age, what it needs, and which recipes use it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.artifacts.store import MANIFEST
from workbench.artifacts.uses import USES
from workbench.cache.place import Here
from workbench.cache.thing import GONE, PICTURES, File, Thing

_ARTIFACT = re.compile(r"([a-z]+)-[0-9a-f]{16}")
_GROUPS = {"checkpoints": "checkpoints", "models": "model", "embeddings": "embeddings", "bad-steps": "bad steps"}
_ASIDE = ("chaos-", "tmp")  # how the folders of other commands begin


@dataclass(frozen=True)
class _Use:
    recipe: str
    names: frozenset[str]
    when: float
    lives: bool


def contents(place: Here) -> list[Thing]:
    """Everything but logs, digests and locks, by name. Raises MlimError where an object store doesn't answer."""
    files = place.files()
    groups: dict[str, dict[str, File]] = defaultdict(dict)
    for name, file in files.items():
        if group := _group(name):
            groups[group][name] = file
    held = {name for name in groups if f"{name.partition('.')[0]}.lock" in files and place.is_held(name)}
    uses = _uses(place, files, held)
    # Who runs without a record, as an older mlim does, might use anything.
    unknown = any(not any(name.partition(".")[0] in use.names for use in uses) for name in held)
    return [_thing(place, name, found, uses, unknown or name in held) for name, found in sorted(groups.items())]


def _group(file: str) -> str:
    """The thing that a file is part of; "" for housekeeping."""
    top, slash, rest = file.partition("/")
    if not slash or file.endswith(".lock"):
        return ""
    if top in _GROUPS:
        return f"{top}/{rest.partition('/')[0]}" if "/" in rest else ""
    return top if top == PICTURES or _ARTIFACT.fullmatch(top.partition(".")[0]) or top.startswith(_ASIDE) else ""


def _uses(place: Here, files: Mapping[str, File], held: set[str]) -> list[_Use]:
    found = []
    for name, file in files.items():
        if name.startswith(f"{USES}/") and name.endswith(".json"):
            told = _json(place, name, file)
            names = frozenset(told.get("names", ()))
            lives = place.is_used(name.rpartition("/")[2]) or any(group.partition(".")[0] in names for group in held)
            found.append(_Use(told.get("recipe") or "?", names, file.changed, lives))
    return found


def _thing(place: Here, name: str, files: Mapping[str, File], uses: Sequence[_Use], held: bool) -> Thing:
    base = name.partition(".")[0]
    group = name.partition("/")[0]
    ours = [use for use in uses if base in use.names or (use.lives and group in (PICTURES, "embeddings"))]
    kind, needs = "artifact", tuple[str, ...]()
    if name.endswith(GONE) or name.startswith(_ASIDE):
        kind = "left over"
    elif group in _GROUPS:
        kind = _GROUPS[group]
        needs = (base.partition("/")[2],) if kind == "model" else ()
    elif name == PICTURES:
        kind = PICTURES
    elif (manifest := files.get(f"{name}/{MANIFEST}")) and not name.endswith(".partial"):
        inputs = _json(place, f"{name}/{MANIFEST}", manifest).get("ingredients", {}).get("inputs", {})
        needs = tuple(f"{stage}-{key[:16]}" for stage, key in inputs.items())
    else:
        kind = "unfinished"
    changed = max((file.changed for file in files.values()), default=0.0)
    recipes = tuple(sorted({use.recipe for use in ours if base in use.names} - {"?"}))
    used = max([changed, *(use.when for use in ours)])
    return Thing(name, kind, files, needs, recipes, used, held or any(use.lives for use in ours))


def _json(place: Here, name: str, file: File) -> dict[str, Any]:
    """A small file's content; {} where it is damaged, or has just gone."""
    try:
        found = json.loads(b"".join(place.read(name, file.bytes)))
    except (OSError, ValueError, EOFError):
        return {}
    return found if isinstance(found, dict) else {}
