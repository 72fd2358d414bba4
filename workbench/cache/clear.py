"""What of a cache may go: what no recipe needs, what is old or too much; never what runs, or what that needs."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from workbench.artifacts.uses import turn
from workbench.cache.contents import contents
from workbench.cache.place import Here
from workbench.cache.thing import PICTURES, Thing
from workbench.errors import ArtifactError

DAY = 86400.0


@dataclass(frozen=True)
class Rule:
    """What goes. `kept` stays whatever it is; with nothing else asked all that it doesn't name goes."""

    older: float | None = None  # seconds since it was used
    most: int | None = None  # bytes that may stay: what was used longest ago goes first
    kept: frozenset[str] | None = None  # names, with what they need


@dataclass(frozen=True)
class Going:
    """A thing that goes, and why."""

    thing: Thing
    why: str


def choose(things: Sequence[Thing], rule: Rule, now: float) -> list[Going]:
    """What goes, in that order: nothing that anything which stays was made of."""
    by_base = {thing.base: thing for thing in things}
    stays = {thing.name for thing in things if thing.running or thing.base in (rule.kept or ())}
    needed = Counter(by_base[need].name for thing in things for need in thing.needs if need in by_base)
    going = [Going(thing, "left by a killed process") for thing in things if _left(thing, now)]
    gone = {each.thing.name for each in going}
    left = sum(thing.bytes for thing in things if thing.name not in gone)
    while leaf := _next(things, gone | stays, needed, rule, left, now):
        going.append(leaf)
        gone.add(leaf.thing.name)
        left -= leaf.thing.bytes
        needed.subtract(by_base[need].name for need in leaf.thing.needs if need in by_base)
    return going


def _left(thing: Thing, now: float) -> bool:
    return thing.kind == "left over" and not thing.running and now - thing.used > DAY * thing.name.startswith("chaos-")


def _next(
    things: Sequence[Thing], out: Collection[str], needed: Counter[str], rule: Rule, left: int, now: float
) -> Going | None:
    """Of what nothing needs the one that was used longest ago, if the rule says that it goes."""
    known = [t for t in things if t.name not in out and not needed[t.name] and t.is_made]
    for thing in sorted(known, key=lambda thing: thing.used):
        if why := _why(thing, rule, left, now):
            return Going(thing, why)
    return None


def _why(thing: Thing, rule: Rule, left: int, now: float) -> str:
    if rule.older is not None and now - thing.used > rule.older:
        return "not used for so long"
    if rule.most is not None and left > rule.most:
        return "the cache is too large"
    only_kept = rule.older is None and rule.most is None and rule.kept is not None
    return "no recipe of these needs it" if only_kept and thing.kind != "embeddings" else ""


def orphans(place: Here, things: Sequence[Thing], going: Sequence[Going]) -> Going | None:
    """Downloaded pictures that no fetch which stays names; nothing while one is unfinished."""
    import polars as pl

    pictures = next((thing for thing in things if thing.kind == PICTURES), None)
    gone = {each.thing.name for each in going}
    fetches = [thing for thing in things if thing.name.startswith("fetch-") and thing.name not in gone]
    if pictures is None or pictures.running or any(t.kind == "unfinished" or t.running for t in fetches):
        return None
    named: set[str] = set()
    for fetch in fetches:
        file = f"{fetch.name}/fetched.parquet"
        data = b"".join(place.read(file, fetch.files[file].bytes))
        named |= set(pl.read_parquet(io.BytesIO(data), columns=["sha256"])["sha256"].drop_nulls())
    files = {name: file for name, file in pictures.files.items() if name.rpartition("/")[2] not in named}
    return Going(replace(pictures, files=files, is_whole=False), "no fetch names them") if files else None


def find(place: Here, rule: Rule) -> list[Going]:
    """Everything that would go now."""
    things = contents(place)
    going = choose(things, rule, time.time())
    more = orphans(place, things, going)
    return [*going, *([more] if more else [])]


def clear(place: Here, rule: Rule) -> list[Going]:
    """Take it away; what somebody has begun to make meanwhile stays."""
    taken = []
    with turn(place.root):
        for going in find(place, rule):
            with suppress(ArtifactError), place.removing(going.thing):
                place.take(going.thing)
                taken.append(going)
    place.sweep()
    return taken
