"""Decoders of training pictures: a real picture, made here, as JPEG and as PNG, through each of them."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from workbench.doctor.finding import Finding

PACKAGES = ("imagecodecs", "opencv-python-headless", "pillow", "polars", "simplejpeg")  # that it takes
SIDE = 128  # pixels
ROWS = 4  # pictures of each kind
NEAR = {"png": 0.5, "jpeg": 3.0}  # levels of 255: the most that a picture may be off on the average


def on_cpu() -> list[Finding]:
    """The CPU's decoders against the picture itself."""
    scene, off = _scene(), {}
    for encoding in NEAR:
        off[encoding] = _off(_pixels(encoding, "cpu"), scene)
    return [_judged("pictures on cpu", off, "pip install --force-reinstall imagecodecs simplejpeg")]


def by_dali(device: str) -> list[Finding]:
    """DALI's against the CPU's."""
    name = f"DALI on {device}"
    off = {}
    for encoding in NEAR:
        off[encoding] = _off(_pixels(encoding, f"dali {device}"), _pixels(encoding, "cpu"))
    return [_judged(name, off, "pip install --force-reinstall nvidia-dali-cuda120; or set runtime.decoder: cpu")]


def _judged(name: str, off: dict[str, float], mend: str) -> Finding:
    told = ", ".join(f"{encoding.upper()} {levels:.2g}" for encoding, levels in off.items())
    good = all(off[encoding] <= most for encoding, most in NEAR.items())
    found = f"JPEG and PNG as they should be (off by levels of 255: {told})"
    return Finding(name, "ok", found) if good else Finding(name, "broken", f"wrong pixels, off by {told}", mend)


def _off(one: Any, other: Any) -> float:
    return float(abs(one.astype(int) - other.astype(int)).mean())


def _pixels(encoding: str, how: str) -> Any:
    """(ROWS, 3, SIDE, SIDE), decoded as training does it, in the order of the shard."""
    import numpy as np

    from workbench.images.augment import identity
    from workbench.images.decode_cpu import CpuDecoder
    from workbench.images.decoder import Decoder
    from workbench.images.shard import Shards

    shards = Shards(_shard(encoding))
    if how == "cpu":
        decoder: Decoder = CpuDecoder(shards, SIDE, 1)
    else:
        from workbench.images.decode_dali import DaliDecoder

        gpu = how.partition("cuda:")[2]
        decoder = DaliDecoder(shards, SIDE, int(gpu) if gpu else None, 1)
    pixels = decoder.start(np.arange(ROWS), identity(ROWS))()
    if how.startswith("dali cuda"):
        from torch.utils.dlpack import from_dlpack

        pixels = from_dlpack(pixels).cpu()
    copied = np.array(np.from_dlpack(pixels))
    decoder.close()
    return copied


def _scene() -> Any:
    """(ROWS, 3, SIDE, SIDE) uint8: soft waves as of a photograph, with a rectangle's edges; each row another."""
    import numpy as np

    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [[np.sin(9 * x + 4 * y + k), np.cos(7 * y - 3 * x + k), np.sin(5 * (x + y) ** 2)] for k in range(ROWS)]
    scene = (128 + 90 * np.array(waves)).astype(np.uint8)
    scene[:, :, 40:80, 32:96] = 220
    return scene


def _shard(encoding: str) -> Path:
    """A shard artifact of these pictures, in the child's own folder."""
    import json

    from PIL import Image

    from workbench.images.earlier import Earlier
    from workbench.images.line import Entry, checksum
    from workbench.images.shard import FORMAT, shard_name
    from workbench.images.writer import ShardWriter, join_index, piece_of

    folder = Path(encoding)
    if folder.exists():
        return folder
    folder.mkdir()
    with ThreadPoolExecutor(1) as verifier:
        writer = ShardWriter(folder, 0, Earlier(None, verifier))
    for row, picture in enumerate(_scene()):
        file = io.BytesIO()
        Image.fromarray(picture.transpose(1, 2, 0)).save(file, encoding, quality=95, subsampling=0)
        data = file.getvalue()
        writer.add(row, 0, Entry("present", None, checksum(data), SIDE), data)
    writer.close()
    join_index(folder, [piece_of(folder / shard_name(0))])
    (folder / FORMAT).write_text(json.dumps({"side": SIDE, "encoding": encoding}))
    return folder
