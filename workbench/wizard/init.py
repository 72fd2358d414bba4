"""`mlim init`: a feed or a folder -> the text of a recipe, by looking, and by asking what looking can't tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.catalog.dialects.look import pictures_beside
from workbench.catalog.feeds.folder import READABLE
from workbench.errors import DataError
from workbench.forecast.words import size
from workbench.recipe.places import url_of
from workbench.recipe.schema import Feed, Fetch
from workbench.sources import bring_bare
from workbench.wizard import show
from workbench.wizard.asking import Asking
from workbench.wizard.pictures import better_place, pictures_seen
from workbench.wizard.sight import Sight, header_of, see
from workbench.wizard.sizes import sized
from workbench.wizard.tasks import Wish, wishes
from workbench.wizard.write import text

USUAL, LARGE = 100_000, 300_000  # bytes of a shop's picture: on average, and of shops whose pictures are large
Tree = dict[str, Any]
Table = Callable[[Sequence[str], Sequence[Sequence[str]]], None]
PUBLIC, ALSO_OWN, NONE = range(3)  # what is downloaded
TIMES = (("ten minutes", 600.0), ("an hour", 3600.0), ("a night", 8 * 3600.0), ("as long as it takes", float("inf")))


def place_for(feed: Path, out: Path | None) -> Path:
    """Where the recipe is to be, which must be new: a recipe is somebody's work."""
    if not feed.exists():
        raise DataError(f"{feed}: no such file or folder; give the path of a feed, or of a folder that holds one")
    out = out or Path(f"{feed.absolute().name.split('.')[0]}.yaml")
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise DataError(f"{out}: expected the name of a recipe that ends in .yaml")
    if out.exists():
        raise DataError(f"{out}: is there already, and is left as it is; give another name, or delete it")
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out}: there is no folder {out.parent}; make it, or give another name")
    return out


def init(path: Path, out: Path, asking: Asking, table: Table) -> str:
    """The text of the recipe that `out` is to hold. Raises DataError where nothing can be read of `path`."""
    bring_bare(path)
    sight, recipe = _read(path, asking), dict[str, Any]()
    _show(sight, asking, table)
    if sight.tongues and (chosen := _language(sight, asking)):
        sight = see(sight.feed, sight.named, chosen)
    sight = _with_pictures(sight, asking)
    folder = out.absolute().parent
    recipe["catalog"] = _catalog(sight, folder)
    if sight.pictures.web and (how := _downloads(sight, asking)) < NONE:
        recipe["fetch"] = {"most_bytes": max(Fetch().most_bytes, LARGE * sight.web)}
        if how == ALSO_OWN:
            recipe["fetch"]["allow_hosts"] = [*sight.pictures.own]
    wished = _wished(sight, asking)
    _hide(recipe["catalog"], wished, asking)
    tasks = {wish.task: wish.section for wish in wished}
    long = asking.choose("How long may it take on this machine, from feed to report?", [said for said, _ in TIMES], 1)
    said, budget = TIMES[long[0]]
    found = sized(sight, {"name": out.stem, **recipe, "finetune": tasks}, folder, budget)
    asking.say(show.of_sizes(found) + (f"; nothing smaller is done in {said}" if found.seconds > budget else ""))
    return text(out.name, sight, recipe, wished, found)


def _read(path: Path, asking: Asking) -> Sight:
    """The feed, or that of a folder; a column that plays the id or the title is asked for where none is found."""
    beside = path.absolute().parent / pictures_beside(path.absolute())
    feed = Feed(path=path, pictures=beside if beside.is_file() and beside != path.absolute() else None)
    try:
        return see(feed)
    except DataError as error:
        if files := _feeds(path):
            names = [str(file.relative_to(path)) for file in files]
            chosen = asking.choose("Which of these files is the feed?", names) if len(files) > 1 else [0]
            return _read(files[chosen[0]], asking)
        return _with_roles(feed, asking, error)


def _feeds(path: Path) -> list[Path]:
    """The files of a folder that may be feeds, the largest first."""
    if not path.is_dir():
        return []
    files = (file for file in path.rglob("*") if file.suffix.lower() in (*READABLE, ".parquet") and file.is_file())
    return sorted(files, key=lambda file: (-file.stat().st_size, file))[:12]


