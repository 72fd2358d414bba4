"""Which runs use what of a cache, so that it can be told what a recipe needs, and nothing is taken from who runs.

<cache>/uses/<hash>.json   the recipe's name and the names of what it uses; written anew by each run, whose processes
                           hold it (flock, shared) while they live
<cache>/uses/lock          held while a run begins, and while things are taken away
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.artifacts.store import Store

USES = "uses"


@contextmanager
def using(store: Store, recipe: str, names: Collection[str], makes: str = "") -> Iterator[None]:
    """While a run uses what has these names in the cache, and `makes` some of it. Raises MlimError where the cache's
    object store doesn't answer, or doesn't take what is made."""
    told = json.dumps({"recipe": recipe, "names": sorted(names)}, indent=1)
    file = store.root / USES / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"
    with turn(store.root):
        handle = file.open("a+")
        fcntl.flock(handle, fcntl.LOCK_SH)
        if not file.stat().st_size:
            handle.write(told)
            handle.flush()
        os.utime(file)
    with handle:
        store.note(f"{USES}/{file.name}", told.encode(), makes)
        yield


@contextmanager
def turn(root: Path) -> Iterator[None]:
    """While no run begins and nothing is taken away."""
    folder = root / USES
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_held(file: Path) -> bool:
    """Whether a living process holds this file, or the lock that it is."""
    try:
        with file.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
