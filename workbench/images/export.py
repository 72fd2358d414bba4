"""The stored pictures with their listings, for other programs: WebDataset's tars, or a data set of `datasets`.

Of each listing: row, id, title, text.*, label.*, part, state, and where that is "present" its usable pictures.
A JPEG or PNG is handed on as it is stored, raw pixels as PNG. The same artifacts give the same bytes.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from imagecodecs import png_encode

from workbench.artifacts.key import key_of
from workbench.artifacts.outbox import is_sent
from workbench.artifacts.store import Artifact, fsync
from workbench.errors import DataError
from workbench.images.shard import INDEX, Shards
from workbench.images.stream import open_shards
from workbench.recipe.schema import Images

if TYPE_CHECKING:
    from datasets import Features

READ_FROM = {"ingest": "items.parquet", "images": INDEX, "duplicates": "pictures.parquet", "split": "split.parquet"}
READ = 1024  # listings at once
AHEAD = 8192  # listings whose shards are fetched before they are read, where these are in an object store
BATCH = 100  # listings of a record batch, or fewer if their pictures are of more than
HELD = 1 << 26  # bytes

T = TypeVar("T")
Line = dict[str, Any]  # of a data set; its pictures are in `image` or `images`, as {"bytes": …, "path": None}
Member = tuple[str, Mapping[str, bytes | memoryview]]  # of a tar


@dataclass(frozen=True)
class Sample:
    listing: Line
    pictures: list[bytes | memoryview]  # encoded


def export(artifacts: Mapping[str, Artifact], images: Images, out: Path, form: str) -> str:
    """Write the folder `out`, at the end there wholly or not at all; returns a line on what is in it.

    `artifacts` are those of `READ_FROM`, `form` is "webdataset" or "datasets". A file holds `images.shard_pictures`
    listings. Raises DataError where `out` is there already, ArtifactError where what is read has changed.
    """
    check_new(out)
    for stage, file in READ_FROM.items():
        artifacts[stage].verify(file)
    shards = open_shards(artifacts["images"], artifacts["duplicates"].path("pictures.parquet"))
    with new_folder(out) as folder, pq.ParquetFile(artifacts["ingest"].path("items.parquet")) as items:
        columns = [name for name in items.schema_arrow.names if name.startswith(("text.", "label."))]
        samples = _samples(items, ["id", "title", *columns], artifacts["split"], shards)
        if form == "webdataset":
            suffix = "jpg" if shards.encoding == "jpeg" else "png"
            files = cut((_members(sample, suffix) for sample in samples), len(shards), images.shard_pictures)
            write_tars(folder, "shard", files)
        else:
            several = images.use == "all"
            features = _features(["id", "title", *columns, "part", "state"], several)
            lines = cut((_line(sample, several) for sample in samples), len(shards), images.shard_pictures)
            write_dataset(folder, lines, features, key_of({stage: artifacts[stage].key for stage in READ_FROM}))
    return f"{len(shards):,} listings, {int(shards.counts.sum()):,} pictures: {out}"


def check_new(out: Path) -> None:
    """Raises DataError where something is there already."""
    if out.exists() or is_sent(out):
        raise DataError(f"{out}: is there already; expected a new folder: give another name, or delete it")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write in, which is `out` at the end, wholly or not at all. Raises DataError where that is there."""
    check_new(out)
    aside = out.with_name(out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)  # of a killed run
    aside.mkdir(parents=True)
    yield aside
    for path in (*aside.rglob("*"), aside):
        fsync(path)
    aside.rename(out)


def cut(samples: Iterator[T], count: int, size: int) -> list[Iterator[T]]:
    """`count` samples as files of `size`, to be read one file after the other."""
    return [islice(samples, size) for _ in range(-(-count // size))]


def _samples(items: pq.ParquetFile, columns: Sequence[str], split: Artifact, shards: Shards) -> Iterator[Sample]:
    """Every listing by row, with or without pictures."""
    parts = pl.read_parquet(split.path("split.parquet"), columns=["part"])["part"].cast(pl.Categorical)
    for some in items.iter_batches(READ, columns=["row", *columns]):
        begin = some["row"][0].as_py()
        shards.want(np.arange(begin, min(begin + AHEAD, len(shards))))
        for listing in some.to_pylist():
            row = listing["row"]
            listing |= {"part": parts[row], "state": shards.states[row]}
            yield Sample(listing, [_readable(shards, row, k) for k in range(shards.count(row))])


def _readable(shards: Shards, row: int, k: int) -> bytes | memoryview:
    if shards.encoding != "raw":
        return shards.bytes(row, k)
    return bytes(png_encode(np.asarray(shards.image(row, k)), level=1))


def _members(sample: Sample, suffix: str) -> Member:
    """ROW.jpg (ROW.1.jpg, ROW.2.jpg of a listing's further pictures) and ROW.json."""
    pictures = {f"{k}.{suffix}" if k else suffix: picture for k, picture in enumerate(sample.pictures)}
    return f"{sample.listing['row']:010}", pictures | {"json": to_json(sample.listing)}


def to_json(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode()


def write_tars(folder: Path, prefix: str, files: Iterable[Iterable[Member]]) -> None:
    """PREFIX-000000.tar, …, of samples that are each a name and what is in its files, by suffix."""
    for number, samples in enumerate(files):
        with tarfile.open(folder / f"{prefix}-{number:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, members in samples:
                for suffix, data in members.items():
                    _add(tar, f"{name}.{suffix}", data)


def _add(tar: tarfile.TarFile, name: str, data: bytes | memoryview) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _features(columns: Sequence[str], several: bool) -> Features:
    import datasets

    words = {name: datasets.Value("string") for name in columns}
    pictures = {"images": datasets.Sequence(datasets.Image())} if several else {"image": datasets.Image()}
    return datasets.Features({"row": datasets.Value("uint32"), **words, **pictures})


def write_dataset(folder: Path, files: Sequence[Iterable[Line]], features: Features, key: str) -> None:
    """The files that `Dataset.save_to_disk` writes; itself it would need a copy of all in its cache."""
    from datasets import DatasetInfo

    names = [f"data-{number:05}-of-{len(files):05}.arrow" for number in range(len(files))]
    for name, lines in zip(names, files, strict=True):
        with pa.ipc.new_stream(str(folder / name), features.arrow_schema) as arrow:
            for some in _batches(lines):
                arrow.write_batch(pa.RecordBatch.from_pylist(some, features.arrow_schema))
    DatasetInfo(features=features).write_to_directory(folder)
    unset: dict[str, Any] = dict.fromkeys(("_format_columns", "_format_type", "_split"))
    files_of = {"_data_files": [{"filename": name} for name in names], "_fingerprint": key[:16]}
    state = {**files_of, **unset, "_format_kwargs": {}, "_output_all_columns": False}
    (folder / "state.json").write_text(json.dumps(state, indent=2))


def _line(sample: Sample, several: bool) -> Line:
    pictures = [{"bytes": picture, "path": None} for picture in sample.pictures]
    return sample.listing | ({"images": pictures} if several else {"image": next(iter(pictures), None)})


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    some, size = list[Line](), 0
    for line in lines:
        some.append(line)
        size += sum(len(picture["bytes"]) for picture in line.get("images", [line.get("image")]) if picture)
        if len(some) == BATCH or size > HELD:
            yield some
            some, size = [], 0
    if some:
        yield some
