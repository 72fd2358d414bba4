"""Which decoder is taken and why; DALI's errors, threads and memory; and on a GPU, the same pixels as on the CPU."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.dlpack import from_dlpack

from tests.images.conftest import Shop, encoded
from tests.images.test_twins import decibels, scene
from workbench.errors import ArtifactError, MlimError, RecipeError
from workbench.images.augment import draw, identity
from workbench.images.choose import open_decoder
from workbench.images.decode_cpu import CpuDecoder
from workbench.images.decode_dali import DaliDecoder, Tuning
from workbench.images.shard import Shards
from workbench.recipe.schema import Augment, Images, Runtime

N = 12
ROWS = np.arange(N)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture
def shards(shop: Callable[..., Shop]) -> Shards:
    pictures = {f"{i:02}.png": encoded(scene(120 + i, 110)) for i in range(N)}
    return Shards(shop(pictures, [None, *list(pictures)[1:]]).run(Images(side=112))[0])


@pytest.fixture
def decoder(shards: Shards) -> Iterator[DaliDecoder]:
    decoder = DaliDecoder(shards, 96, None, 2, Tuning(largest=16))
    yield decoder
    decoder.close()


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


# -- which one --------------------------------------------------------------------------------------------------------


def test_auto_without_a_gpu_is_the_cpu_and_does_not_load_dali(shards: Shards) -> None:
    code = f"""
import sys, time
from pathlib import Path
from workbench.images.choose import open_decoder
from workbench.images.shard import Shards
from workbench.recipe.schema import Runtime
shards, start = Shards(Path({str(shards._folder)!r})), time.perf_counter()
decoder, why = open_decoder(shards, 32, Runtime(threads=2), "cpu")
print(why, "nvidia.dali" in sys.modules, "torch" in sys.modules, time.perf_counter() - start < 1)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "pictures are decoded by cpu, 2 threads (torch finds no GPU) False False True\n"


def test_the_recipe_decides(shards: Shards) -> None:
    decoder, why = open_decoder(shards, 32, Runtime(decoder="dali", threads=3), "cpu")
    assert isinstance(decoder, DaliDecoder) and why.endswith("by dali on the CPU, 3 threads (as the recipe says)")
    decoder, why = open_decoder(shards, 32, Runtime(decoder="cpu", threads=1), "cuda")
    assert isinstance(decoder, CpuDecoder) and why.endswith("by cpu, 1 thread (as the recipe says)")
    _, why = open_decoder(shards, 32, Runtime(device="cpu", threads=1), "cpu")
    assert why.endswith("(runtime.device is cpu)")


def test_a_gpu_that_dali_cannot_use(shards: Shards) -> None:
    start = time.perf_counter()
    with pytest.raises(RecipeError) as error:
        open_decoder(shards, 32, Runtime(decoder="dali"), "cuda:99")
    said = (
        r"runtime\.decoder: found a DALI that doesn't work \([^()]+\); expected DALI to decode a picture on cuda:99; "
    )
    assert re.fullmatch(said + r"see to the GPU \(nvidia-smi\), or give auto or cpu", str(error.value))
    decoder, why = open_decoder(shards, 32, Runtime(threads=1), "cuda:99")
    assert isinstance(decoder, CpuDecoder) and "a DALI that doesn't work" in why and "see to the GPU" in why
    assert time.perf_counter() - start < 5


def test_dali_is_not_installed(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)  # which an import takes for missing
    with pytest.raises(
        RecipeError, match=r"found no DALI; expected .* on cpu; pip install nvidia-dali-cuda120, or give"
    ):
        open_decoder(shards, 32, Runtime(decoder="dali"), "cpu")
    decoder, why = open_decoder(shards, 32, Runtime(threads=1), "cuda")
    assert isinstance(decoder, CpuDecoder)
    assert why.endswith("(no DALI; pip install nvidia-dali-cuda120 to decode on the GPU)")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(RecipeError, match=r"found no DALI for darwin; expected .*; run on Linux, or give auto or cpu"):
        open_decoder(shards, 32, Runtime(decoder="dali"), "cpu")


# -- threads, memory, errors ------------------------------------------------------------------------------------------


def test_closing_ends_its_threads_even_amid_work(shards: Shards) -> None:
    left = []
    for _ in range(4):
        decoder = DaliDecoder(shards, 96, None, 3)
        begun = [decoder.start(ROWS, identity(N)) for _ in range(6)]
        kept = from_dlpack(begun[0]())
        copy, within = kept.clone(), threads()
        decoder.close()
        decoder.close()
        left.append(threads())
        assert within >= left[-1] + 3
        assert torch.equal(kept, copy)  # what was handed out stays
        for late in (begun[1], lambda: decoder.start(ROWS, identity(N))):  # noqa: B023
            with pytest.raises(RuntimeError, match="closed"):
                late()
    assert left[3] <= left[1]  # DALI itself has some from its first use on, and others may end


