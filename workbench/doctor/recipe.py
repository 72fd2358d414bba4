"""What only a recipe can be asked: are its files there, does it fit into memory and on the disk, are its stores up?"""

from __future__ import annotations

import importlib.util
import os
import shutil

from workbench.artifacts.bucket import Bucket
from workbench.doctor import cgroup
from workbench.doctor.finding import Finding, judged, size
from workbench.errors import MlimError
from workbench.recipe.schema import SIZES, Recipe

LIBRARIES = 2 << 30  # bytes of a training process beside its pictures, with a small model
FLOAT = 4  # bytes


def recipe(content: str) -> list[Finding]:
    """All of a recipe's own checks; `content` is its JSON."""
    asked = Recipe.model_validate_json(content)
    return [*sources(asked), *trackers(asked), picture_memory(asked), checkpoints(asked)]


def trackers(recipe: Recipe) -> list[Finding]:
    """Whether what the recipe logs to is installed."""
    return [
        Finding(f"tracker {name}", "ok", "is installed")
        if importlib.util.find_spec(name)
        else Finding(f"tracker {name}", "missing", "is not installed", f"pip install 'mlim[{name}]'")
        for name in recipe.runtime.trackers
    ]


def reachable(key: str, url: str, writes: bool) -> list[Finding]:
    """Whether an object store answers, and, where it is written to, takes and gives back a small file."""
    bucket, name = Bucket(url), f"doctor-{os.getpid()}"
    try:
        if writes:
            bucket.write(name, b"doctor")
            kept = bucket.read(name)
            bucket.delete(name)
            if kept != b"doctor":
                return [Finding(key, "broken", f"{bucket.shown}: gave back other bytes", "take another store")]
        else:
            bucket.sizes(name)
    except MlimError as error:
        return [Finding(key, "broken", str(error), f"mend what it says, or leave {key} out")]
    return [Finding(key, "ok", f"{bucket.shown} {'takes and gives back a file' if writes else 'answers'}")]


def sources(recipe: Recipe) -> list[Finding]:
    """Whether the feeds, their pictures and the pairs are where the recipe says."""
    places = {f"catalog.feeds.{i}.path": feed.path for i, feed in enumerate(recipe.catalog.feeds)}
    places |= {f"catalog.feeds.{i}.pictures": feed.pictures for i, feed in enumerate(recipe.catalog.feeds)}
    places["finetune.match.pairs"] = recipe.finetune.match.pairs if recipe.finetune.match else None
    absent = {key: path for key, path in places.items() if path and not path.exists()}
    if not absent:
        return [Finding("sources", "ok", "all files that the recipe names are there")]
    there = bool(recipe.runtime.remote)  # which may have been pushed
    mend = "correct the path" + (", unless they were pushed: `mlim plan` tells" if there else "")
    return [Finding(key, "missing", f"{path} is not there", mend, not there) for key, path in absent.items()]


def picture_memory(recipe: Recipe) -> Finding:
    """Whether decoded pictures and the batches made ahead fit into what this process may use."""
    may = min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), cgroup.memory() or 1 << 60)
    kept = recipe.runtime.prefetch + recipe.runtime.decoded
    found = f"{size(kept)} for pictures (runtime.prefetch + runtime.decoded), of {size(may)} that may be used"
    return judged("picture memory", found, "lower runtime.decoded and runtime.prefetch", kept + LIBRARIES <= may)


def checkpoints(recipe: Recipe) -> Finding:
    """Whether the checkpoints that are kept, one that is being written and the result fit on the disk."""
    folder = recipe.runtime.cache
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free, count = shutil.disk_usage(there).free, parameters(recipe)
    one = count * FLOAT * (4 if recipe.pretrain.average else 3)  # weights, their average, and AdamW's two moments
    kept = recipe.runtime.checkpoints.last + 2  # the best one and the one that is being written
    found = f"{kept} checkpoints of {size(one)} ({count:,} parameters); {size(free)} free in {there}"
    good = kept * one + count * FLOAT <= free
    return judged("checkpoints", found, "make room, or lower runtime.checkpoints.last", good)


def parameters(recipe: Recipe) -> int:
    """Of the recipe's network, with as many words as it allows; nothing is computed."""
    import torch

    from workbench.model.encoder import Size
    from workbench.model.mlim import Mlim, Shape

    model = recipe.model
    shape = Shape(
        size=Size(*SIZES[model.size or "base"]),
        vocabulary=recipe.tokens.vocabulary,
        mask_token=0,
        text_positions=recipe.tokens.max_length,
        image_side=model.image_side,
        patch=model.patch,
        embedder=model.embedder,
    )
    with torch.device("meta"):
        return sum(p.numel() for p in Mlim(shape).parameters())
