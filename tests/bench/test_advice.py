"""Figures in plain words; what is expected of a change, computed by hand."""

from dataclasses import replace

import pytest

from workbench.bench.advice import bound, changes, report, wait
from workbench.bench.figures import Figures

PARTS = {
    "reading": 20e-6,
    "decoding": 600e-6,
    "crop and resize": 200e-6,
    "colours": 60e-6,
    "tokens and masks": 80e-6,
    "assembly": 40e-6,
}  # a millisecond in all
FIGURES = Figures(
    listings=9_000,
    pictures=10_000,
    bytes=500_000_000,
    encoding="jpeg",
    stored_side=256,
    model_side=224,
    batch=64,
    decoder="cpu, 2 threads",
    said="pictures are decoded by cpu, 2 threads (torch finds no GPU)",
    threads=2,
    cores=2,
    memory=2_000_000_000,
    kept=0,
    parts=PARTS,
    cold=30e-6,
    transfer=None,
    bare=2_000,
    rates={1: 950, 2: 1_800},
    rate=1_800,
    later=None,
    device="cpu",
    model="small",
    step=100,
)


def test_the_largest_part_bounds_and_so_does_a_slow_disk() -> None:
    assert bound(FIGURES) == "decoding: 60% of the time"
    assert bound(replace(FIGURES, parts=PARTS | {"colours": 3e-3})) == "colours: 76% of the time"
    slow = replace(FIGURES, cold=1e-3)
    assert bound(slow) == "reading from the disk: 1,000 listings/s while pictures aren't in memory yet"


def test_the_wait_is_what_the_step_is_faster_by() -> None:
    assert FIGURES.wait == 0
    assert wait(FIGURES) == (
        "the loader is 18.0x as fast; making a batch takes 5.0% of the cores' time beside it; expected data wait 0.0%"
    )
    gpu = replace(FIGURES, device="cuda", step=2_400)
    assert wait(gpu) == "the loader is 0.8x as fast; expected data wait 25.0%"
    assert replace(gpu, later=2_400).wait == 0


def test_raw_pictures_cost_disk_and_no_decoding() -> None:
    assert changes(FIGURES) == [
        "images.encoding raw (costs 1,966 MB of disk in place of 500): 2.5x, about 4,500 listings/s"
    ]
    assert changes(replace(FIGURES, encoding="raw")) == []


def test_a_stored_side_much_larger_than_the_model_reads() -> None:
    large = replace(FIGURES, stored_side=512)
    # 256 has a quarter of the pixels: of reading, decoding and half of resizing three quarters go, 0.54 of a ms
    assert changes(large)[1] == ("images.side is 512, 2.3x model.image_side: store 256: 2.2x, about 3,913 listings/s")
    assert not any("images.side" in line for line in changes(replace(FIGURES, stored_side=288)))


def test_threads_that_the_recipe_doesn_t_use() -> None:
    one = replace(FIGURES, threads=1, rate=950, encoding="raw")
    assert changes(one) == ["runtime.threads 2: 1.9x, about 1,800 listings/s"]


def test_decoded_pictures_are_kept_only_where_memory_is_free() -> None:
    roomy = replace(FIGURES, memory=4_000_000_000, encoding="raw")
    (said,) = changes(roomy)
    assert said.startswith("runtime.decoded 1966080000 (bytes; from the second epoch on no picture is decoded)")
    assert said.endswith(": 2.6x, about 4,737 listings/s")
    assert changes(replace(roomy, kept=2_000_000_000)) == []


def test_a_gpu_may_decode_too() -> None:
    gpu = replace(FIGURES, device="cuda", encoding="raw", step=2_400)
    assert changes(gpu) == ["runtime.decoder dali: decodes on the GPU; `--set runtime.decoder=dali` here measures it"]
    dali = replace(gpu, decoder="dali on NVIDIA H100", rates={}, bare=9_000, rate=8_500)
    assert changes(dali) == []
    assert changes(replace(dali, cores=17)) == ["runtime.decoder cpu: 2.0x, about 17,000 listings/s"]
    assert bound(dali) == "dali on NVIDIA H100, which alone gives 9,000"
    assert bound(replace(dali, rate=6_000)) == "what the CPU does for tokens, masks and assembly"


@pytest.mark.parametrize(("step", "said"), [(100, "nothing needs to change"), (9_000, "to change:")])
def test_the_report_says_whether_anything_needs_to_change(step: float, said: str) -> None:
    lines = list(report(replace(FIGURES, step=step)))
    assert sum(line.startswith(said) for line in lines) == 1
    assert "  decoding               600 µs   60%" in lines
    assert "as the recipe says: 1,800 listings/s, 90% of the decoder alone (2,000)" in lines
