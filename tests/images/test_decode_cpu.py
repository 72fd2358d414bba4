"""The CPU's decoder does what augmentations ask for, and its memory is used again only when nobody sees it."""

import gc
import io
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.images.conftest import Shop, encoded, plaid
from workbench.errors import ArtifactError
from workbench.images.augment import Augmentation, boxes, colour_maps, draw, identity
from workbench.images.decode_cpu import Buffers, CpuDecoder
from workbench.images.shard import Shards
from workbench.recipe.schema import Augment, Images

ROWS = np.arange(10)  # the last one names no picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "pictures"
    place.mkdir()
    for i in range(9):
        (place / f"{i}.png").write_bytes(encoded(plaid(16, 16, i)))
    return Shop(tmp_path, place, [*(f"{i}.png" for i in range(9)), None]).run(Images(side=16))[0]


@pytest.fixture
def shards(folder: Path) -> Shards:
    return Shards(folder)


def moved(n: int, **changes: object) -> Augmentation:
    return Augmentation(**{**vars(identity(n)), **changes})


def decoded(shards: Shards, side: int, rows: np.ndarray, augmentation: Augmentation, threads: int = 1) -> np.ndarray:
    decoder = CpuDecoder(shards, side, threads)
    try:
        return decoder.start(rows, augmentation)()
    finally:
        decoder.close()


def source(i: int = 0) -> np.ndarray:
    return np.asarray(plaid(16, 16, i)).transpose(2, 0, 1)


def test_whole_pictures_are_not_resampled_and_missing_ones_are_black(shards: Shards) -> None:
    got = decoded(shards, 16, np.array([3, 9, 0]), identity(3), threads=2)
    assert got.shape == (3, 3, 16, 16) and got.dtype == np.uint8
    assert (got[0] == source(3)).all() and (got[2] == source(0)).all()
    assert not got[1].any()


def test_flip_and_crop_by_hand(shards: Shards) -> None:
    flipped = decoded(shards, 16, np.array([0]), moved(1, flip=np.array([True])))[0]
    assert (flipped == source()[:, :, ::-1]).all()
    box = np.array([[0.5, 0.25, 0.75, 0.5]], np.float32)  # 4 x 4 of the 16 x 16 pixels
    cropped = decoded(shards, 4, np.array([0]), moved(1, crop=box))[0]
    assert (cropped == source()[:, 4:8, 8:12]).all()


def test_colours_by_the_map_of_each_picture(shards: Shards) -> None:
    factors = np.array([1.2, 0.5, 1.5], np.float32)
    a = moved(3, brightness=factors, contrast=factors[::-1].copy(), saturation=np.roll(factors, 1))
    got, (maps, pulls) = decoded(shards, 16, np.arange(3), a), colour_maps(a)
    for i in range(3):
        grey = np.array([0.299, 0.587, 0.114]) @ source(i).mean(axis=(1, 2))
        want = np.einsum("oc,chw->ohw", maps[i, :, :3], source(i).astype(float)) + pulls[i] * grey
        assert np.abs(got[i] - np.clip(want, 0, 255)).max() < 1  # OpenCV computes it in fixed point


def test_shrinking_is_antialiased_and_threads_do_not_matter(shards: Shards) -> None:
    a = draw(Augment(), 0, 1, ROWS)
    one, two = (decoded(shards, 8, ROWS, a, threads) for threads in (1, 2))
    assert (one == two).all()
    mean = decoded(shards, 1, np.array([0]), identity(1))[0, :, 0, 0].astype(float)
    assert np.abs(mean - source().mean(axis=(1, 2))).max() <= 0.51


