"""Where a feed's pictures are, by trying some of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import polars as pl

from workbench.catalog.fetch.safe import Address, Refused, parse
from workbench.catalog.listings import pictures_of
from workbench.errors import DataError
from workbench.images.fetched import WEB
from workbench.images.names import Absent
from workbench.images.origin import open_pictures, place_of
from workbench.images.picture import Broken, pillow_set_up, square
from workbench.recipe.schema import Columns, Feed, Images

TRIED = 60  # pictures that are read
ARCHIVES = (".zip", ".tar")
PLACES = 40  # folders and archives that are looked into, at most


@dataclass(frozen=True)
class Pictures:
    """The main pictures of a feed's products."""

    named: int = 0  # products that name one
    web: int = 0  # of these, by web address
    hosts: tuple[str, ...] = ()  # of the addresses, the most frequent first
    own: tuple[str, ...] = ()  # hosts of one's own network, which a run asks only if `fetch.allow_hosts` names them
    tried: int = 0  # of the others, spread over the feed
    missing: tuple[str, ...] = ()  # names of the tried ones that aren't there
    broken: tuple[str, ...] = ()  # the same of those that can't be read, with the reason
    side: int = 0  # pixels: half of the tried ones are larger on their shorter side; 0: none was found

    @property
    def found(self) -> int:
        return self.tried - len(self.missing) - len(self.broken)


def pictures_seen(feed: Feed, names: Sequence[str]) -> Pictures:
    """`names` are those of the products' main pictures.

    Raises DataError where `feed.pictures` is neither a folder nor an archive.
    """
    web = [name for name in names if re.match(WEB, name)]
    local = [name for name in names if not re.match(WEB, name)]
    addresses = [address for address in map(_address, web) if address]
    hosts = Counter(address.authority for address in addresses)
    own = Counter(address.authority for address in addresses if address.own)
    tried = local[:: max(1, len(local) // TRIED)][:TRIED]
    missing, broken, sides = list[str](), list[str](), list[int]()
    place = open_pictures(place_of(feed), "pictures")
    images = Images()
    with pillow_set_up(images.max_pixels):
        for name in tried:
            try:
                found = square(place.read(name), images)
                sides.append(min(found.width, found.height))
            except Absent:
                missing.append(name)
            except (Broken, OSError, ValueError) as error:
                broken.append(f"{name}: {error}")
    side = round(median(sides)) if sides else 0
    most, most_own = (tuple(host for host, _ in counts.most_common(3)) for counts in (hosts, own))
    return Pictures(len(names), len(web), most, most_own, len(tried), tuple(missing), tuple(broken), side)


def _address(url: str) -> Address | None:
    try:
        return parse(url)
    except Refused:
        return None


def names_of(cells: pl.DataFrame, columns: Columns) -> list[str]:
    """Of each product that has a picture, the name of its main one."""
    return pictures_of(cells, columns).filter(pl.col("order") == 0)["name"].to_list()


def better_place(feed: Feed, missing: Sequence[str]) -> Path | None:
    """The folder or archive near the feed that has most of the pictures that were missing; None where none has any."""
    best: tuple[int, Path] | None = None
    for path in _places(feed):
        try:
            lost = open_pictures(path, "pictures").missing(missing)
        except DataError:
            continue
        if best is None or len(lost) < best[0]:
            best = len(lost), path
    return best[1] if best and best[0] < len(missing) else None


def _places(feed: Feed) -> Iterator[Path]:
    if feed.path is None:
        return
    home = feed.path if feed.path.is_dir() else feed.path.parent
    for near in (home, home.parent):
        try:
            paths = sorted(near.iterdir())[:PLACES]
        except OSError:
            continue
        yield from (p for p in paths if p != feed.path and (p.suffix.lower() in ARCHIVES or p.is_dir()))
