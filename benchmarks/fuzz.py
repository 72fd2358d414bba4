#!/usr/bin/env python3
"""Read mutated feeds: no traceback, no hang, and every row kept or told as bad.

usage: fuzz.py [--inputs 100000] [--seed 0] [--first 0]     the same inputs each time; --first goes on at a number

Seeds are the fixtures of tests/catalog/feeds and some feeds by hand; each input has one to six mutations of one (bytes
flipped, cut, doubled, quotes, NULs, marks, braces and tags put in, lines repeated or mixed with another seed's). One in
twenty is a folder with one file mutated. Each is read by `open_feed`, and one in ten by the dialects too. Only an
MlimError may be raised. Delimited feeds and JSON lines are counted by other means: the slow twin, the lines that are
not blank. Ends with 1 and the input's number when something else happens.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import random
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from unittest.mock import patch

import numpy as np
import polars as pl

from workbench.catalog.dialects.look import look
from workbench.catalog.dialects.products import products
from workbench.catalog.feeds import delimited
from workbench.catalog.feeds.blocks import Block
from workbench.catalog.feeds.delimited import read_delimited
from workbench.catalog.feeds.grammar import told_delimiter
from workbench.catalog.feeds.read import open_feed
from workbench.catalog.feeds.rfc4180 import split_lines
from workbench.catalog.feeds.table import Table, joined
from workbench.errors import MlimError
from workbench.recipe.schema import Feed

FIXTURES = Path(__file__).parents[1] / "tests/catalog/feeds"
SECONDS = 10  # for one input; all are small
LARGEST = 2**16  # bytes of a seed
BY_HAND = {
    "a.csv": b'id,title,price\n1,"Mug, ""oak""\nsecond line",1.50\n2,Cup 12",2\n\n3,"",3\n',
    "b.csv": b'\xef\xbb\xbf"ID";"Name"\r\n1;Caf\xe9\r\n2;"a;b"\r\n',
    "c.tsv": b'id\ttitle\timage_link\n1\t12" kite\thttps://a.test/1.jpg\n2\t"open\tx\n3\t"a\tb"\tc\n',
    "d.txt": "id|title\n1|Käse\n2|Tee\n".encode("utf-16"),
    "e.csv": b"sep=;\r\nid;title\r\n1;a,b\r\n",
    "f.csv": b"id,title\r1,a\r2,b\r",
    "g.jsonl": b'{"id": 1, "title": "a", "tags": ["x", {"y": 1.50}]}\n{"id": "\\ud83d\\ude00"}\n\n{"id": -0}\n',
    "h.json": b'{"n": 1, "products": [{"id": 1, "variants": [{"s": 1}]},\n{"id": 2}]}',
    "i.json": b'[{"id": 1}, {"id": 2, "title": "a"}]',
    "j.csv": b'id, title, about\n1, a, "b, c"\n2, b, "d" \n',
    "k.xml": b'<?xml version="1.0"?><rss><channel><item><id>1</id><title>a &amp; b</title></item></channel></rss>',
    "l.csv.gz": gzip.compress(b"id,title\n1,a\n2,b\n", mtime=0),
    "m.csv": b"id,title,,\n1,White, blue,\n2,b,,\n",
}


def _binary() -> dict[str, bytes]:
    """Feeds that are no text, made here as their bytes are no fixture to read."""
    frame = pl.DataFrame({"id": [1, 2], "title": ["a", "b"], "tags": [["x"], None], "picture": [b"\xff\xd8\xff", b""]})
    parquet, arrow, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    frame.write_parquet(parquet)
    frame.write_ipc(arrow)
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in (
            ("1.jpg", b"\xff\xd8\xff"),
            ("1.json", b'{"title": "a"}'),
            ("2.txt", b"b"),
            ("2.jpg", b"\xff\xd8"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return {"a.parquet": parquet.getvalue(), "a.arrow": arrow.getvalue(), "00000.tar": packed.getvalue()}


SIGNS = [
    b'"',
    b'""',
    b'","',
    b"'",
    b",",
    b";",
    b"\t",
    b"|",
    b"\\",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x00",
    b"\x00" * 9,
    b"\xff",
]
SIGNS += [
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xe2\x80\xa8",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"<",
    b">",
    b"</item>",
    b"<item>",
]
SIGNS += [
    b"<![CDATA[",
    b"]]>",
    b"&lt;",
    b"&#0;",
    b"<!DOCTYPE a>",
    b"-0",
    b"NaN",
    b"1e999",
    b"\\ud83d",
    b"[" * 3000,
    b" ",
]


class Hang(BaseException):
    """The time for one input is over; no `except Exception` of the readers may catch it."""


def mutated(draw: random.Random, data: bytes, other: bytes) -> bytes:
    for _ in range(draw.choice([1, 1, 1, 2, 2, 3, 6])):
        data = _mutated_once(draw, data, other)[: 4 * LARGEST]
    return data


def _mutated_once(draw: random.Random, data: bytes, other: bytes) -> bytes:
    at = draw.randint(0, len(data))
    end = min(len(data), at + draw.choice([1, 4, 30, 2000]))
    before, part, after = data[:at], data[at:end], data[end:]
    lines = data.splitlines(keepends=True) or [b""]
    return draw.choice(
        [
            lambda: before + bytes([draw.randrange(256)]) + data[at + 1 :],
            lambda: before + draw.choice(SIGNS) + data[at:],
            lambda: before + draw.choice(SIGNS) + data[at:],
            lambda: before + after,
            lambda: before + part * draw.choice([2, 3, 50]) + after,
            lambda: before,
            lambda: before + other[len(other) // 2 :],
            lambda: data + lines[0] + data[len(lines[0]) :],  # files joined, the header again
            lambda: b"".join(draw.sample(lines, len(lines))),
            lambda: data.replace(b"\n", draw.choice([b"\r\n", b"\r", b"\n\n"])),
            lambda: data.decode("utf-8", "replace").encode(draw.choice(["utf-16", "utf-16-le", "cp1252"]), "replace"),
        ]
    )()


def seeds() -> list[tuple[str, bytes]]:
    """Names and bytes of the feeds to start from."""
    files = sorted(path for path in FIXTURES.rglob("*") if path.is_file() and path.stat().st_size < LARGEST)
    return [(path.name, path.read_bytes()) for path in files] + list((BY_HAND | _binary()).items())


def inputs(folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[tuple[int, Path]]:
    """The number and the path of each input, which is there until the next is asked for."""
    known = seeds()
    folders = sorted(path for path in FIXTURES.iterdir() if any(inner.is_dir() for inner in path.glob("*")))
    for number in numbers:
        draw = random.Random(f"{seed}/{number}")
        other = draw.choice(known)[1]
        if folders and number % 20 == 0:
            path = folder / "feed"
            shutil.copytree(draw.choice(folders), path)
            target = draw.choice(sorted(p for p in path.rglob("*") if p.is_file()))
            target.write_bytes(mutated(draw, target.read_bytes(), other))
        else:
            name, data = draw.choice(known)
            path = folder / draw.choice([name] * 36 + ["a.csv", "a.tsv", "a.json", "a.jsonl"])
            path.write_bytes(mutated(draw, data, other))
        yield number, path
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def check_table(table: Table) -> None:
    assert len(table.cells) == len(table.lines), "cells and lines differ"
    assert all(kind == pl.String for kind in table.cells.dtypes), "a column is not text"
    assert len(set(table.cells.columns)) == table.cells.width, "a header word twice"
    assert {row.line for row in table.mended} <= set(table.lines), "mended, but not kept"


def check_twins(path: Path) -> None:
    """A delimited feed read by blocks is the same as one by one."""
    nothing = Block(b"", np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    fast = joined(list(read_delimited(path)))
    with patch.object(delimited, "sound_block", lambda *_: (nothing, True)), patch.object(delimited, "_STRETCH", 2**30):
        slow = joined(list(read_delimited(path)))
    assert fast.cells.equals(slow.cells) and fast.lines.equals(slow.lines), "twins differ"
    assert (fast.bad, fast.mended) == (slow.bad, slow.mended), "twins differ in what is bad"
    assert fast.lines.is_sorted() and len({*fast.lines, *(row.line for row in fast.bad)}) == fast.rows, "a line twice"


def check_rows(data: bytes, read_as: str, rows: int) -> None:
    """Rows kept and dropped are all rows, where these are the lines that aren't blank."""
    if read_as == "comma-separated, UTF-8" and b'"' not in data and not told_delimiter(data)[1]:
        lines = [line for line in split_lines(data.decode("utf-8-sig")) if line.strip(" \t\r\n")]
        assert rows == len(lines) - 1, "rows are not the lines"
    if read_as == "JSON lines, UTF-8":
        lines = [line for line in split_lines(data.decode()) if line.removeprefix("\ufeff").strip(" \t\r\n\v\f")]
        assert rows == len(lines), "rows are not the lines"


