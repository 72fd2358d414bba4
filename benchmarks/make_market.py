#!/usr/bin/env python3
"""Make the sample catalog `data/market`: the same products as two sellers list them, with pictures and pairs.

usage: make_market.py OUT         needs npm and the installed project; takes half a minute

The products are emoji: every set of them draws the same things in its own hand, as sellers photograph the same goods,
and figures come in skin tones, as goods come in colours. See data/README.md for the files, counts and licences.
"""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.catalog.split import part_of
from workbench.recipe.schema import Split

PACKAGES = {
    "google": "emoji-datasource-google@16.0.0",
    "twitter": "emoji-datasource-twitter@16.0.0",
    "words": "emojibase-data@17.0.0",
}
TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
DEPARTMENTS = {"Food & Drink", "Objects", "Travel & Places", "Animals & Nature", "Activities"}


@dataclass(frozen=True)
class Listing:
    """One product at one seller."""

    sku: str
    product: str  # the same at both sellers
    group: str  # the product without its skin tone
    title: str
    keywords: tuple[str, ...]
    department: str
    aisle: str
    picture: str  # name in the seller's archive


def main(out: Path) -> None:
    """Write the two feeds, their archives of pictures, and the pairs into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        google_package, twitter_package, words_package = (npm_pack(p, Path(folder)) for p in PACKAGES.values())
        words = read_words(words_package)
        google = list(read_listings("google", google_package, words))
        twitter = list(read_listings("twitter", twitter_package, words))
        write_zip(out / "google.zip", read_pictures("google", google_package, google))
        write_tar(out / "twitter.tar", read_pictures("twitter", twitter_package, twitter))
    write_google(out / "google.csv", google)
    write_twitter(out / "twitter.tsv", twitter)
    pairs = list(make_pairs(google, twitter))
    write_table(out / "pairs.csv", ",", ["left", "right", "match"], pairs)
    groups = {listing.group for listing in google + twitter}
    print(f"{len(google) + len(twitter)} listings of {len(groups)} groups, {len(pairs)} pairs")


def npm_pack(package: str, folder: Path) -> Path:
    """Fetch a package's archive into `folder`."""
    done = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True)
    return folder / done.stdout.split()[-1]


def read_words(package: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Code points without the variation selector -> (label, keywords)."""
    with tarfile.open(package) as tar:
        entries = json.load(member(tar, "package/en/data.json"))
    return {
        plain(emoji["hexcode"]): (emoji["label"], tuple(entry.get("tags", ())))  # tones share their figure's keywords
        for entry in entries
        for emoji in (entry, *entry.get("skins", ()))
    }


def read_listings(seller: str, package: Path, words: dict[str, tuple[str, tuple[str, ...]]]) -> Iterator[Listing]:
    """What a seller offers of the sample, in the order of its package."""
    with tarfile.open(package) as tar:
        entries = json.load(member(tar, "package/emoji.json"))
    for entry in entries:
        for emoji in (entry, *entry.get("skin_variations", {}).values()):
            code = emoji["unified"].upper()
            group = "-".join(point for point in code.split("-") if point not in TONES)
            known = words.get(plain(code))
            if known is None or not emoji[f"has_img_{seller}"] or not in_sample(entry["category"], group):
                continue
            label, keywords = known
            yield Listing(
                sku=f"{seller[:2].upper()}-{code}",
                product=code,
                group=group,
                title=label if seller == "google" else short_title(entry["short_names"][0], label),
                keywords=keywords if seller == "google" else (),
                department=entry["category"],
                aisle=entry["subcategory"],
                picture=emoji["image"],
            )


def in_sample(department: str, group: str) -> bool:
    """The departments of a shop, and a third of the people by group: figures in five tones, so that words and
    pictures have something to say about each other ("dark skin tone") also for groups never seen."""
    return department in DEPARTMENTS or (department == "People & Body" and zlib.crc32(group.encode()) % 3 == 0)


def short_title(name: str, label: str) -> str:
    """The second seller's wording: a short name, then the skin tones as the label tells them."""
    tones = label.partition(": ")[2] if "skin" in label else ""
    return f"{name.replace('_', ' ').replace('-', ' ')} {tones}".strip()


def make_pairs(google: list[Listing], twitter: list[Listing]) -> Iterator[tuple[str, str, int]]:
    """(google sku, twitter sku, match): for every product of both sellers one positive and two hard negatives.

    A product in several skin tones has another tone of the same figure as its first negative. The others are products
    of another group of the same aisle (of the department, where the aisle runs out) that lies in the same part of the
    default split: a pair across parts can't be used, and dropping it would change the base rate of its part.
    """
    rng = random.Random(0)
    offer = {listing.product: listing for listing in twitter}
    part = {listing.group: part_of(listing.group, Split()) for listing in google + twitter}
    for left in google:
        tones = [o for o in twitter if o.group == left.group and o.product != left.product]
        others = [o for o in twitter if o.group != left.group and part[o.group] == part[left.group]]
        aisle = [o for o in others if o.aisle == left.aisle]
        department = [o for o in others if o.aisle != left.aisle and o.department == left.department]
        for near in (tones, aisle, department):
            rng.shuffle(near)
        if left.product in offer:
            yield left.sku, offer[left.product].sku, 1
        for right in [*tones[:1], *aisle, *department][:2]:
            yield left.sku, right.sku, 0


def read_pictures(seller: str, package: Path, listings: list[Listing]) -> dict[str, bytes]:
    """Picture name -> bytes, sorted by name."""
    with tarfile.open(package) as tar:
        wanted = {f"package/img/{seller}/64/{listing.picture}": listing.picture for listing in listings}
        found = {wanted[m.name]: member(tar, m).read() for m in tar if m.name in wanted}
    return dict(sorted(found.items()))


def write_zip(path: Path, pictures: dict[str, bytes]) -> None:
    """Stored, since PNG doesn't shrink further; the oldest time a zip can hold, so that the bytes repeat."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in pictures.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def write_tar(path: Path, pictures: dict[str, bytes]) -> None:
    """Without owner and time (the defaults of TarInfo), so that the bytes repeat."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in pictures.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_google(path: Path, listings: list[Listing]) -> None:
    header = ["sku", "item_group_id", "title", "keywords", "department", "aisle", "image"]
    rows = [(o.sku, o.group, o.title, ",".join(o.keywords), o.department, o.aisle, o.picture) for o in listings]
    write_table(path, ",", header, rows)


def write_twitter(path: Path, listings: list[Listing]) -> None:
    header = ["article_no", "parent_no", "name", "main_category", "sub_category", "photo"]
    rows = [(o.sku, o.group, o.title, o.department, o.aisle, o.picture) for o in listings]
    write_table(path, "\t", header, rows)


def write_table(path: Path, delimiter: str, header: list[str], rows: list[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([header, *rows])


def plain(code: str) -> str:
    """Code points without the variation selector, which one source writes and the other leaves out."""
    return code.upper().replace("-FE0F", "")


def member(tar: tarfile.TarFile, name: str | tarfile.TarInfo) -> io.BufferedIOBase:
    file = tar.extractfile(name)
    assert file is not None, name
    return file  # type: ignore[return-value]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