def test_torch_takes_pixels_without_a_copy_and_may_keep_them(decoder: DaliDecoder) -> None:
    pixels = decoder.start(ROWS, identity(N))()
    kept = from_dlpack(pixels)
    assert kept.data_ptr() == pixels.data_ptr() and kept.dtype == torch.uint8 and kept.shape == (N, 3, 96, 96)
    copy = kept.clone()
    del pixels
    for seed in range(8):
        from_dlpack(decoder.start(ROWS, draw(Augment(), seed, 1, ROWS))()).zero_()
    assert torch.equal(kept, copy)


def test_begun_in_one_thread_and_called_for_in_another(decoder: DaliDecoder) -> None:
    wanted = np.from_dlpack(decoder.start(ROWS, identity(N))())
    got = []

    def take(row: int) -> None:
        finish = decoder.start(np.full(3, row), identity(3))
        got.append((row, np.from_dlpack(finish())))

    workers = [threading.Thread(target=take, args=(row,)) for row in ROWS.tolist() * 3]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(got) == 3 * N and all((pixels == wanted[row]).all() for row, pixels in got)


def test_changed_bytes_are_refused(shards: Shards) -> None:
    files = sorted(shards._folder.glob("*.bin"))
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1
    files[0].write_bytes(data)
    decoder = DaliDecoder(Shards(shards._folder), 96, None, 2)
    with pytest.raises(ArtifactError, match=r"shard-00000\.bin"):
        decoder.start(ROWS, identity(N))
    decoder.close()


def test_what_dali_cannot_decode_is_told_in_a_sentence(decoder: DaliDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_picture", lambda row, k: np.frombuffer(b"no picture at all", np.uint8))
    finish = decoder.start(ROWS, identity(N))
    for _ in range(2):
        with pytest.raises(MlimError) as error:
            finish()
        assert str(error.value).startswith("DALI failed (") and "\n" not in str(error.value)
        assert str(error.value).endswith("; runtime.decoder: cpu does without it")


# -- on a GPU ---------------------------------------------------------------------------------------------------------


@on_gpu
@pytest.mark.parametrize("encoding", ["jpeg", "png", "raw"])
@pytest.mark.parametrize(("side", "least"), [(112, 45), (130, 45), (84, 37), (40, 37)])
def test_a_gpu_gives_the_same_pixels(shop: Callable[..., Shop], encoding: str, side: int, least: float) -> None:
    """Its JPEG decoder rounds otherwise than libjpeg-turbo: a level or two, never a shift or another colour."""
    pictures = {f"{i:02}.png": encoded(scene(120 + i, 110)) for i in range(N)}
    names = [None, *list(pictures)[1:]]
    made = Shop.run(shop(pictures, names), Images(side=112, encoding=encoding))  # type: ignore[arg-type]
    gpu, cpu = DaliDecoder(Shards(made[0]), side, 0), CpuDecoder(Shards(made[0]), side, 2)
    for augmentation in (identity(N), replace(draw(Augment(), 1, 1, ROWS), flip=ROWS % 2 == 0)):
        pixels = from_dlpack(gpu.start(ROWS, augmentation)())
        assert pixels.device.type == "cuda" and pixels.dtype == torch.uint8 and not pixels[0].any()
        wanted = np.asarray(cpu.start(ROWS, augmentation)()).astype(int)
        assert decibels(pixels.cpu().numpy().astype(int), wanted).min() > least
    gpu.close()
    cpu.close()


@on_gpu
def test_pixels_of_a_gpu_are_not_written_over_while_torch_still_reads_them(shards: Shards) -> None:
    decoder = DaliDecoder(shards, 96, 0, 4, Tuning(largest=16))
    wanted = from_dlpack(decoder.start(ROWS, identity(N))()).sum(dtype=torch.int64)
    torch.cuda.synchronize()
    side_stream, sums = torch.cuda.Stream(), []
    for seed in range(20):
        with torch.cuda.stream(side_stream):
            pixels = from_dlpack(decoder.start(ROWS, identity(N))())
            torch.cuda._sleep(20_000_000)  # clock ticks: the sum is still to come when the memory is given back
            sums.append(pixels.sum(dtype=torch.int64))
            del pixels
        for _ in range(4):
            decoder.start(ROWS, draw(Augment(), seed, 1, ROWS))()
    torch.cuda.synchronize()
    assert all(s == wanted for s in sums)
    decoder.close()


@on_gpu
def test_auto_takes_the_gpu(shards: Shards) -> None:
    decoder, why = open_decoder(shards, 32, Runtime(threads=4), "cuda")
    assert isinstance(decoder, DaliDecoder)
    assert why == "pictures are decoded by dali on GPU 0, 4 threads (torch has a GPU and DALI works)"
    decoder.close()
