"""Caches that take artifacts from an object store; one that is there, too: made in a folder of this machine, kept there
for all machines.

<url>/<stage>-<key16>/…         as in remote.py: complete once its manifest.json is there
<url>/<stage>-<key16>.lock      a lease of the process that makes it (lease.py)
<url>/logs/, <url>/checkpoints/ of what took how long; of trainings under way (train/mirror.py)

<folder>/                       a cache as in store.py, of copies and of work in progress
<folder>/<stage>-<key16>.unsent lies beside an artifact that is not there yet
<folder>/owner                  tells the processes of this folder from all others
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from workbench.artifacts.bucket import Bucket, Denied
from workbench.artifacts.key import key_of
from workbench.artifacts.lease import Lease
from workbench.artifacts.pushed import DATA
from workbench.artifacts.remote import AT_ONCE, Remote
from workbench.artifacts.store import MANIFEST, Artifact, Away, Store, fsync
from workbench.errors import ArtifactError, RecipeError
from workbench.recipe.places import WRITTEN, url_of

if TYPE_CHECKING:
    from workbench.recipe.schema import Runtime


def store_of(runtime: Runtime, say: Callable[[str], None] = lambda line: None) -> Store:
    """The recipe's cache; `say` hears of waiting for another machine."""
    if url := url_of(runtime.cache, WRITTEN):
        if runtime.remote:
            raise RecipeError(
                f"runtime.remote: {runtime.remote}: runtime.cache is in an object store, {url}, and all is "
                "taken from there; take runtime.remote out"
            )
        return Shared(runtime.cache, Away(url, runtime.remote_bytes), say)
    if runtime.remote:
        return Supplied(runtime.cache, Away(runtime.remote, runtime.remote_bytes))
    return Store(runtime.cache)


class Supplied(Store):
    """A cache on a disk; data that it hasn't, or has damaged, is taken from where it was pushed."""

    remote: Remote

    def __init__(self, root: Path, away: Away) -> None:
        super().__init__(root, away)
        self.remote = Remote(away.url)

    def seek(self, stage: str, key: str) -> Artifact | None:
        with suppress(ArtifactError):
            if found := self.find(stage, key):
                return found
        return self._there(stage, key) or self.find(stage, key)  # raises again where it is damaged

    def here(self, artifact: Artifact, streams: str = "") -> Artifact:
        return self.remote.fetch(artifact, self, streams) if artifact.is_there else artifact

    def _there(self, stage: str, key: str) -> Artifact | None:
        return self.remote.find(stage, key) if stage in DATA else None


class Shared(Supplied):
    """All artifacts below a URL, of which `root` has copies."""

    def __init__(self, root: Path, away: Away, say: Callable[[str], None] = lambda line: None) -> None:
        super().__init__(root, away)
        self._say = say
        self._leases: dict[str, Lease] = {}
        self._known: dict[str, list[Artifact]] = {}  # by stage, what is there

    @property
    def bucket(self) -> Bucket:
        return self.remote.bucket

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        with super().locked(name), Lease(self.bucket, name, self._owner, self._say) as lease:
            self._leases[name] = lease
            try:
                yield
            finally:
                del self._leases[name]

    def note(self, name: str, data: bytes, makes: str = "") -> None:
        try:
            self.bucket.write(name, data)
        except Denied as denied:
            shown = self.remote.shown
            if makes:
                raise RecipeError(
                    f"runtime.cache: {makes} has to be made, and can't be kept: {denied}, of somebody who may write "
                    f"and delete there; or give runtime.cache a folder, and runtime.remote {shown}, from where the "
                    "data is then taken"
                ) from None
            self._say(f"{shown} may be read only: what is there is taken, and nothing noted")

    def commit(self, stage: str, ingredients: Mapping[str, Any], summary: Mapping[str, Any]) -> Artifact:
        unsent = self._unsent(self._folder(stage, key_of(ingredients)).name)
        unsent.touch()
        fsync(self.root)
        return super().commit(stage, ingredients, summary)

    def share(self, artifact: Artifact) -> None:
        name = artifact.folder.name
        if not self._unsent(name).exists():
            return
        if name not in self._leases:
            with self.locked(name):
                return self.share(artifact)
        lease = self._leases[name]
        self.remote.push(artifact, check=lease.check)
        log = self.log(artifact.stage, artifact.key)
        if log.exists():
            self.bucket.send(log, self._log(name))
        self._unsent(name).unlink()

    def here(self, artifact: Artifact, streams: str = "") -> Artifact:
        log = self.log(artifact.stage, artifact.key)
        if artifact.is_there and not log.exists():
            with suppress(FileNotFoundError):
                data = self.bucket.read(self._log(log.stem))
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_bytes(data)
        return super().here(artifact, streams)

    def _there(self, stage: str, key: str) -> Artifact | None:
        return self.remote.find(stage, key)

    def all_of(self, stage: str) -> list[Artifact]:
        """Also those that are there only, first."""
        known = super().all_of(stage)
        keys = {artifact.key for artifact in known}
        return [artifact for artifact in self._all_there(stage) if artifact.key not in keys] + known

    def _all_there(self, stage: str) -> list[Artifact]:
        if stage not in self._known:
            names = [name for name in self._names if name.rpartition("-")[0] == stage]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                self._known[stage] = [artifact for artifact in pool.map(self._manifest, names) if artifact]
        return self._known[stage]

    def _manifest(self, name: str) -> Artifact | None:
        with suppress(ArtifactError, KeyError, TypeError):
            if manifest := self.remote.json(f"{name}/{MANIFEST}"):
                return Artifact.of(Path(name), manifest)
        return None

    @cached_property
    def _names(self) -> list[str]:
        return self.bucket.folders()

    @cached_property
    def _owner(self) -> str:
        """Who has its local lock has that of its dead processes, too."""
        path, aside = self.root / "owner", self.root / f"owner.{uuid4().hex}"
        if not path.exists():
            aside.write_text(uuid4().hex)
            with suppress(FileExistsError):
                os.link(aside, path)
            aside.unlink()
        return f"{path.read_text()} {os.uname().nodename}"

    def _unsent(self, name: str) -> Path:
        return self.root / f"{name}.unsent"

    @staticmethod
    def _log(name: str) -> str:
        return f"logs/{name}.jsonl"
