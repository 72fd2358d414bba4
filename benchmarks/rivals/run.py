"""A loader other than mlim's, in a process of its own: batches of 64 uint8 pictures (3, 224, 224), augmented as ours.

usage: python run.py LOADER prepare FILES PLACE            write the loader's own format
       python run.py LOADER measure FILES PLACE SECONDS WORKERS   prints a line of JSON

Each is set up as its manual advises and then as well as we know: workers that persist, one thread a worker, buffers
used again where the library lets them be, no work in the main process. Those that don't decode themselves hand bytes
to `collate` (fast.py), which decodes scaled and writes into the shared memory that DataLoader hands over. An epoch is
as long as the measurement, so that no loader's pause between epochs counts.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fast import SIDE, Folder, Forever, collate, start_worker
from torch.utils.data import DataLoader

BATCH = 64
NEEDS = {  # beside torch
    "pillow": "torchvision",
    "opencv": "cv2",
    "webdataset": "webdataset",
    "litdata": "litdata",
    "mosaic": "streaming",
    "datasets": "datasets",
    "dali": "nvidia.dali",
}
PASSES = 100  # over the pictures in an epoch


def batches(name: str, files: Path, place: Path, workers: int) -> Iterator[torch.Tensor]:
    """Batches without end."""
    loader: Callable[[Path, Path, int], Any] = globals()[f"open_{name}"]
    return iter(loader(files, place, workers))


def _ways(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "persistent_workers": True,
        "prefetch_factor": 4,
        "worker_init_fn": start_worker,
    }


def open_pillow(files: Path, place: Path, workers: int) -> Any:
    """What most people write."""
    from PIL import Image

    transform = _torchvision()

    def load(path: str) -> torch.Tensor:
        with Image.open(path) as image:
            return transform(image.convert("RGB"))  # type: ignore[no-any-return]

    pictures = Folder(files, load)
    return DataLoader(pictures, batch_size=BATCH, sampler=Forever(len(pictures)), **_ways(workers))


def _torchvision() -> Any:
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, scale=(0.6, 1.0), ratio=(3 / 4, 4 / 3)),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ColorJitter(0.1, 0.1, 0.1),
        ]
    )


def open_opencv(files: Path, place: Path, workers: int) -> Any:
    pictures = Folder(files, lambda path: Path(path).read_bytes())
    return DataLoader(pictures, batch_size=BATCH, sampler=Forever(len(pictures)), collate_fn=collate, **_ways(workers))


def prepare_webdataset(files: Path, place: Path) -> None:
    import webdataset as wds

    paths = sorted(files.glob("*.jpg"))
    for shard, part in enumerate(np.array_split(np.arange(len(paths)), 12)):  # as many for each of 1, 2, 3 workers
        with wds.TarWriter(str(place / f"{shard:05}.tar")) as tar:
            for i in part:
                tar.write({"__key__": paths[i].stem, "jpg": paths[i].read_bytes()})


def open_webdataset(files: Path, place: Path, workers: int) -> Any:
    import webdataset as wds

    tars = sorted(map(str, place.glob("*.tar")))
    pictures = wds.WebDataset(tars, shardshuffle=len(tars), nodesplitter=wds.split_by_node).repeat(PASSES)
    pictures = pictures.shuffle(1000).to_tuple("jpg").map(lambda sample: sample[0])
    return wds.WebLoader(
        pictures.batched(BATCH, collation_fn=collate, partial=False), batch_size=None, **_ways(workers)
    )


def prepare_litdata(files: Path, place: Path) -> None:
    from litdata import optimize

    paths = sorted(map(str, files.glob("*.jpg")))
    optimize(fn=_read, inputs=paths, output_dir=str(place), chunk_bytes="16MB", num_workers=2)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def open_litdata(files: Path, place: Path, workers: int) -> Any:
    from litdata import ParallelStreamingDataset, StreamingDataLoader, StreamingDataset

    pictures = ParallelStreamingDataset([StreamingDataset(str(place), shuffle=True, drop_last=False)], float("inf"))
    return StreamingDataLoader(pictures, batch_size=BATCH, collate_fn=_collate_first, **_ways(workers))


def _collate_first(rows: list[tuple[bytes]]) -> torch.Tensor:
    return collate([row[0] for row in rows])


def prepare_mosaic(files: Path, place: Path) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(place), columns={"jpg": "bytes"}, size_limit="16mb") as out:
        for path in sorted(files.glob("*.jpg")):
            out.write({"jpg": path.read_bytes()})


def open_mosaic(files: Path, place: Path, workers: int) -> Any:
    from streaming import Stream, StreamingDataset

    pictures = StreamingDataset(streams=[Stream(local=str(place), repeat=PASSES)], shuffle=True, batch_size=BATCH)
    return DataLoader(
        pictures, batch_size=BATCH, collate_fn=lambda rows: collate([row["jpg"] for row in rows]), **_ways(workers)
    )


def prepare_datasets(files: Path, place: Path) -> None:
    from datasets import Dataset, Features, Image

    rows = [{"image": {"bytes": path.read_bytes(), "path": None}} for path in sorted(files.glob("*.jpg"))]
    Dataset.from_list(rows, features=Features({"image": Image()})).save_to_disk(str(place))


def open_datasets(files: Path, place: Path, workers: int) -> Any:
    from datasets import load_from_disk

    transform = _torchvision()
    pictures = load_from_disk(str(place)).with_transform(
        lambda rows: {"pixels": [transform(image.convert("RGB")) for image in rows["image"]]}
    )
    loader = DataLoader(pictures, batch_size=BATCH, sampler=Forever(len(pictures)), **_ways(workers))
    return (batch["pixels"] for batch in loader)


def open_dali(files: Path, place: Path, workers: int) -> Any:
    """On the CPU; `workers` are its threads."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=BATCH, num_threads=workers, device_id=None, prefetch_queue_depth=2)
    def pipeline() -> Any:
        encoded, _ = fn.readers.file(files=sorted(map(str, files.glob("*.jpg"))), random_shuffle=True)
        image = fn.decoders.image_random_crop(
            encoded,
            random_area=[0.6, 1.0],
            random_aspect_ratio=[3 / 4, 4 / 3],
            output_type=types.RGB,
            use_fast_idct=True,
        )
        image = fn.resize(image, size=[SIDE, SIDE], antialias=False)
        factors = {name: fn.random.uniform(range=[0.9, 1.1]) for name in ("brightness", "contrast", "saturation")}
        image = fn.color_twist(image, **factors)
        return fn.crop_mirror_normalize(
            image, mirror=fn.random.coin_flip(), dtype=types.UINT8, mean=[0.0], std=[1.0], output_layout="CHW"
        )

    made = pipeline()
    made.build()
    while True:
        (batch,) = made.run()
        yield torch.from_numpy(batch.as_array())  # a copy of the batch, which DALI uses again


def measure(name: str, files: Path, place: Path, seconds: float, workers: int) -> dict[str, float]:
    """Pictures a second from the second pass on (at the latest after a second), and seconds until the first batch."""
    importlib.import_module(NEEDS[name])
    count = len(list(files.glob("*.jpg")))
    assert count, f"{files}: no pictures"
    began = time.perf_counter()
    first, since, seen, counted = 0.0, 0.0, 0, 0
    for batch in batches(name, files, place, workers):
        now = time.perf_counter()
        assert batch.shape == (BATCH, 3, SIDE, SIDE) and batch.dtype == torch.uint8, (batch.shape, batch.dtype)
        first, seen = first or now, seen + BATCH
        if since:
            counted += BATCH
            if now - since >= seconds:
                break
        elif seen >= count or now - first >= 1:
            since = now
    return {"rate": counted / (now - since), "first": first - began}


if __name__ == "__main__":
    name, what, files, place, *more = sys.argv[1:]
    if what == "prepare":
        partial = Path(f"{place}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        globals()[f"prepare_{name}"](Path(files), partial)
        partial.rename(place)
    else:
        torch.set_num_threads(1)
        print(json.dumps(measure(name, Path(files), Path(place), float(more[0]), int(more[1]))))
