"""WebDataset tars: the members with one key are a row. Read in place: nothing is unpacked, pictures are named.

The key of a member is its path up to the first dot of its base name, the rest is the field: `sku2.front.jpg`. Columns
are `__key__`, `image` (the address of the first picture) and `images` (a JSON list of the others), each field of text
by its name (`txt`, `cls`, `caption.txt`), and the keys of `.json`.
"""

from __future__ import annotations

import json
import os
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.layout import PICTURES
from workbench.catalog.feeds.table import BadRow, Table, cell_text, excerpt, parse_json
from workbench.errors import DataError

TEXTS = ("txt", "text", "caption", "title", "cls", "cls2", "id", "index", "url", "html", "json", "jsonl")
CHUNK_ROWS = 20_000
MOST_TEXT = 2**24  # bytes of one member


@dataclass
class Sample:
    pictures: list[str] = field(default_factory=list)  # names of members, in their order
    texts: dict[str, tuple[int, int]] = field(default_factory=dict)  # field -> offset and bytes


def read_tars(folder: Path, tars: list[Path], limit: int | None = None) -> Iterator[Table]:
    """Stream the samples of shards, or the first `limit`; a key that an earlier shard had becomes `SHARD/KEY`.

    Members that are no files (links, devices) or lead elsewhere are ignored, their number is told in `read_as`.
    Raises DataError for a tar that can't be read.
    """
    seen: set[str] = set()
    dotted: bool | None = None
    left = limit
    for path in tars:
        name = path.relative_to(folder).as_posix()
        members, ignored, damage = _members(path)
        dotted = are_dotted(members) if dotted is None else dotted
        samples = list(_samples(members, dotted).items())
        for start in range(0, max(1, len(samples)), CHUNK_ROWS):
            part = samples[start : min(start + CHUNK_ROWS, len(samples) if left is None else start + left)]
            last = start + CHUNK_ROWS >= len(samples)
            table = _table(
                path, name, part, start, seen, f"WebDataset, {ignored} members ignored" if ignored else "WebDataset"
            )
            if damage and last and left is None:
                broken = BadRow(len(samples) + 1, "damaged archive", f"{damage}; what follows can't be read")
                table = Table(table.cells, table.lines, (*table.bad, broken), table.read_as, name)
            yield table
            if left is not None and (left := left - table.rows) <= 0:
                return


def _members(path: Path) -> tuple[dict[str, tuple[int, int]], int, str]:
    """(name -> offset and bytes of each plain file, how many others there were, what broke off the archive)."""
    members: dict[str, tuple[int, int]] = {}
    ignored, damage = 0, ""
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as tar:
            while member := tar.next():
                tar.members = []  # type: ignore[attr-defined]  # else each is held twice
                name = posixpath.normpath(member.name)
                if name.startswith(("/", "..")) or member.issparse() or not (member.isreg() or member.isdir()):
                    ignored += 1
                elif member.isreg() and not posixpath.basename(name).startswith("."):
                    if member.offset_data + member.size > size:
                        damage = f"{name} is cut off"
                        break
                    members[name] = member.offset_data, member.size
    except (tarfile.TarError, OSError, ValueError, OverflowError, EOFError) as error:
        if not members:
            raise DataError(f"{path}: can't be read as a tar ({error}); an uncompressed tar is expected") from None
        damage = str(error)
    return members, ignored, damage


def are_dotted(members: dict[str, tuple[int, int]]) -> bool:
    """Whether keys have dots of their own (`22.05.png`), so that the last dot ends them.

    `key.front.jpg` is a picture of `key`, which has its texts without that word, and the same words come back with
    other keys. `22.05.png` has a `22.05.json` beside it, or words that don't come back.
    """
    words: Counter[str] = Counter()
    pictured: set[tuple[str, str]] = set()
    told: set[tuple[str, str]] = set()
    for name in members:
        key, _, rest = posixpath.basename(name).partition(".")
        word, _, ending = rest.rpartition(".")
        if word and ending.lower() in PICTURES:
            words[word] += 1
            pictured.add((posixpath.dirname(name) + key, word))
        elif word and ending.lower() in TEXTS:
            told.add((posixpath.dirname(name) + key, word))
    beside = len(pictured & told)
    return 2 * beside > len(pictured) > 0 or (len(words) > 2 and 2 * len(words) > words.total())


def _samples(members: dict[str, tuple[int, int]], dotted: bool) -> dict[str, Sample]:
    samples: dict[str, Sample] = {}
    for name, place in members.items():
        folder, base = posixpath.split(name)
        key, _, rest = base.rpartition(".") if dotted else base.partition(".")
        sample = samples.setdefault(posixpath.join(folder, key), Sample())
        if rest.rpartition(".")[2].lower() in PICTURES:
            sample.pictures.append(name)
        elif rest.rpartition(".")[2].lower() in TEXTS:
            sample.texts[rest.lower()] = place
    return {key: sample for key, sample in samples.items() if sample.pictures or sample.texts}


def _table(path: Path, name: str, samples: list[tuple[str, Sample]], start: int, seen: set[str], read_as: str) -> Table:
    rows: list[dict[str, str | None]] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    with path.open("rb") as file:
        for line, (key, sample) in enumerate(samples, start + 1):
            unique = key if key not in seen else f"{name.removesuffix('.tar')}/{key}"
            seen.add(key)
            try:
                cells = _cells(file.fileno(), sample)
            except (ValueError, RecursionError) as error:
                bad.append(BadRow(line, "broken sample", f"{key}: {excerpt(str(error))}"))
                continue
            addresses = [f"{name}::{member}" for member in sample.pictures]
            further = json.dumps(addresses[1:], ensure_ascii=False) if addresses[1:] else None
            rows.append({"__key__": unique, "image": addresses[0] if addresses else None, "images": further, **cells})
            lines.append(line)
    words = dict.fromkeys(word for row in rows for word in row)
    frame = pl.DataFrame({word: pl.Series([row.get(word) for row in rows], dtype=pl.String) for word in words})
    return Table(frame, pl.Series("line", lines, pl.UInt32), tuple(bad), read_as, name)


def _cells(file: int, sample: Sample) -> dict[str, str | None]:
    """The texts of a sample; a key of its JSON that another column has is `json.KEY`."""
    cells: dict[str, str | None] = {}
    spread: dict[str, str | None] = {}
    for word, (offset, size) in sample.texts.items():
        if size > MOST_TEXT:
            raise ValueError(f"{word} has {size / 2**20:,.0f} MiB")
        text = _decoded(os.pread(file, size, offset))
        value = parse_json(text.strip()) if word.endswith("json") else None
        if isinstance(value, dict):
            spread |= {str(key): cell_text(inner) for key, inner in value.items()}
        else:
            cells[word] = text.strip() or None
    taken = cells.keys() | {"__key__", "image", "images"}
    return cells | {f"json.{key}" if key in taken else key: text for key, text in spread.items()}


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def read_tar(path: Path, limit: int | None = None) -> Iterator[Table]:
    """Stream the samples of one shard that is the whole feed."""
    yield from read_tars(path.parent, [path], limit)
