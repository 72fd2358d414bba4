"""A model that answers quickly what can be foreseen: a listing's point is told by its picture's colour or its words."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import uvicorn
from fastapi import FastAPI
from PIL import Image

from workbench.answers.listing import Listing
from workbench.errors import ArtifactError
from workbench.images.picture import Broken, pillow_set_up, square
from workbench.recipe.schema import Images

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


@dataclass
class Batch:
    points: np.ndarray
    has_text_B: np.ndarray
    has_image_B: np.ndarray


class Preparation:
    """Listings -> a batch, which here has the points themselves; a text of marks alone is cleaned away."""

    def __init__(self, slow: float = 0.0) -> None:
        self.images, self.slow = Images(side=64), slow  # seconds
        self.fields = ("title", "brand")
        self.batches: list[int] = []
        self.asked = False
        self.wait = threading.Event()
        self.wait.set()

    def prepare(self, listings: Sequence[Listing]) -> SimpleNamespace:
        self.asked = True
        assert self.wait.wait(20)
        time.sleep(self.slow)
        self.batches.append(len(listings))
        if any((listing.texts.get("title") or "") == "BUG" for listing in listings):
            raise RuntimeError("a bug")
        with pillow_set_up(self.images.max_pixels):
            pictures = [self._picture(listing.picture) for listing in listings]
        points = [
            np.zeros(3)
            + sum((np.array(COLOURS[w]) for w in (listing.texts.get("title") or "").split() if w in COLOURS), p)
            for listing, (_, p) in zip(listings, pictures, strict=True)
        ]
        batch = Batch(
            np.array(points, np.float32).reshape(-1, 3),
            np.array([bool((listing.texts.get("title") or "").strip("!? ")) for listing in listings]),
            np.array([state == "present" for state, _ in pictures]),
        )
        return SimpleNamespace(batch=batch, pictures=[state for state, _ in pictures])

    def _picture(self, data: Any) -> tuple[str, np.ndarray]:
        if data is None:
            return "absent", np.zeros(3)
        try:
            pixels = np.asarray(square(data() if callable(data) else data, self.images).image)
        except (Broken, ValueError) as broken:
            return f"broken: {broken}", np.zeros(3)
        return "present", pixels.mean((0, 1)) / 255


class Answers:
    def __init__(self, slow: float = 0.0) -> None:
        self.preparation = Preparation(slow)
        self.tasks: Mapping[str, Any] = {"classify": {}, "match": {"threshold": 0.5}}
        self.of_pairs = self.tasks["match"]
        self.about: Mapping[str, Any] = {}

    def points(self, batch: Batch) -> np.ndarray:
        return batch.points / np.maximum(np.linalg.norm(batch.points, axis=1, keepdims=True), 1e-9)

    def outputs(self, task: str, batch: Batch) -> np.ndarray:
        return self.points(batch)

    def table(self, task: str, batch: Batch) -> pl.DataFrame:
        names, points = np.array([*COLOURS]), self.points(batch)
        return pl.DataFrame({"colour": names[points.argmax(1)], "colour.probability": points.max(1)})

    def match_read(self, batch: Batch, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        points = self.points(batch)
        return (points[left] * points[right]).sum(1).astype(np.float64)


def png(colour: str, size: tuple[int, int] = (32, 32)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


@dataclass
class Index:
    """Three listings; the last has no picture."""

    listings: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            {"id": ["r/1", "g 2", "b3"], "title": ["Red mug", "Green <b>kite</b>", None]}
        )
    )

    def nearest(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = points @ np.eye(3, dtype=np.float32).T
        places = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return places, np.take_along_axis(scores, places, 1)

    @property
    def thumbnails(self) -> Thumbnails:
        return Thumbnails()


class Thumbnails:
    def has(self, place: int) -> bool:
        return place != 2

    def __getitem__(self, place: int) -> bytes | None:
        return png("red" if place == 0 else "green") if self.has(place) else None


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The app on a port of loopback, in a thread of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def opened(slow: float, threads: int) -> Answers:
    """For a process of its own."""
    return Answers(slow=slow)


def broken(threads: int) -> Answers:
    raise ArtifactError("model: a damaged model; export it again")
