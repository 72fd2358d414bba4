"""A training step of mlim beside one of Hugging Face's ViltForMaskedLM, in one run.

usage: python benchmarks/train_step.py [--sizes small,base] [--precision bf16|fp32] [--device cpu|cuda] [--threads N]
                                       [--rounds N] [--seconds S] [--limit S] [--dropout P] [--compile] [--json FILE]

Both have the same width, depth, heads, picture side, patch, vocabulary and longest text, the same batch and the same
listings: synthetic, with text lengths spread as in shops' titles with a few attributes. A step is forward, backward,
clipping of the gradient to norm 1 and AdamW, under bf16 autocast or in fp32; dropout is the same in both.

- vilt: as its examples train it: batches drawn at random, texts padded to the longest allowed, pixels in float,
  normalised, language head on all text positions, loss on the masked, torch.optim.AdamW as it comes.
- vilt, tuned: the same with what it can have without a change of the model: batches padded to their longest, a fused
  AdamW.
- mlim: the network, the objectives MLM and RECON and the loop's step, on the same listings cut into batches by length,
  as `sampling.buckets: 8` does; modality-aware masking for both.

Rounds are interleaved; what is done meanwhile is told on stderr. `peak` is the best rate of the products of two
matrices, in the same precision and run, that were tried. `of peak` is the share of it that mlim reaches of the
operations which a step needs: three times those of a forward pass over real tokens (layers and attention), masked
ones (head), seen patches (CNN) and pictures (decoder). What is spent on padding, on masked patches or twice is not
counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from workbench.batch import Batch
from workbench.model.encoder import Size
from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.model.vision import CnnEmbedder, ImageDecoder
from workbench.recipe.schema import Objectives, Optim
from workbench.tasks.objective import Pretraining
from workbench.train.loop import Plan, updates_of
from workbench.train.optim import adamw

BUCKETS, WORDS, MASK = 8, 6, 4  # batches cut by length together; first id that is a word; [MASK]
PEAK = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096), (1024, 768, 3072), (2048, 3072, 768))


@dataclass(frozen=True)
class Case:
    """A size to train."""

    size: Size
    side: int
    patch: int
    vocabulary: int
    longest: int  # text tokens, [CLS] and [SEP] included
    batch: int

    @property
    def shape(self) -> Shape:
        return Shape(self.size, self.vocabulary, MASK, self.longest, self.side, self.patch)


CASES = {
    "tiny": Case(SIZES["tiny"], 32, 8, 1000, 24, 64),
    "small": Case(SIZES["small"], 96, 16, 30522, 32, 32),
    "base": Case(SIZES["base"], 224, 32, 30522, 64, 16),  # texts as long as recipes/base.yaml has them
    "base-short": Case(SIZES["base"], 224, 32, 30522, 32, 16),
    "large": Case(SIZES["large"], 384, 32, 30522, 64, 16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="small,base")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--batch", type=int, default=0, help="0: as the size has it, eight times that on a GPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each network in a round, but all batches")
    parser.add_argument("--limit", type=float, default=300, help="seconds of a size, after which no round begins")
    parser.add_argument("--dropout", type=float, default=0.1, help="after embeddings and in layers, in both")
    parser.add_argument("--compile", action="store_true", help="mlim also under torch.compile")
    parser.add_argument("--json", type=Path)
    how = parser.parse_args()
    if how.threads:
        torch.set_num_threads(how.threads)
    device, bf16 = torch.device(how.device), how.precision == "bf16"
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{how.precision}, {name}, torch {torch.__version__}, dropout {how.dropout}")
    print("| size | batch | network | samples/s | range | against vilt | tuned | TFLOP/s | of peak |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    found = []
    for size in how.sizes.split(","):
        found += measure(size, how, device, bf16)
    if how.json:
        how.json.write_text(json.dumps(found, indent=1))


def measure(size: str, how: argparse.Namespace, device: torch.device, bf16: bool) -> list[dict[str, object]]:
    """Interleaved rounds of one size; prints its lines of the table."""
    case, begun = CASES[size], time.perf_counter()
    batch = how.batch or case.batch * (8 if device.type == "cuda" else 1)

    def say(doing: str) -> None:
        print(f"{size}, {time.perf_counter() - begun:.0f} s: {doing}", file=sys.stderr, flush=True)

    say(f"{BUCKETS} batches of {batch} listings, and the networks")
    drawn, sorted_ = listings(case, batch)
    runners = {"vilt": vilt(case, drawn, how.dropout, device, bf16, tuned=False)}
    runners["vilt, tuned"] = vilt(case, drawn, how.dropout, device, bf16, tuned=True)
    runners["mlim"] = mlim(case, sorted_, how.dropout, device, bf16, compiled=False)
    if how.compile:
        runners["mlim, compiled"] = mlim(case, sorted_, how.dropout, device, bf16, compiled=True)
    for name, run in runners.items():  # buffers; on a GPU the kernels of each shape, too
        say(f"first steps of {name}")
        for number in range(BUCKETS if device.type == "cuda" or how.compile else 2):
            run(number)
    rates: dict[str, list[float]] = {name: [] for name in runners}
    peaks = []
    for number in range(how.rounds):
        if number and time.perf_counter() - begun > how.limit:
            say(f"--limit {how.limit:g}: {number} of {how.rounds} rounds")
            break
        say(f"round {number + 1} of {how.rounds}: products of matrices")
        peaks.append(peak(device, bf16))
        for name, run in runners.items():
            rates[name].append(batch / steps(run, device, how.seconds))
            say(f"round {number + 1} of {how.rounds}: {name} {rates[name][-1]:,.0f} samples/s")
    work, best = np.mean([needed(case, part) for part in sorted_]) / batch, max(peaks)
    found = []
    for name, rate in rates.items():
        flops = 0.0 if name.startswith("vilt") else median(rate) * work
        line = {"size": size, "batch": batch, "network": name, "rate": median(rate), "rates": rate}
        ratios = [median(rate) / median(rates[rival]) for rival in ("vilt", "vilt, tuned")]
        line |= {"against_vilt": ratios[0], "against_tuned": ratios[1], "flops": flops, "peak": best}
        print(
            f"| {size} | {batch} | {name} | {median(rate):.3g} | {min(rate):.3g} to {max(rate):.3g} "
            f"| {ratios[0]:.2f} | {ratios[1]:.2f} | "
            + (f"{flops / 1e12:.3f} | {flops / best:.1%} |" if flops else "| |"),
            flush=True,
        )
        found.append(line)
    print(f"| {size} | | peak | {min(peaks) / 1e12:.3f} to {best / 1e12:.3f} TFLOP/s | | | | | |", flush=True)
    return found


def listings(case: Case, size: int) -> tuple[list[Batch], list[Batch]]:
    """BUCKETS batches of listings in random order, and the same listings in batches of like lengths."""
    draws = np.random.default_rng(0)
    count, patches = BUCKETS * size, case.shape.grid**2
    # Lengths of titles: half as long as the longest in the middle, a tail that is cut.
    lengths_N = np.clip(draws.lognormal(np.log(case.longest / 2), 0.4, count).round(), 4, case.longest).astype(int)
    mode_N = draws.integers(3, size=count)
    text_share_N, image_share_N = np.array([0, 0.8, 0.15])[mode_N], np.array([0.8, 0, 0.15])[mode_N]
    tokens_NL = draws.integers(WORDS, case.vocabulary, (count, case.longest))
    place_L = np.arange(case.longest)
    word_NL = (place_L > 0) & (place_L < lengths_N[:, None] - 1)
    text_NL = word_NL & (draws.random((count, case.longest)) < text_share_N[:, None])
    image_NP = draws.random((count, patches)) < image_share_N[:, None]
    pixels_NCHW = draws.integers(256, size=(count, 3, case.side, case.side), dtype=np.uint8)

    def batch(rows: np.ndarray) -> Batch:
        longest = lengths_N[rows].max()
        tokens_BL, text_BL = tokens_NL[rows, :longest], text_NL[rows, :longest]
        real_BL, every_B = place_L[:longest] < lengths_N[rows, None], np.ones(len(rows), bool)
        shown_BL = np.where(text_BL, MASK, tokens_BL)
        arrays = (rows, tokens_BL, shown_BL, real_BL, text_BL, pixels_NCHW[rows], image_NP[rows], every_B, every_B)
        return Batch(*map(torch.from_numpy, arrays))

    by_length = np.argsort(lengths_N, kind="stable").reshape(BUCKETS, size)
    return (
        [batch(rows) for rows in np.arange(count).reshape(BUCKETS, size)],
        [batch(rows) for rows in draws.permutation(by_length)],
    )


def vilt(
    case: Case, batches: Sequence[Batch], dropout: float, device: torch.device, bf16: bool, tuned: bool
) -> Callable[[int], object]:
    """A step of ViltForMaskedLM on the batch of this number."""
    from transformers import ViltConfig, ViltForMaskedLM

    torch.manual_seed(0)
    model = ViltForMaskedLM(
        ViltConfig(
            vocab_size=case.vocabulary,
            hidden_size=case.size.width,
            num_hidden_layers=case.size.layers,
            num_attention_heads=case.size.heads,
            intermediate_size=4 * case.size.width,
            max_position_embeddings=case.longest,
            image_size=case.side,
            patch_size=case.patch,
            hidden_dropout_prob=dropout,
        )
    )
    model.to(device).train()
    optimizer = adamw(model, Optim()) if tuned else torch.optim.AdamW(model.parameters(), lr=1e-4)

    def padded(text_BL: torch.Tensor, value: int) -> torch.Tensor:
        return text_BL if tuned else nn.functional.pad(text_BL, (0, case.longest - text_BL.shape[1]), value=value)

    inputs = [
        {
            "input_ids": padded(part.shown_BL, 0),
            "attention_mask": padded(part.text_real_BL.long(), 0),
            "token_type_ids": padded(torch.zeros_like(part.shown_BL), 0),
            "pixel_values": part.pixels_BCHW.float() / 127.5 - 1,
            "pixel_mask": torch.ones(len(part), case.side, case.side, dtype=torch.long),
            "labels": padded(part.tokens_BL.masked_fill(~part.text_masked_BL, -100), -100),
        }
        for part in batches
    ]

    def step(number: int) -> object:
        given = {name: t.to(device, non_blocking=True) for name, t in inputs[number % len(inputs)].items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = model(**given).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return step


def mlim(
    case: Case, batches: Sequence[Batch], dropout: float, device: torch.device, bf16: bool, compiled: bool
) -> Callable[[int], object]:
    """A step of the training loop, MLM and RECON, on the batch of this number."""
    torch.manual_seed(0)
    network = Mlim(case.shape, dropout)
    task = Pretraining(network, Objectives())
    if compiled:
        network.compile()
    updates = updates_of(task, Plan(1, Optim(), 0, precision="bf16" if bf16 else "fp32"), device)
    return lambda number: updates.step([batches[number % len(batches)]])


def steps(run: Callable[[int], object], device: torch.device, seconds: float) -> float:
    """Mean seconds of a step, over whole passes through the batches."""
    begun, done = time.perf_counter(), 0
    while not done or time.perf_counter() - begun < seconds:
        for number in range(BUCKETS):
            run(number)
        done += BUCKETS
        if device.type == "cuda":
            torch.cuda.synchronize()
    return (time.perf_counter() - begun) / done


def peak(device: torch.device, bf16: bool) -> float:
    """The most operations a second of the matrix products tried."""
    rates = []
    for m, k, n in PEAK:
        left, right = (
            torch.randn(shape, device=device, dtype=torch.bfloat16 if bf16 else None) for shape in ((m, k), (k, n))
        )
        for _ in range(4):
            begun = time.perf_counter()
            _ = left @ right
            if device.type == "cuda":
                torch.cuda.synchronize()
            rates.append(2 * m * k * n / (time.perf_counter() - begun))
    return max(rates)


def needed(case: Case, batch: Batch) -> float:
    """Operations that a training step on this batch can't do without: three times those of its forward pass."""
    width, grid = case.size.width, case.shape.grid
    length_B = batch.text_real_BL.sum(1).double() + grid**2
    encoder = case.size.layers * (24 * width**2 * length_B.sum() + 4 * width * length_B.square().sum())
    head = int(batch.text_masked_BL.sum()) * 2 * width * (width + case.vocabulary)
    seen = int((~batch.image_masked_BP).sum())
    embedder = seen * operations(CnnEmbedder(case.patch, width).layers, (1, 3, case.patch, case.patch))
    decoder = len(batch) * operations(ImageDecoder(case.patch, width).layers, (1, width, grid, grid))
    return 3 * (float(encoder) + head + embedder + decoder)


def operations(layers: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiplications and additions of the layers' forward pass, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layers(torch.zeros(shape))
    return int(counter.get_total_flops())


if __name__ == "__main__":
    main()
