"""Near-duplicates, placeholders and range photos in a catalog of LISTINGS in which they are planted: time and quality.

    python benchmarks/duplicates.py [LISTINGS, default 100000] [FOLDER of PNG files]

Made on the spot from one seed: drawings on white and photo-like pictures, titles of a grammar; half of what is copied
are pictures of the folder, if one is given. Planted: 2,000 copies (the picture resized, recompressed, cut by 5% of each
side or of two, lightened; the title in another order, a word replaced, one added); 200 listings with one of several
placeholders, on 3 to 50 products each, two of which are saved anew for each product; ranges of 5 to 60 listings with
one photo, that have brand and range, only the brand, or only the brand's label in common. The same for `imagehash` over
all pairs and for `datasketch`, as their users call them, on parts of the catalog, extrapolated.
"""

from __future__ import annotations

import hashlib
import io
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw, ImageEnhance

from workbench.catalog.duplicates.clusters import cluster, components
from workbench.catalog.duplicates.find import Alike, alike
from workbench.catalog.duplicates.stage import KINDS
from workbench.images.phash import look
from workbench.recipe.schema import Duplicates

COPIES = 2000
PLACEHOLDERS = (3, 4, 6, 8, 12, 17, 20, 30, 50, 10, 40)  # listings of each; the last two are saved anew for each
RANGES = (5, 6, 8, 10, 13, 20, 30, 60) * 3
SIDE = 160  # pixels
STREAM = np.random.default_rng(0)
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def words(count: int, syllables: int) -> list[str]:
    return ["".join(STREAM.choice(SYLLABLES, syllables)) for _ in range(count)]


BRANDS, RANGE_NAMES, NOUNS, LOOKS, STUFFS = words(900, 3), words(4000, 3), words(500, 3), words(200, 2), words(80, 2)
COLOURS = ["red", "blue", "green", "black", "white", "pink", "grey", "brown", "navy", "beige"]
OTHER = {word: f"{word}{end}" for word, end in zip(LOOKS + STUFFS, STREAM.choice(SYLLABLES, 280), strict=True)}


def title() -> list[str]:
    size = f"{STREAM.integers(1, 60) * 5} cm"
    return [str(STREAM.choice(kind)) for kind in (BRANDS, RANGE_NAMES, LOOKS, STUFFS, NOUNS, COLOURS)] + [size]


def reworded(words: list[str]) -> list[str]:
    changed = [OTHER.get(word, word) if STREAM.random() < 0.4 else word for word in words]
    return [*STREAM.permutation(changed).tolist(), *(["new"] if STREAM.random() < 0.5 else [])]


def real(paths: list[Path]) -> Image.Image:
    picture = Image.open(paths.pop()).convert("RGBA")
    under = Image.new("RGB", picture.size, "white")
    under.paste(picture, mask=picture)
    return under


def drawing() -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for _ in range(STREAM.integers(2, 6)):
        corners = np.concatenate([STREAM.uniform(0.1, 0.5, 2), STREAM.uniform(0.52, 0.9, 2)]) * SIDE
        colour = tuple(STREAM.integers(10, 230, 3).tolist())
        kind = STREAM.integers(3)
        if kind == 0:
            pen.ellipse(corners.tolist(), fill=colour)
        elif kind == 1:
            pen.rectangle(corners.tolist(), fill=colour)
        else:
            pen.polygon([tuple(p) for p in (STREAM.uniform(0.1, 0.9, (3, 2)) * SIDE).tolist()], fill=colour)
    return picture