def test_random_crops_are_close_to_pillows(tmp_path: Path) -> None:
    """Pillow's antialiased bilinear filter on the same whole pixels, for crops that shrink and that grow."""
    place = tmp_path / "pictures"
    place.mkdir()
    y, x = np.mgrid[:128, :128] / 128
    smooth = np.stack([np.sin(9 * x + 5 * y), np.cos(7 * y), x * y], -1)
    (place / "0.png").write_bytes(encoded(Image.fromarray((127 + 120 * smooth).astype(np.uint8))))
    shards = Shards(Shop(tmp_path, place, ["0.png"]).run(Images(side=128))[0])
    a = draw(Augment(flip=0, brightness=0, contrast=0, saturation=0), 0, 1, np.arange(20))
    with Image.open(io.BytesIO(shards.bytes(0))) as image:
        for side in (32, 100, 200):
            got = decoded(shards, side, np.zeros(20, int), a)
            for i, box in enumerate(boxes(a.crop, np.full(20, 128)).tolist()):
                want = image.convert("RGB").crop(box).resize((side, side), Image.Resampling.BILINEAR)
                difference = got[i].transpose(1, 2, 0) - np.asarray(want, float)
                assert np.sqrt((difference**2).mean()) < 1.5  # 44 dB


def test_a_decoded_picture_is_the_same_from_memory(shards: Shards) -> None:
    a = draw(Augment(), 0, 1, ROWS)
    room = 4 * 16 * 16 * 3  # for four of the nine
    keeping, cold = CpuDecoder(shards, 16, 1, room), CpuDecoder(shards, 16, 1)
    for _ in range(2):
        assert (keeping.start(ROWS, a)() == cold.start(ROWS, a)()).all()
    assert len(keeping._kept) == 4 and not cold._kept


def test_64_copies_of_a_picture_are_seen_64_times_differently(shards: Shards) -> None:
    rows = np.arange(64)  # 64 listings whose pictures are the same
    crops = boxes(draw(Augment(), 0, 1, rows).crop, np.full(64, 256))
    assert len(np.unique(crops, axis=0)) == 64
    seen = decoded(shards, 16, np.zeros(64, int), draw(Augment(), 0, 1, rows))
    assert len(np.unique(seen.reshape(64, -1), axis=0)) >= 60


def test_batches_under_way_together(shards: Shards) -> None:
    decoder = CpuDecoder(shards, 16, 2)
    waiting = [decoder.start(np.roll(ROWS, k), identity(10), side=side) for k, side in ((0, 16), (1, 8), (2, 16))]
    for k, side, finish in zip(range(3), (16, 8, 16), waiting, strict=True):
        assert (finish() == decoded(shards, side, np.roll(ROWS, k), identity(10))).all()
    assert decoder.start(np.empty(0, int), identity(0))().shape == (0, 3, 16, 16)


def test_a_picture_whose_bytes_changed_is_named(folder: Path) -> None:
    path = folder / "shard-00000.bin"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"shard-00000.bin.*row 8"):
        decoded(Shards(folder), 16, ROWS, identity(10), threads=2)


def test_close_ends_the_threads(shards: Shards) -> None:
    before = threading.active_count()
    decoder = CpuDecoder(shards, 16, 3)
    decoder.start(ROWS, identity(10))()
    decoder.close()
    assert threading.active_count() == before


def test_memory_is_used_again_only_when_nobody_sees_it() -> None:
    buffers = Buffers()
    address = lambda array: array.__array_interface__["data"][0]  # noqa: E731
    first = buffers((2, 8))
    used = address(first)
    corner, tensor = first[1, 3:5], torch.from_dlpack(first)
    del first
    assert address(buffers((2, 8))) != used
    del corner
    gc.collect()
    assert address(buffers((2, 8))) != used  # the tensor still sees it
    view = tensor[0]
    del tensor
    assert address(buffers((2, 8))) != used
    del view
    assert used in {address(one) for one in [buffers((4, 4)) for _ in range(Buffers.MOST)]}
    assert address(buffers((1, 2))) != used  # far too large for it


def test_opencv_uses_no_threads_of_its_own(shards: Shards) -> None:
    CpuDecoder(shards, 16).close()
    assert cv2.getNumThreads() == 1