def read(path: Path, dialects: bool = True) -> tuple[str, int, int]:
    """What it was read as, rows kept and rows dropped."""
    try:
        tables = list(open_feed(path))
    except MlimError:
        return "refused", 0, 0
    for table in tables:
        check_table(table)
    kind, bad = tables[-1].read_as.split(",")[0], sum(len(table.bad) for table in tables)
    rows = sum(table.rows for table in tables)
    if path.is_file() and kind.endswith("-separated"):
        check_twins(path)
    if path.is_file() and not (data := path.read_bytes()).startswith(b"\x1f\x8b"):
        check_rows(data, tables[-1].read_as, rows)
    if not dialects:
        return kind, rows - bad, bad
    try:
        feed = Feed(path=path)
        found = list(products(feed, look(feed, "feeds.a")))
    except MlimError:
        return f"{kind}, no products", rows - bad, bad
    accounted = sum(len(part.cells) + len(part.joined) + len(part.bad) for part in found)
    assert accounted == rows, f"{rows} rows, {accounted} in products"
    return kind, rows - bad, bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    options = parser.parse_args()

    def over(number: int, frame: FrameType | None) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, over)
    kinds: Counter[str] = Counter()
    kept = dropped = failures = 0
    slowest, began = (0.0, -1), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, path in inputs(Path(folder), options.seed, range(options.first, options.first + options.inputs)):
            faulthandler.dump_traceback_later(6 * SECONDS, exit=True)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            start = time.process_time()
            try:
                kind, good, bad = read(path, dialects=number % 10 == 0)
            except (Exception, Hang):
                signal.setitimer(signal.ITIMER_REAL, 0)
                failures += 1
                kind, good, bad = "FAILED", 0, 0
                print(f"input {number} ({path.name}):\n{traceback.format_exc(limit=-6)}", flush=True)
                if path.is_file():
                    print(path.read_bytes()[:600], flush=True)
            signal.setitimer(signal.ITIMER_REAL, 0)
            kinds[kind] += 1
            kept, dropped = kept + good, dropped + bad
            slowest = max(slowest, (time.process_time() - start, number))
            if number % 5000 == 4999:
                print(f"{number + 1:,} inputs, {time.perf_counter() - began:.0f} s, {dict(kinds)}", flush=True)
            if failures >= options.failures:
                break
    faulthandler.cancel_dump_traceback_later()
    print(
        f"{kinds.total():,} inputs, seed {options.seed}: {failures} failures; {kept:,} rows kept, {dropped:,} bad, "
        f"{kinds['refused']:,} feeds refused; slowest {slowest[0]:.2f} s (input {slowest[1]}); "
        f"{time.perf_counter() - began:.0f} s"
    )
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
