#!/usr/bin/env python3
"""`mlim ingest` against the same rules written by hand in polars' lazy API, pandas and `datasets`.

usage: ingest.py FEED.csv [mlim polars plain pandas datasets ...] [--repeat 1]      FEED by make_feed.py

Each runs as a process of its own, one after the other, from the command line to the last byte on disk; the table gives
wall seconds, processor seconds, mlim's wall time in theirs, the peak of the process's resident memory, listings kept,
and the listings whose texts are what polars' are. `plain` is polars with the few rules that a person writes in a
minute: tags, common entities, white space, placeholders. mlim also digests the feed, finds roles and what recurs,
counts each rule's cells and writes which lines became what; the others do nothing of this.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import subprocess
import sys
import tempfile
import time
from html.entities import html5
from pathlib import Path
from typing import Any

INLINE = (
    "abbr|acronym|bdi|bdo|big|cite|code|data|del|dfn|em|font|ins|kbd|label|mark|nobr|samp|small|span|strike|strong|"
)
INLINE += "sub|sup|time|tt|var|wbr|a|b|i|q|s|u"
BLOCKS = (
    "address|article|aside|blockquote|body|br|button|caption|center|div|dl|figure|footer|form|h[1-6]|head|header|hr|"
)
BLOCKS += "html|img|input|link|main|meta|nav|object|ol|p|pre|section|select|table|tbody|tfoot|thead|title|ul"
ATTRIBUTES = r"""(?:\s(?:[^'">]|"[^"]*"|'[^']*')*)?/?>"""
UNREAD = r"(?is)<!--.*?-->|<script\b.*?</script>|<style\b.*?</style>"
TAGS = {  # what stands in place of each kind
    rf"(?i)</(?:ul|ol|dl|table){ATTRIBUTES}": "\x1d",
    rf"(?i)<(?:li|tr|dt|option){ATTRIBUTES}": "\x1e",
    rf"(?i)<(?:td|th|dd){ATTRIBUTES}": "\x1f",
    rf"(?i)</?(?:{BLOCKS}|li|tr|dt|option|td|th|dd){ATTRIBUTES}": "\n",
    rf"(?i)</?(?:{INLINE}){ATTRIBUTES}": "",
}
RUNS = {
    r"^[\s\x1d-\x1f]+|[\s\x1d-\x1f]+$": "",
    r"([.!?:;,…])[\s\x1d-\x1f]*[\x1d-\x1f][\s\x1d-\x1f]*": "$1 ",
    r"[\s\x1e\x1f]*\x1d[\s\x1d-\x1f]*": ". ",
    r"[\s\x1f]*\x1e[\s\x1e\x1f]*": "; ",
    r"\s*\x1f[\s\x1f]*": ", ",
}
ENTITIES = {f"&{name}": char for name, char in html5.items() if name.endswith(";")} | {
    f"&#{number};": html.unescape(f"&#{number};") for number in range(32, 10_000)
}
CONTROL = r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
INVISIBLE = "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
MOJIBAKE = "[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|[\u0080-\u009f]"
NOTHING = [
    "n/a",
    "#n/a",
    "-",
    "--",
    "na",
    "none",
    "null",
    "nan",
    "tbd",
    "tba",
    "n.a.",
    "",
    "default title",
    "no_selection",
]
BOILERPLATE = "Free shipping on orders over $50."
TEXTS = ("title", "description", "brand", "category")


def by_polars(feed: Path, out: Path) -> None:
    import ftfy
    import polars as pl

    def mended(cells: pl.Series) -> pl.Series:
        return pl.Series([ftfy.fix_encoding(c) for c in cells], dtype=pl.String)

    def cleaned(name: str) -> pl.Expr:
        text = pl.col(name)
        text = pl.when(text.str.contains(MOJIBAKE)).then(text).map_batches(_where(mended), pl.String).fill_null(text)
        text = text.str.replace_all(CONTROL, "")
        for _ in range(2):  # markup, then markup that was written with entities
            text = text.str.replace_all(UNREAD, "")
            for tag, instead in (TAGS | RUNS).items():
                text = text.str.replace_all(tag, instead)
            text = text.str.replace_many(ENTITIES)
        text = text.str.replace_many(ENTITIES).str.replace_all(INVISIBLE, "").str.normalize("NFC")
        text = text.str.replace_all(r"\s+", " ").str.strip_chars()
        if name == "description":
            text = text.str.replace(rf"(.)\s+{re.escape(BOILERPLATE)}$", "$1")
        return pl.when(~text.str.to_lowercase().is_in(NOTHING)).then(text).alias(name)

    rows = pl.scan_csv(feed, infer_schema=False).with_columns(
        *map(cleaned, TEXTS),
        pl.col("id", "picture").str.strip_chars().replace("", None),
        pl.col("price").str.extract(r"^([\d.]+)").cast(pl.Float64, strict=False),
        pl.col("price").str.extract(r"([A-Z]{3})$").alias("currency"),
    )
    kept = rows.filter(
        pl.col("id").is_not_null(), pl.any_horizontal(pl.col("title", "description", "brand").is_not_null())
    )
    kept.unique("id", keep="first", maintain_order=True).sink_parquet(out)


PLAIN = {"&nbsp;": " ", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&"}


def by_plain(feed: Path, out: Path) -> None:
    import polars as pl

    texts = pl.col(*TEXTS)
    bare = texts.str.replace_all(r"<[^>]+>", " ").str.replace_many(PLAIN).str.replace_all(r"\s+", " ").str.strip_chars()
    rows = (
        pl.scan_csv(feed, infer_schema=False)
        .with_columns(bare, pl.col("price").str.extract(r"([\d.]+)").cast(pl.Float64, strict=False))
        .with_columns(pl.when(~texts.str.to_lowercase().is_in(NOTHING)).then(texts).name.keep())
        .filter(pl.col("id").is_not_null(), pl.any_horizontal(pl.col("title", "description", "brand").is_not_null()))
    )
    rows.unique("id", keep="first", maintain_order=True).sink_parquet(out)


def _where(change: Any) -> Any:
    """Only the cells that are there."""

    def changed(cells: Any) -> Any:
        there = cells.is_not_null().arg_true()
        return cells if there.is_empty() else cells.clone().scatter(there, change(cells.gather(there)))

    return changed


def clean_text(text: str | None, patterns: dict[str, re.Pattern[str]], name: str) -> str | None:
    """The rules for one cell of Python text, as pandas and `datasets` apply them."""
    import unicodedata

    import ftfy

    if not isinstance(text, str):
        return None
    if patterns["mojibake"].search(text):
        text = ftfy.fix_encoding(text)
    text = patterns["control"].sub("", text)
    for _ in range(3):
        if "<" in text:
            for tag, instead in (*patterns["tags"], *patterns["runs"]):  # type: ignore[misc]
                text = tag.sub(instead, text)
        if "&" in text:
            text = html.unescape(text)
    text = unicodedata.normalize("NFC", patterns["invisible"].sub("", text))
    text = " ".join(text.split())
    if name == "description" and len(text) > len(BOILERPLATE):
        text = text.removesuffix(BOILERPLATE).strip()
    return None if text.lower() in NOTHING else text


def _patterns() -> dict[str, Any]:
    return {
        "mojibake": re.compile(MOJIBAKE),
        "control": re.compile(CONTROL),
        "invisible": re.compile(INVISIBLE),
        "tags": [(re.compile(UNREAD), ""), *((re.compile(tag), instead) for tag, instead in TAGS.items())],
        "runs": [(re.compile(run), instead.replace("$1", r"\1")) for run, instead in RUNS.items()],
    }


def by_pandas(feed: Path, out: Path) -> None:
    import pandas as pd

    patterns = _patterns()
    rows = pd.read_csv(feed, dtype=str, keep_default_na=False)
    for name in TEXTS:
        rows[name] = rows[name].map(lambda text, name=name: clean_text(text, patterns, name))
    rows["id"] = rows["id"].str.strip().replace("", None)
    rows["currency"] = rows["price"].str.extract(r"([A-Z]{3})$")[0]
    rows["price"] = pd.to_numeric(rows["price"].str.extract(r"^([\d.]+)")[0])
    rows = rows[rows["id"].notna() & rows[["title", "description", "brand"]].notna().any(axis=1)]
    rows.drop_duplicates("id").to_parquet(out)


def by_datasets(feed: Path, out: Path) -> None:
    import datasets

    patterns, seen = _patterns(), set[str]()

    def cleaned(row: dict[str, Any]) -> dict[str, Any]:
        return row | {name: clean_text(row[name], patterns, name) for name in TEXTS}

    def wanted(row: dict[str, Any]) -> bool:
        new = bool(row["id"]) and row["id"] not in seen and any(row[name] for name in ("title", "description", "brand"))
        seen.add(row["id"])
        return new

    names = ["id", *("title", "description", "brand", "category"), "price", "picture"]
    features = datasets.Features(dict.fromkeys(names, datasets.Value("string")))
    with tempfile.TemporaryDirectory(dir=out.parent) as cache:
        rows = datasets.load_dataset("csv", data_files=str(feed), features=features, cache_dir=cache, split="train")
        rows.map(cleaned).filter(wanted).to_parquet(out)


def by_mlim(feed: Path, out: Path) -> list[str]:
    cache = out.with_suffix(".cache")
    run = "from workbench.cli import app; app()"
    return ["-c", run, "ingest", str(feed), "--set", f"runtime.cache={cache}"]


def measured(command: list[str]) -> tuple[float, float, float]:
    """(wall seconds, processor seconds, peak MB) of a process and those it starts."""
    begun = time.monotonic()
    quiet = os.environ | {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, env=quiet)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{command}: exit status {status}")
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("feed", type=Path)
    parser.add_argument("ways", nargs="*", default=["mlim", "polars"])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.out:
        globals()[f"by_{given.ways[0]}"](given.feed, given.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, list[tuple[float, float, float]]] = {way: [] for way in given.ways}
        outs = {way: Path(folder, f"{way}.parquet") for way in given.ways}
        for turn in range(given.repeat):
            for way, out in outs.items():
                out = out.with_stem(f"{way}{turn}")
                own = [__file__, str(given.feed), way, "--out", str(out)]
                figures[way].append(measured(by_mlim(given.feed, out) if way == "mlim" else own))
                outs[way] = out
        tell(figures, {way: listings(out) for way, out in outs.items()})


def listings(out: Path) -> Any:
    import polars as pl

    if not out.exists():
        (out,) = out.with_suffix(".cache").glob("ingest-*/items.parquet")
    items = pl.read_parquet(out)
    return items.rename(lambda name: name.removeprefix("text.").removeprefix("label.")).select("id", *TEXTS)


def tell(figures: dict[str, list[tuple[float, float, float]]], found: dict[str, Any]) -> None:
    own = min(figures.get("mlim", [(0.0, 0.0, 0.0)]))[0]
    print("| way | wall s | cpu s | it / mlim | peak MB | listings | texts as polars' |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for way, runs in figures.items():
        wall, cpu, peak = min(runs)
        alike = found[way].join(found.get("polars", found[way]), on=["id", *TEXTS], nulls_equal=True, how="semi")
        times = f"{wall:.2f} | {cpu:.2f} | {wall / own if own else 0:.2f}"
        print(f"| {way} | {times} | {peak:.0f} | {found[way].height} | {alike.height} |")


if __name__ == "__main__":
    main()
