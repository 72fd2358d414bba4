"""A small catalog around the Images stage: items as the ingest artifact gives them, pictures made on the spot."""

import io
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image
from rich.console import Console

from workbench.artifacts.executor import Executor, Threads
from workbench.artifacts.key import Digests
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.images import build
from workbench.recipe.schema import Catalog, Feed, Images, Runtime


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def plaid(width: int = 16, height: int = 16, seed: int = 0) -> Image.Image:
    """A picture in which every pixel differs from its neighbours."""
    image = Image.new("RGB", (width, height))
    image.putdata(
        [((x * 31 + seed * 7) % 256, (y * 47) % 256, (x * y + seed) % 256) for y in range(height) for x in range(width)]
    )
    return image


def artifact(folder: Path, stage: str) -> Artifact:
    """What lies in a folder, as the cache would commit it."""
    files = {
        p.name: {"bytes": p.stat().st_size, "sha256": sha256(p.read_bytes()).hexdigest()} for p in folder.iterdir()
    }
    return Artifact(folder, stage, "key", {}, {}, files)


class Shop:
    """Listings over one feed whose pictures are in `place`; of each the name of its picture, or several."""

    def __init__(self, root: Path, place: Path, names: Sequence[str | Sequence[str] | None]) -> None:
        self.root, self.place = root, place
        self.name(names)
        self.console = Console(record=True, file=io.StringIO(), width=300)

    def name(self, names: Sequence[str | Sequence[str] | None]) -> None:
        several = [[of] if isinstance(of, str) else list(of or ()) for of in names]
        lines = [(row, order, name) for row, names in enumerate(several) for order, name in enumerate(names)]
        rows = {"row": range(len(names)), "id": [f"P{i}" for i in range(len(names))], "feed": [0] * len(names)}
        ingest = self.root / "ingest"
        ingest.mkdir(parents=True, exist_ok=True)
        schema = {"row": pl.UInt32, "id": pl.String, "feed": pl.UInt32}
        pl.DataFrame(rows, schema).write_parquet(ingest / "items.parquet")
        schema = {"row": pl.UInt32, "order": pl.UInt32, "name": pl.String}
        pl.DataFrame(lines, schema, orient="row").write_parquet(ingest / "pictures.parquet")
        self.ingest = artifact(ingest, "ingest")

    def run(
        self,
        images: Images,
        folder: str = "out",
        threads: int = 1,
        earlier: Path | None = None,
        digests: Digests | None = None,
        executor: Executor | None = None,
    ) -> tuple[Path, Mapping[str, Any]]:
        out = self.root / folder
        out.mkdir(exist_ok=True)
        catalog = Catalog(feeds=(Feed(path=self.root / "feed.csv", pictures=self.place),))
        before = artifact(earlier, "images") if earlier else None
        runtime = Runtime(cache=self.root / "cache")
        executor = executor or Threads(threads)
        work = Work(out, {"ingest": self.ingest}, runtime, self.console, self.root / "log", before, executor=executor)
        return out, build.stage(images, catalog, {"catalog.feeds.0.pictures": "digest"}, digests=digests).run(work)


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Shop]:
    """Make a shop from {name: bytes}; the listings name `names`, or every picture."""

    def make(pictures: Mapping[str, bytes], names: Sequence[str | Sequence[str] | None] | None = None) -> Shop:
        place = tmp_path / "pictures"
        place.mkdir()
        for name, data in pictures.items():
            (place / name).write_bytes(data)
        return Shop(tmp_path, place, list(pictures) if names is None else names)

    return make
