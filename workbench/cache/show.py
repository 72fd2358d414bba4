"""A cache in words: for people, and for programs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from workbench.cache.clear import Going
from workbench.cache.thing import Thing

HEADER = ("name", "what", "size", "used", "made of", "recipes")
GOING = ("name", "what", "size", "used", "why")
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (0, "s"))


def rows(things: Sequence[Thing]) -> list[tuple[str, ...]]:
    """In the order of HEADER; a need without its key."""
    return [
        (*_facts(thing), ", ".join(need.rpartition("-")[0] for need in thing.needs), ", ".join(thing.recipes))
        for thing in things
    ]


def going(going: Sequence[Going]) -> list[tuple[str, ...]]:
    """In the order of GOING."""
    return [(*_facts(each.thing), each.why) for each in going]


def fields(things: Sequence[Thing]) -> list[dict[str, Any]]:
    return [
        {
            "name": thing.name,
            "what": thing.kind,
            "bytes": thing.bytes,
            "files": len(thing.files),
            "used": datetime.fromtimestamp(thing.used, UTC).isoformat(timespec="seconds"),
            "made_of": thing.needs,
            "recipes": thing.recipes,
            "running": thing.running,
        }
        for thing in things
    ]


def total(things: Sequence[Thing]) -> str:
    count = len(things)
    return f"{count:,} {'thing' if count == 1 else 'things'}, {_size(sum(thing.bytes for thing in things))}"


def _facts(thing: Thing) -> tuple[str, str, str, str]:
    kind = f"{thing.kind}, runs" if thing.running else thing.kind
    return thing.name, kind, _size(thing.bytes), _age(time.time() - thing.used)


def _size(size: int) -> str:
    unit, name = next(((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB")) if size >= unit), (1e3, "kB"))
    return f"{size / unit:,.1f} {name}"


def _age(seconds: float) -> str:
    unit, name = next((unit, name) for unit, name in _UNITS if seconds >= unit)
    return f"{seconds / (unit or 1):.0f}{name} ago"