def photo() -> Image.Image:
    coarse = Image.fromarray(STREAM.integers(0, 256, (7, 7, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    grain = STREAM.normal(0, 12, (SIDE, SIDE, 1)).astype(np.float32)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def recompressed(picture: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def cut(picture: Image.Image, *shares: float) -> Image.Image:
    width, height = picture.size
    left, top, right, bottom = (round(s * side) for s, side in zip(shares, (width, height) * 2, strict=True))
    return picture.crop((left, top, width - right, height - bottom))


def scaled(picture: Image.Image, by: float, filter: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    return picture.resize((max(round(picture.width * by), 1), max(round(picture.height * by), 1)), filter)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda p: scaled(p, 0.5, Image.Resampling.LANCZOS),
    "a third more": lambda p: scaled(p, 4 / 3),
    "JPEG 60": lambda p: recompressed(p, 60),
    "JPEG 35": lambda p: recompressed(p, 35),
    "cut by 5% each side": lambda p: cut(p, 0.05, 0.05, 0.05, 0.05),
    "cut by 5% in all": lambda p: cut(p, 0.025, 0.025, 0.025, 0.025),
    "cut by 5% at a corner": lambda p: cut(p, 0.05, 0.05, 0, 0),
    "lighter by 8%": lambda p: ImageEnhance.Brightness(p).enhance(1.08),
    "cut, half, JPEG 70": lambda p: recompressed(scaled(cut(p, 0.03, 0.05, 0.04, 0.02), 0.6), 70),
}


def placeholder(number: int) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), ("white", "#eeeeee", "#f8f8f0")[number % 3])
    pen = ImageDraw.Draw(picture)
    if number % 3 == 2:
        pen.ellipse((40, 40, 120, 120), fill="#3355aa")
    pen.text((30, 40 + 10 * (number // 3)), ("No image available", "coming soon", "SHOP")[number % 3], fill="#888888")
    return picture


class Catalog:
    """Items and index as the stages of ingest and images write them, and what was planted."""

    def __init__(self, count: int, paths: list[Path]) -> None:
        self.titles: list[list[str]] = []
        self.groups: list[str] = []
        self.brands: list[str] = []
        self.looks: list[tuple[str, int, bytes, bytes]] = []
        self.kept: dict[int, Image.Image] = {}
        self.copies: dict[int, tuple[int, str]] = {}
        plain = count - COPIES - sum(PLACEHOLDERS) - sum(RANGES)
        wanted = set(STREAM.choice(plain, COPIES, replace=False).tolist())
        while len(self.titles) < plain:  # a third of the products have three colours
            name = title()
            colours = 3 if STREAM.random() < 0.33 else 1
            for colour in STREAM.permutation(COLOURS)[:colours]:
                name = [*name[:5], str(colour), name[6]]
                if len(self.titles) in wanted:
                    one = real(paths) if paths and STREAM.random() < 0.5 else None
                    self.kept[len(self.titles)] = picture = one or (drawing() if STREAM.random() < 0.5 else photo())
                else:
                    picture = drawing() if STREAM.random() < 0.5 else photo()
                if len(self.titles) < plain:
                    self.add(name, " ".join(["g", *name[:5], name[6]]), picture)
        for original in sorted(wanted):
            change = str(STREAM.choice(list(CHANGES)))
            self.copies[len(self.titles)] = original, change
            self.add(reworded(self.titles[original]), f"c{original}", CHANGES[change](self.kept.pop(original)))
        self.placeholders = range(len(self.titles), len(self.titles) + sum(PLACEHOLDERS))
        for number, size in enumerate(PLACEHOLDERS):
            for i in range(size):
                picture = placeholder(number)
                if number >= len(PLACEHOLDERS) - 2:
                    picture = scaled(recompressed(picture, int(STREAM.integers(60, 96))), STREAM.uniform(0.7, 1.5))
                self.add(title(), f"p{number}-{i}", picture)
        for number, size in enumerate(RANGES):
            brand, name, *_ = title()
            picture = photo() if STREAM.random() < 0.5 else drawing()
            for i in range(size):
                words = [[brand, name, *title()[2:]], [brand, *title()[1:]], title()[1:]][number % 3]
                self.add(words, f"r{number}-{i}", picture, brand)

    def add(self, words: list[str], group: str, picture: Image.Image, brand: str | None = None) -> None:
        self.titles.append(words)
        self.groups.append(group)
        self.brands.append(brand or words[0])
        seen = look(picture)
        self.looks.append(
            (
                hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest(),
                seen.phash,
                seen.thumb,
                seen.colours,
            )
        )

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        count = len(self.titles)
        nothing = pl.Series([None] * count, dtype=pl.String)
        items = pl.DataFrame(
            {
                "row": np.arange(count, dtype=np.uint32),
                "id": [f"L{i}" for i in range(count)],
                "group": self.groups,
                "code": nothing,
                "title": [" ".join(words) for words in self.titles],
                "label.kind": [words[-3] for words in self.titles],
                "label.brand": self.brands,
                "given_split": nothing,
            }
        )
        sha, phash, thumb, colours = zip(*self.looks, strict=True)
        index = pl.DataFrame({"row": items["row"], "order": np.zeros(count, np.uint32), "state": ["present"] * count})
        return items, index.with_columns(
            pl.Series("reason", nothing),
            pl.Series("sha256", sha),
            pl.Series("phash", phash, pl.UInt64),
            pl.Series("thumb", thumb, pl.Binary),
            pl.Series("colours", colours, pl.Binary),
        )


def quality(name: str, truth: set[object], found: set[object]) -> None:
    right = len(truth & found)
    print(f"{name}: recall {right / len(truth):.3f}, precision {right / max(len(found), 1):.3f} ({len(found)} found)")


def judge(catalog: Catalog, found: Alike) -> None:
    actions = {kind: getattr(Duplicates(), kind.replace(" ", "_")) for kind in KINDS}
    clusters = cluster(found.pairs, actions, found.rank, pl.Series(catalog.groups))
    doubles = clusters.filter(pl.len().over("cluster") > 1).group_by("cluster").agg("row")["row"].to_list()
    together = {(a, b) for rows in doubles for a in rows for b in rows if a < b}
    truth = {(original, copy) for copy, (original, _) in catalog.copies.items()}
    quality("duplicates (clusters of which one is kept)", truth, together)
    pairs = found.pairs.filter(pl.col("left") < catalog.placeholders.stop)  # not two of ranges
    quality("kin of any kind but range photos", truth, set(pairs.select("left", "right").iter_rows()))
    for (kind,), some in pairs.sort("kind").group_by("kind", maintain_order=True):
        right = len(truth & set(some.select("left", "right").iter_rows()))
        print(f"  {kind}: {some.height}, of them planted {right / some.height:.3f}")
    for name, kinds in (("kin and groups", KINDS), ("near pictures alone", ("near picture",))):
        joined = found.pairs.filter(pl.col("kind").is_in(kinds)).select(pl.col("left", "right").cast(pl.Int64))
        ends = [joined[side].to_numpy() for side in ("left", "right")]
        if len(kinds) > 1:
            group = pl.Series(catalog.groups).rank("dense").to_numpy().astype(np.int64)
            first = pl.DataFrame({"g": group}).with_row_index("i").select(pl.col("i").min().over("g"))["i"].to_numpy()
            ends = [np.concatenate([end, more]) for end, more in zip(ends, (first, np.arange(len(first))), strict=True)]
        sizes = np.bincount(components(len(catalog.titles), ends[0], ends[1]))
        print(f"largest components by {name}: {np.sort(sizes)[-4:].tolist()} listings")
    near = set(
        found.pairs.filter(pl.col("kind").is_in(["near listing", "near picture"])).select("left", "right").iter_rows()
    )
    for change in CHANGES:
        of_it = {(o, c) for c, (o, how) in catalog.copies.items() if how == change}
        print(f"  {change}: {len(of_it & near) / len(of_it):.3f} of {len(of_it)}")
    blank = set(found.states.filter(pl.col("state") == "placeholder")["row"].to_list())
    quality("placeholders", set(catalog.placeholders), blank)
    anew = set(list(catalog.placeholders)[-sum(PLACEHOLDERS[-2:]) :])
    print(f"  saved anew for each product: {len(blank & anew) / len(anew):.3f} of {len(anew)}")


def imagehash_all_pairs(catalog: Catalog, some: list[int]) -> None:
    import imagehash

    hashes = [
        imagehash.ImageHash(
            np.unpackbits(np.frombuffer(catalog.looks[i][1].to_bytes(8, "big"), np.uint8)).reshape(8, 8) > 0
        )
        for i in some
    ]
    begun = time.perf_counter()
    found = {
        (some[a], some[b]) for a in range(len(some)) for b in range(a + 1, len(some)) if hashes[a] - hashes[b] <= 8
    }
    seconds = time.perf_counter() - begun
    truth = {(o, c) for c, (o, _) in catalog.copies.items() if o in set(some) and c in set(some)}
    whole = seconds * (len(catalog.titles) / len(some)) ** 2
    print(f"imagehash, all pairs of {len(some)}: {seconds:.1f} s, so {whole:,.0f} s for the catalog (extrapolated)")
    quality("imagehash, distance 8", truth, found)


def datasketch_lsh(catalog: Catalog, some: list[int]) -> None:
    from datasketch import MinHash, MinHashLSH

    begun = time.perf_counter()
    lsh, signed = MinHashLSH(threshold=0.5, num_perm=128), {}
    for i in some:
        signed[i] = MinHash(num_perm=128)
        for word in set(" ".join(catalog.titles[i]).lower().split()):
            signed[i].update(word.encode())
        lsh.insert(i, signed[i])
    found = {(min(i, j), max(i, j)) for i in some for j in lsh.query(signed[i]) if i != j}
    found = {(a, b) for a, b in found if catalog.groups[a] != catalog.groups[b]}
    seconds = time.perf_counter() - begun
    truth = {(o, c) for c, (o, _) in catalog.copies.items() if o in set(some) and c in set(some)}
    whole = seconds * len(catalog.titles) / len(some)
    print(f"datasketch, {len(some)} titles: {seconds:.1f} s, so {whole:,.0f} s or more for the catalog (extrapolated)")
    quality("datasketch, threshold 0.5", truth, found)


def _peak() -> float:
    """GiB of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(count: int, paths: list[Path]) -> None:
    begun = time.perf_counter()
    catalog = Catalog(count, STREAM.permutation(paths).tolist())
    items, index = catalog.tables()
    print(f"{count} listings made in {time.perf_counter() - begun:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.parquet"
        index.write_parquet(path)
        before, wall, cpu = _peak(), time.perf_counter(), time.process_time()
        found = alike(items, path, Duplicates())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"duplicates: {wall:.1f} s ({cpu:.1f} s of processor), peak {_peak():.2f} GiB, {before:.2f} of them to "
        f"make the catalog, {found.looks.search.pairs['score'].count()} pairs of pictures compared"
    )
    judge(catalog, found)
    some = sorted(
        {i for copy in list(catalog.copies)[:300] for i in (copy, catalog.copies[copy][0])} | set(range(1400))
    )
    imagehash_all_pairs(catalog, some)
    datasketch_lsh(catalog, some)


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 100_000,
        sorted(Path(sys.argv[2]).rglob("*.png")) if len(sys.argv) > 2 else [],
    )
