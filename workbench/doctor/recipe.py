"""What only a recipe can be asked: are its files there, does it fit into memory and on the disk, are its stores up?"""

from __future__ import annotations

import importlib.util
import os

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.conditional import NO_CONDITIONS
from workbench.artifacts.mirror import exists
from workbench.doctor.finding import Finding, judged
from workbench.errors import MlimError
from workbench.forecast.forecast import load_and_room
from workbench.forecast.machine import this_machine
from workbench.forecast.words import size
from workbench.recipe.schema import Recipe

CACHE = "the store of runtime.cache"


def files(content: str) -> list[Finding]:
    """Whether what the recipe, given as JSON, names is here: files, and what it logs to."""
    asked = Recipe.model_validate_json(content)
    return [*sources(asked), *trackers(asked)]


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
            again = bucket.put(name, b"doctor's") if key == CACHE else None
            bucket.delete(name)
            if again:
                return [Finding(key, "broken", f"{bucket.shown}: {NO_CONDITIONS}", "give runtime.cache a disk")]
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
    absent = {key: path for key, path in places.items() if path and not exists(path)}
    if not absent:
        return [Finding("sources", "ok", "all files that the recipe names are there")]
    there = bool(recipe.runtime.remote)  # which may have been pushed
    mend = "correct the path" + (", unless they were pushed: `mlim plan` tells" if there else "")
    return [Finding(key, "missing", f"{path} is not there", mend, not there) for key, path in absent.items()]


def fits(content: str) -> list[Finding]:
    """Whether pre-training fits into memory, and its checkpoints on the disk, as `mlim plan` reckons."""
    asked = Recipe.model_validate_json(content)
    needed, machine = load_and_room("pretrain", asked, {})[1], this_machine(asked.runtime)
    less = "a smaller pretrain.optim.micro_batch, runtime.decoded or runtime.prefetch"
    wanted = [("memory", needed.memory, machine.memory or 1 << 60, less)]
    wanted += [("memory of the GPU", needed.gpu, machine.gpu_memory, f"{less}, or runtime.recompute: true")]
    wanted += [("disk", needed.disk + needed.passing, machine.disk, "make room, or lower runtime.checkpoints.last")]
    return [
        judged(f"training: {what}", f"about {size(takes)} of {size(there)}", mend, takes <= there)
        for what, takes, there, mend in wanted
        if takes
    ]
