"""Figures -> plain words: what bounds the loader, whether training waits for it, and what to change."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.bench.figures import Figures

MARGIN = 256 / 224  # stored side: model's side, so that random crops are seldom enlarged
NEARLY = 0.9  # of the decoder alone: it is what bounds
ENOUGH = 1.05  # times faster: less isn't worth a line


def bound(figures: Figures) -> str:
    """What the loader's time goes into most, or the disk."""
    if figures.cold * figures.rate > 1:
        return f"reading from the disk: {1 / figures.cold:,.0f} listings/s while pictures aren't in memory yet"
    if not figures.on_cpu:
        rest = "what the CPU does for tokens, masks and assembly"
        return f"{figures.decoder}, which alone gives {figures.bare:,.0f}" if figures.reached > NEARLY else rest
    name = max(figures.parts, key=figures.parts.__getitem__)
    return f"{name}: {figures.parts[name] / figures.whole:.0%} of the time"


def wait(figures: Figures) -> str:
    """Loader against training step."""
    said = f"the loader is {(figures.later or figures.rate) / figures.step:.1f}x as fast"
    if figures.device == "cpu":
        said += (
            f"; making a batch takes {figures.whole * figures.step / figures.cores:.1%} of the cores' time beside it"
        )
    return f"{said}; expected data wait {figures.wait:.1%}"


def changes(figures: Figures) -> list[str]:
    """What to change in the recipe, with the figure expected of it, the best first."""
    found = sorted((change for change in _changes(figures) if change[0] >= ENOUGH), reverse=True)
    said = [f"{what}: {times:.1f}x, about {times * figures.rate:,.0f} listings/s" for times, what in found]
    if figures.device != "cpu" and figures.on_cpu:
        said.append("runtime.decoder dali: decodes on the GPU; `--set runtime.decoder=dali` here measures it")
    return said


def _changes(figures: Figures) -> Iterator[tuple[float, str]]:
    """How many times faster, and what to change."""
    parts, whole = figures.parts, figures.whole
    fitting = -(-round(figures.model_side * MARGIN) // 8) * 8
    if figures.on_cpu and fitting < figures.stored_side / 1.15:
        smaller = (fitting / figures.stored_side) ** 2  # of pixels to decode and to resize from
        saved = (1 - smaller) * (parts["reading"] + parts["decoding"] + parts["crop and resize"] / 2)
        times = figures.stored_side / figures.model_side
        yield (
            whole / (whole - saved),
            f"images.side is {figures.stored_side}, {times:.1f}x model.image_side: store {fitting}",
        )
    if figures.on_cpu and figures.encoding != "raw":
        cost = f"costs {figures.decoded_bytes / 1e6:,.0f} MB of disk in place of {figures.bytes / 1e6:,.0f}"
        yield whole / (whole - parts["decoding"]), f"images.encoding raw ({cost})"
    if not figures.on_cpu:
        yield figures.cores / whole / figures.rate, "runtime.decoder cpu"
    more = {threads: rate for threads, rate in figures.rates.items() if threads > figures.threads}
    if more:
        threads = max(more, key=more.__getitem__)
        yield more[threads] / figures.rates.get(figures.threads, figures.rate), f"runtime.threads {threads}"
    if figures.on_cpu and figures.kept < figures.decoded_bytes < figures.memory / 2:
        what = f"runtime.decoded {figures.decoded_bytes} (bytes; from the second epoch on no picture is decoded)"
        yield whole / (whole - parts["reading"] - parts["decoding"]), what


def report(figures: Figures) -> Iterator[str]:
    """All of it, line by line."""
    f = figures
    yield (
        f"{f.listings:,} listings with {f.encoding} pictures of up to {f.stored_side} px, read at {f.model_side} px, "
        f"{f.batch} at a time; {f.said}"
    )
    yield "of a core, a listing:" if f.on_cpu else "of a core, a listing, if the CPU decoded:"
    for name, seconds in f.parts.items():
        yield f"  {name:18} {seconds * 1e6:7,.0f} µs  {seconds / f.whole:4.0%}"
    yield f"  {'whole':18} {f.whole * 1e6:7,.0f} µs"
    yield f"reading from the disk: {f.cold * 1e6:,.0f} µs a listing"
    if f.transfer is not None:
        yield f"transfer to {f.device}: {f.transfer * 1e6:,.1f} µs a listing"
    for threads, rate in f.rates.items():
        yield f"the whole loader, {threads} thread{'s' if threads > 1 else ''}: {rate:,.0f} listings/s"
    yield f"as the recipe says: {f.rate:,.0f} listings/s, {f.reached:.0%} of the decoder alone ({f.bare:,.0f})"
    if f.later:
        yield f"from the second epoch on, with decoded pictures kept (runtime.decoded): {f.later:,.0f} listings/s"
    yield f"bound by {bound(f)}"
    yield f"training step ({f.model} on {f.device}): {f.step:,.0f} listings/s; {wait(f)}"
    needed = "to change" if f.wait > 0.02 else "nothing needs to change; what would make the loader faster still"
    if found := changes(f):
        yield f"{needed}:"
        yield from (f"  {line}" for line in found)
