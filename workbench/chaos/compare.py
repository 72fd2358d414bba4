"""What differs between what a quiet chain left and what one left that was killed again and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.artifacts.remote import PUSHING
from workbench.artifacts.store import MANIFEST, digests_of

TIMES = {"seconds", "samples_per_second", "data_wait"}  # of report.json: alone of all artifacts it tells the time
TIMED = {"report.json", "report.html", MANIFEST}  # its files which depend on them; the page shows the JSON and no more
LOGS = {"logs", "checkpoints", "digests.json"}  # of a cache: what differs from run to run, and may


def difference(quiet: Path, killed: Path, timed: bool = False) -> str:
    """The first file by which two folders differ, and how; "" where all their bytes are equal.

    Of a `timed` one, a report, times are left out.
    """
    mine, others = _files(quiet), _files(killed)
    for name in sorted(mine | others):
        if name not in others:
            return f"{name} is missing"
        if name not in mine:
            return f"{name} is there after kills only"
    reports = [name for name in mine if timed and Path(name).name == "report.json"]
    names = sorted(name for name in mine if not (timed and Path(name).name in TIMED))
    pairs = zip(*(digests_of([folder / name for name in names]) for folder in (quiet, killed)), strict=True)
    for name, (before, after) in zip(names, pairs, strict=True):
        if before != after:
            return name + _where(quiet / name, killed / name)
    for name in reports:
        if _timeless(quiet / name) != _timeless(killed / name):
            return f"{name}, times left out"
    return ""


def left_behind(quiet: Path, killed: Path) -> list[str]:
    """Names in the killed chain's cache that the quiet one's lacks: torn files, unfinished work."""
    return sorted(_names(killed) - _names(quiet))


def held(cache: Path) -> list[str]:
    """What only unfinished work leaves in an object store: locks, and notes of what was sent."""
    return sorted(path.relative_to(cache).as_posix() for end in ("*.lock", PUSHING) for path in cache.rglob(end))


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _names(cache: Path) -> set[str]:
    torn = {path.relative_to(cache).as_posix() for path in cache.rglob("*.tmp")}
    return {path.name for path in cache.iterdir()} - LOGS | torn


def _where(quiet: Path, killed: Path) -> str:
    """Of a log the first line that differs, as of the loss curve; of other files the first byte."""
    before, after = quiet.read_bytes(), killed.read_bytes()
    if quiet.suffix == ".jsonl":
        lines = before.splitlines(), after.splitlines()
        at = next((i for i, pair in enumerate(zip(*lines, strict=False)) if pair[0] != pair[1]), min(map(len, lines)))
        was, now = (found[at].decode(errors="replace") if at < len(found) else "nothing" for found in lines)
        return f", line {at + 1}: {now} instead of {was}"
    at = next((i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), -1)
    return f", byte {at:,} of {len(before):,}" if at >= 0 else f": {len(after):,} bytes instead of {len(before):,}"


def _timeless(path: Path) -> Any:
    return _without(json.loads(path.read_text("utf-8")))


def _without(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _without(value) for name, value in tree.items() if name not in TIMES}
    return [_without(value) for value in tree] if isinstance(tree, list) else tree