def _with_roles(feed: Feed, asking: Asking, error: DataError) -> Sight:
    if not asking.read:  # no column is likely
        raise error
    header = header_of(feed)  # raises where it isn't the roles that are missing
    given: dict[str, str] = {}
    for role in ("id", "title"):
        try:
            return see(feed, given)
        except DataError as still:
            if f" {role}" not in str(still).partition(";")[0]:
                continue
            given[role] = header[asking.choose(f"Which column is the {role} of a product?", header)[0]]
    return see(feed, given)


def _show(sight: Sight, asking: Asking, table: Table) -> None:
    for line in show.headlines(sight):
        asking.say(line)
    table(show.HEADER, show.table(sight))
    for line in (show.unused(sight), *show.of_pictures(sight.pictures, sight.products)):
        if line:
            asking.say(line)


def _language(sight: Sight, asking: Asking) -> str | None:
    choices = ["the one that the feed has first", *sight.tongues]
    (number,) = asking.choose("The feed has several languages. Which is read?", choices)
    return choices[number] if number else None


def _with_pictures(sight: Sight, asking: Asking) -> Sight:
    """The sight with the pictures where they are: near the feed, or where the user says."""
    seen = sight.pictures
    if len(seen.missing) <= seen.tried / 2:
        return sight
    place = better_place(sight.feed, seen.missing)
    if not place:
        typed = asking.text(
            "Most pictures aren't there. Where are they? (a folder, .zip or .tar; empty: go on without)"
        )
        place = Path(typed).expanduser().absolute() if typed else None
    if not place:
        return sight
    feed = sight.feed.model_copy(update={"pictures": place})
    again = replace(sight, feed=feed, pictures=pictures_seen(feed, sight.names))
    asking.say(f"looked for in {place}:")
    for line in show.of_pictures(again.pictures, again.products):
        asking.say(line)
    return again if again.pictures.found > seen.found else sight


def _downloads(sight: Sight, asking: Asking) -> int:
    """PUBLIC, ALSO_OWN or NONE. One's own network is asked only if a person says so: feeds come from strangers, too."""
    many, hosts, own = f"{sight.web:,}", ", ".join(sight.pictures.hosts), ", ".join(sight.pictures.own)
    text = f"{many} pictures are web addresses ({hosts}), some {size(USUAL * sight.web)}. Shall a run download them?"
    choices = {PUBLIC: "yes, politely (docs/fetch.md)" + (f", but not from your own network ({own})" if own else "")}
    if own:
        choices[ALSO_OWN] = f"yes, also from {own}: I trust this feed"
    choices[NONE] = "no, go on without them"
    (number,) = asking.choose(text, [*choices.values()])
    return [*choices][number]


def _wished(sight: Sight, asking: Asking) -> list[Wish]:
    found = wishes(sight)[:12]
    choices = [
        *(wish.said for wish in found),
        "nothing yet: learn from the catalog, and search it by words and pictures",
    ]
    kinds = [*(wish.task for wish in found), ""]
    numbers = asking.choose("What is the model to do?", choices, kinds=kinds)
    return [found[number] for number in numbers if number < len(found)]


def _hide(catalog: Tree, wished: Sequence[Wish], asking: Asking) -> None:
    """What says the answer in words is not read: the products that lack the answer lack it, too."""
    texts = catalog["feeds"][0]["columns"].get("text", {})
    for wish in wished:
        for name in wish.without:
            if word := texts.pop(name, None):
                asking.say(f"{word} says the {wish.section['label']} in words of nearly every product: it is not read")


def _catalog(sight: Sight, folder: Path) -> Tree:
    """The section, paths relative to the recipe's folder where they are near it."""
    feed, dialect = sight.feed, sight.reading.dialect
    entry: Tree = {"path": _seen_from(folder, feed.path)}
    if dialect != "plain":
        entry["feed"] = dialect
    if feed.pictures:
        entry["pictures"] = _seen_from(folder, feed.pictures)
    entry["columns"] = sight.roles.model_dump(exclude_defaults=True, mode="json")
    language = sight.reading.language
    return {**({"language": language} if language else {}), "feeds": [entry]}


def _seen_from(folder: Path, path: Path | None) -> str:
    assert path
    if url := url_of(path):
        return url
    relative = os.path.relpath(path.absolute(), folder)
    return str(path.absolute()) if relative.startswith("../../..") else relative
