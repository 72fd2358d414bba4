"""What a replay found, in words: what isn't finite, where that begins, and what to do."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping

from workbench.tasks.replay import Pass, Replay
from workbench.train.watch import Seen

LISTINGS, SHOWN, LARGEST = "listings.csv", 20, 5
_LOWER = "lower optim.lr or optim.clip, or give a longer warmup"


def told(replay: Replay) -> list[str]:
    """Lines for a person."""
    said = replay.said
    found = ", ".join(f"{name} {_number(float(value))}" for name, value in said["found"].items())
    weights = f"step {said['weights_after']}" if said["weights_after"] else "no step"
    lines = [f"step {said['step']}, {said['precision']}: {found}; run again with the weights after {weights}"]
    if replay.ranks < said["ranks"]:
        lines.append(f"the batches of {replay.ranks} of {said['ranks']} ranks are here: losses are of these alone")
    for run in replay.passes:
        losses = ", ".join(f"{name} {_number(value)}" for name, value in run.losses.items())
        lines.append(f"in {run.precision}: {losses}, gradient norm {_number(run.norm)}")
        lines += [f"  {line}" for line in _where(run)]
    lines += [f"weights not finite: {name}, {count} numbers" for name, count in list(replay.weights.items())[:SHOWN]]
    lines += [f"batch not finite: {_listing(replay, row)}: {what}" for row, what in list(replay.inputs.items())[:SHOWN]]
    return [*lines, f"meaning: {meaning(replay)}"]


def meaning(replay: Replay) -> str:
    """What it comes from, as far as that can be told, and what to do."""
    run, exact = replay.passes[0], replay.passes[-1]
    if replay.weights:
        return f"the weights themselves aren't finite, and nothing trained from them will be: train anew, and {_LOWER}"
    if replay.inputs:
        return (
            f"the batch can't be read: look at {_named(replay, list(replay.inputs))}, and mend or drop it in the feed"
        )
    if run.finite:
        return _finite(replay)
    if exact.finite:
        largest, better = exact.watch.largest(1)[0], "bf16" if run.precision == "fp16" else "fp32"
        return (
            f"{run.precision} can't hold what fp32 can, outputs up to {_number(largest.largest)} of {largest.module}: "
            f"set model.precision: {better}, or {_LOWER}"
        )
    if not exact.rows:
        return f"every loss is finite and the gradient isn't: {_LOWER}"
    if len(exact.rows) <= max(1, len(exact.by_listing) / 2):
        return f"look at picture and text of {_named(replay, exact.rows)}; if they are sound, {_LOWER}"
    return f"it is not one listing's doing, the weights have grown too large: {_LOWER}"


def _finite(replay: Replay) -> str:
    if replay.said["weights_after"] > replay.said["step"]:
        return (
            "this batch is finite with these weights, which are of some steps later: it was the weights of that step; "
            f"if more steps are left out, {_LOWER}"
        )
    return "this batch is finite here: another device or number of threads rounds otherwise; nothing needs to be done"


def table(replay: Replay) -> tuple[list[str], list[list[str]]]:
    """Header and a line a listing, those with the worst losses first."""
    columns = [(run, name) for run in replay.passes for name in run.losses]
    rows = sorted(replay.passes[0].by_listing, key=lambda row: -_badness(replay.passes[0].by_listing[row]))
    lines = [
        [str(row), *(str(replay.listings[row].get(word, "")) for word in ("id", "title"))]
        + [_number(run.by_listing[row][name]) for run, name in columns]
        for row in rows
    ]
    return ["row", "id", "title", *(f"{name} {run.precision}" for run, name in columns)], lines


def write(replay: Replay) -> str:
    """All listings as CSV into the folder: its path, or why it can't be written."""
    header, lines = table(replay)
    path = replay.folder / LISTINGS
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    except OSError as error:
        return f"{path}: not written: {error}"
    return str(path)


def _where(run: Pass) -> list[str]:
    lines = []
    if first := run.watch.first_output:
        lines.append(f"the first output that isn't finite: {_seen(first)}")
    elif not all(map(math.isfinite, run.losses.values())):
        lines.append("every module's output is finite: it begins in the loss itself")
    if (back := run.watch.first_gradient) and not first:
        lines.append(f"the first gradient that isn't finite, on the way back: that of the output of {_seen(back)}")
    if not first:
        steepest = sorted(run.gradients.items(), key=lambda item: (math.isfinite(item[1]), -item[1]))[:LARGEST]
        lines.append(f"largest gradients: {', '.join(f'{name} {_number(value)}' for name, value in steepest)}")
    largest = ", ".join(f"{seen.module} {_number(seen.largest)}" for seen in run.watch.largest(LARGEST))
    return [*lines, f"largest outputs: {largest}"]


def _seen(seen: Seen) -> str:
    whose = f", of row{'s' * (len(seen.rows) > 1)} {', '.join(map(str, seen.rows[:SHOWN]))}" if seen.rows else ""
    arrived = ", which was given numbers that aren't: it begins just before it" if seen.arrived else ""
    return f"{seen.module}, {seen.bad} of {seen.numbers} numbers{whose}{arrived}"


def _listing(replay: Replay, row: int) -> str:
    known = replay.listings.get(row, {})
    return " ".join([f"row {row}", *(repr(known[word]) for word in ("id", "title") if word in known)])


def _named(replay: Replay, rows: list[int]) -> str:
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return ", ".join(_listing(replay, row) for row in rows[:3]) + more


def _badness(losses: Mapping[str, float]) -> float:
    return sum(value if math.isfinite(value) else 1e30 for value in losses.values())


def _number(value: float) -> str:
    return f"{value:.4g}"
