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
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from imagecodecs import png_encode

from workbench.artifacts.key import key_of
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


@dataclass(frozen=True)
class Sample:
    listing: dict[str, Any]
    pictures: list[bytes | memoryview]  # encoded


def export(artifacts: Mapping[str, Artifact], images: Images, out: Path, form: str) -> str:
    """Write the folder `out`, at the end there wholly or not at all; returns a line on what is in it.

    `artifacts` are those of `READ_FROM`, `form` is "webdataset" or "datasets". A file holds `images.shard_pictures`
    listings. Raises DataError where `out` is there already, ArtifactError where what is read has changed.
    """
    check_new(out)
    for stage, file in READ_FROM.items():
        artifacts[stage].verify(file)
    aside = out.with_name(out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)  # of a killed run
    aside.mkdir(parents=True)
    shards = open_shards(artifacts["images"], artifacts["duplicates"].path("pictures.parquet"))
    with pq.ParquetFile(artifacts["ingest"].path("items.parquet")) as items:
        columns = [name for name in items.schema_arrow.names if name.startswith(("text.", "label."))]
        samples = _samples(items, ["id", "title", *columns], artifacts["split"], shards)
        files = [islice(samples, images.shard_pictures) for _ in range(-(-len(shards) // images.shard_pictures))]
        if form == "webdataset":
            _write_tars(aside, files, "jpg" if shards.encoding == "jpeg" else "png")
        else:
            features = _features(["id", "title", *columns, "part", "state"], images.use == "all")
            _write_dataset(aside, files, features, key_of({stage: artifacts[stage].key for stage in READ_FROM}))
    for path in (*aside.iterdir(), aside):
        fsync(path)
    aside.rename(out)
    return f"{len(shards):,} listings, {int(shards.counts.sum()):,} pictures: {out}"


def check_new(out: Path) -> None:
    """Raises DataError where something is there already."""
    if out.exists():
        raise DataError(f"{out}: is there already; expected a new folder: give another name, or delete it")


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


def _write_tars(folder: Path, files: Iterable[Iterable[Sample]], suffix: str) -> None:
    """ROW.jpg (ROW.1.jpg, ROW.2.jpg of a listing's further pictures) and ROW.json."""
    for number, samples in enumerate(files):
        with tarfile.open(folder / f"shard-{number:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                name = f"{sample.listing['row']:010}"
                for k, picture in enumerate(sample.pictures):
                    _add(tar, f"{name}.{k}.{suffix}" if k else f"{name}.{suffix}", picture)
                _add(tar, f"{name}.json", json.dumps(sample.listing, ensure_ascii=False).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes | memoryview) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _features(columns: Sequence[str], several: bool) -> Features:
    import datasets

    words = {name: datasets.Value("string") for name in columns}
    pictures = {"images": datasets.Sequence(datasets.Image())} if several else {"image": datasets.Image()}
    return datasets.Features({"row": datasets.Value("uint32"), **words, **pictures})


def _write_dataset(folder: Path, files: Sequence[Iterable[Sample]], features: Features, key: str) -> None:
    """The files that `Dataset.save_to_disk` writes; itself it would need a copy of all in its cache."""
    from datasets import DatasetInfo

    names = [f"data-{number:05}-of-{len(files):05}.arrow" for number in range(len(files))]
    for name, samples in zip(names, files, strict=True):
        with pa.ipc.new_stream(str(folder / name), features.arrow_schema) as arrow:
            for some in _batches(samples):
                lines = [_line(sample, "images" in features) for sample in some]
                arrow.write_batch(pa.RecordBatch.from_pylist(lines, features.arrow_schema))
    DatasetInfo(features=features).write_to_directory(folder)
    unset: dict[str, Any] = dict.fromkeys(("_format_columns", "_format_type", "_split"))
    files_of = {"_data_files": [{"filename": name} for name in names], "_fingerprint": key[:16]}
    state = {**files_of, **unset, "_format_kwargs": {}, "_output_all_columns": False}
    (folder / "state.json").write_text(json.dumps(state, indent=2))


def _line(sample: Sample, several: bool) -> dict[str, Any]:
    pictures = [{"bytes": picture, "path": None} for picture in sample.pictures]
    return sample.listing | ({"images": pictures} if several else {"image": next(iter(pictures), None)})


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    some, size = list[Sample](), 0
    for sample in samples:
        some.append(sample)
        size += sum(map(len, sample.pictures))
        if len(some) == BATCH or size > HELD:
            yield some
            some, size = [], 0
    if some:
        yield some
