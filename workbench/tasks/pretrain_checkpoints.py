"""Where a pre-training's checkpoints live: a run of another length finds them, one of anything else refuses them.

<cache>/checkpoints/pretrain-<line16>/   of all runs that differ in nothing but their length
<cache>/checkpoints/pretrain-<line16>.lock
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.artifacts.changes import changes
from workbench.artifacts.shared import Shared, store_of
from workbench.artifacts.stage import Work
from workbench.tasks.line import checkpoints_folder, line_of
from workbench.train.checkpoint import POSITION, open_checkpoint
from workbench.train.checkpoints import Checkpoints, free


@contextmanager
def checkpoints_of(work: Work, config: bytes, parameters: int, best: bool, averaged: bool) -> Iterator[Checkpoints]:
    """The checkpoints of the pre-training that `work` is, which no other process uses meanwhile.

    `config` is the network's model.json. `best`, `averaged`: the best validation's is kept; a moving average is in it.
    Raises ArtifactError where another process trains with them.
    """
    of = line_of(work.ingredients)
    folder = checkpoints_folder(work.ingredients, work.runtime.cache)
    when, store = work.runtime.checkpoints, store_of(work.runtime, work.warn)
    if isinstance(store, Shared) and not when.remote:
        when = when.model_copy(update={"remote": f"{store.remote.url}/checkpoints"})
    if work.world and not work.world.chief:
        yield Checkpoints(folder, of, when.model_copy(update={"remote": None}))
        return

    def differs(before: Mapping[str, Any]) -> list[str]:
        known = {name: artifact.ingredients for name, artifact in work.inputs.items()}
        return changes(before, of, known, store)

    found = Checkpoints(folder, of, when, best=best, model=config, say=work.warn, differs=differs)
    with store.locked(f"{folder.parent.name}/{folder.name}"), found as checkpoints:
        if not work.resume:
            checkpoints.remove()
        if not (here := len(checkpoints.all())):
            for line in _others(folder, differs):
                work.warn(line)
        if line := _room(folder, when.last + 1 + best - here, parameters * 4 * (3 + averaged)):
            work.warn(line)
        yield checkpoints


def _others(folder: Path, differs: Any) -> Iterator[str]:
    """A word on the checkpoints most like these that are not used."""
    found = []
    for other in folder.parent.glob(f"pretrain-*/step-*/{POSITION}"):
        try:
            found.append((differs(open_checkpoint(other.parent).of), str(other.parent)))
        except (OSError, ValueError, KeyError):
            continue
    if found:
        fields, path = min(found, key=lambda pair: (len(pair[0]), pair[1]))
        yield f"a checkpoint of another training is not used: {path}, which differs in: {'; '.join(fields)}"


def _room(folder: Path, more: int, size: int) -> str:
    """A warning where the disk can't take so many more checkpoints of this size; else ""."""
    if max(more, 1) * size <= free(folder):
        return ""
    return (
        f"warning: {folder.parent}: {free(folder):,} bytes are free, the checkpoints need {max(more, 1) * size:,} more "
        f"({max(more, 1)} of {size:,}); make room, or lower runtime.checkpoints.last"
    )
