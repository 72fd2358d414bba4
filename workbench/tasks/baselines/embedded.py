"""What a published model sees, frozen: a vector of the text, of the picture, or both."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from workbench.artifacts.key import Digests, key_of
from workbench.recipe.schema import Runtime
from workbench.tasks.baselines import pairs
from workbench.tasks.baselines.check import name_of
from workbench.tasks.baselines.features import Features
from workbench.tasks.baselines.linear import Floats
from workbench.tasks.baselines.published import Embedder, folder_of, load

Rows = NDArray[np.int64]

AT_ONCE = 32  # texts or pictures that a model reads
SHOWN = 1000  # of so many it is told that they are read
DIGESTS = "digests.json"  # of files, as plans remember them


@dataclass(frozen=True)
class Embedded:
    """Of a model that reads both, listings and queries lie in one space."""

    named: Path
    features: Features
    runtime: Runtime | None = None  # its cache keeps the vectors

    @property
    def name(self) -> str:
        return name_of(self.named)

    @property
    def groups(self) -> NDArray[np.str_]:
        return self.features.groups

    @property
    def readings(self) -> Mapping[str, str]:
        text, picture = self._model.texts, self._model.pictures
        if text and picture:
            return {"both": "both", "text": "text", "picture": "picture"}
        part = "text" if text else "picture"
        return {"both": part, part: part}

    def weights(self, part: str) -> Sequence[float]:
        return (0.5, 1.0, 2.0) if part == "both" else (1.0,)

    def vectors(self, part: str, weight: float, rows: Rows) -> Any:
        if part == "both":
            return np.hstack([self._text.of(rows), self._picture.of(rows) * np.float32(weight)])
        return (self._text if part == "text" else self._picture).of(rows)

    def common(self, part: str, rows_n2: Rows) -> Floats:
        """Cosines of the texts, of the pictures and of one's text with the other's picture; what both have."""
        rows, places = np.unique(rows_n2, return_inverse=True)
        places_n2 = places.reshape(-1, 2)
        columns = []
        if part in ("text", "both"):
            columns += [pairs.dot(self._text.of(rows), places_n2), self.features.has_text[rows_n2].all(1)]
        if part in ("picture", "both"):
            columns += [pairs.dot(self._picture.of(rows), places_n2), self.features.has_picture[rows_n2].all(1)]
        if part == "both":
            left, right = places_n2.T
            text, picture = self._text.of(rows), self._picture.of(rows)
            columns.append((text[left] * picture[right] + picture[left] * text[right]).sum(1))
        return np.stack(columns, 1).astype(np.float64)

    def apart(self, part: str, rows_n2: Rows) -> Any:
        rows, places = np.unique(rows_n2, return_inverse=True)
        return pairs.apart(self.vectors(part, 1.0, rows), places.reshape(-1, 2))

    def points(self, rows: Rows, reading: str) -> Any:
        """Text and picture of a listing are added up; zeros for what lacks."""
        part = self.readings.get(reading)
        if part is None:
            return None
        both = [some.of(rows) for name, some in self._kinds.items() if part in (name, "both")]
        return _of_length_one(np.sum(both, 0))

    @cached_property
    def _model(self) -> Embedder:
        return load(self.named, self._folder, self._device)

    @cached_property
    def _folder(self) -> Path:
        return folder_of(self.named)

    @property
    def _device(self) -> torch.device:
        wanted = self.runtime.device if self.runtime else "cpu"
        return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")

    @property
    def _kinds(self) -> Mapping[str, Vectors]:
        return ({"text": self._text} if self._model.texts else {}) | (
            {"picture": self._picture} if self._model.pictures else {}
        )

    @cached_property
    def _text(self) -> Vectors:
        texts, read = self.features.texts, self._model.texts
        assert read
        make = lambda rows: read([texts[row] for row in rows])  # noqa: E731
        return Vectors(
            f"{self.name}: texts", self._kept("text", (t.encode() for t in texts)), self.features.has_text, make
        )

    @cached_property
    def _picture(self) -> Vectors:
        """Of pictures as large as they are stored."""
        shards, read, has = self.features.catalog.shards, self._model.pictures, self.features.has_picture
        assert read
        make = lambda rows: read([shards.image(int(row)).convert("RGB") for row in rows])  # noqa: E731
        content = (shards.bytes(int(row)) if has[row] else b"" for row in range(len(has)))
        return Vectors(f"{self.name}: pictures", self._kept("picture", content), has, make)

    def _kept(self, kind: str, content: Iterator[Any]) -> Path | None:
        """The folder for the vectors that this model makes of this content."""
        if not self.runtime:
            return None
        digests = Digests(self.runtime.cache / DIGESTS)
        listings = hashlib.sha256()
        for item in content:
            listings.update(hashlib.sha256(item).digest())
        made_of = {"model": digests.of(self._folder), "kind": kind, "listings": listings.hexdigest(), "version": 1}
        digests.save()
        return self.runtime.cache / "embeddings" / key_of(made_of)


@dataclass
class Vectors:
    """A vector of length 1 of each listing, made when it is first asked for; zeros for one that has nothing to read.

    vectors.npy  (N, d) float32     done.npy  (N,) bool: which are made
    """

    what: str
    folder: Path | None
    has: NDArray[np.bool_]  # (N,)
    make: Callable[[Rows], Any]

    def of(self, rows: Rows) -> NDArray[np.float32]:
        """(n, d)"""
        missing = np.unique(rows[self.has[rows] & ~self._done[rows]])
        if len(missing) >= SHOWN:
            print(f"  {self.what} of {len(missing):,} listings are read", file=sys.stderr, flush=True)
        for start in range(0, len(missing), AT_ONCE):
            self._add(missing[start : start + AT_ONCE])
        return np.asarray(self._vectors[rows])

    def _add(self, rows: Rows) -> None:
        with torch.inference_mode():
            made = self.make(rows)
        array = made.float().cpu().numpy() if isinstance(made, torch.Tensor) else np.asarray(made, np.float32)
        self._vectors[rows] = _of_length_one(array)
        if isinstance(self._vectors, np.memmap):
            self._vectors.flush()  # before it is said that they are there
        self._done[rows] = True

    @cached_property
    def _done(self) -> NDArray[np.bool_]:
        return self._open("done", (len(self.has),), bool)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """As wide as the model makes them."""
        known = self.folder and self.folder / "vectors.npy"
        if known and known.exists():
            return self._open("vectors", (), np.float32)
        first = np.flatnonzero(self.has)[:1]
        with torch.inference_mode():
            width = np.shape(self.make(first))[1] if len(first) else 1
        return self._open("vectors", (len(self.has), width), np.float32)

    def _open(self, name: str, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        if self.folder is None:
            return np.zeros(shape, kind)
        path = self.folder / f"{name}.npy"
        if path.exists():
            return open_memmap(path, "r+")
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".new")
        open_memmap(aside, "w+", kind, shape).flush()
        aside.replace(path)
        return open_memmap(path, "r+")


def _of_length_one(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
