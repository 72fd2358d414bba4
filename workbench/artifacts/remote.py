"""Artifacts in an object store: pushed from one machine, used on others.

<url>/<stage>-<key16>/…              the files of an artifact; manifest.json is put last: without it there is none
<url>/<stage>-<key16>/pushing.json   of a push under way: the digests of what it has sent
<url>/recipes/<name>.json            what was pushed of a recipe last (pushed.py)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.store import MANIFEST, Artifact, Store, as_json, digests_of, locked
from workbench.errors import ArtifactError
from workbench.recipe.secrets import without_password

PUSHING = "pushing.json"
AT_ONCE = 8  # files on their way
NOTED = 1 << 28  # bytes: a killed push sends no more than this again


@dataclass(frozen=True)
class Sent:
    """What a push did."""

    files: int
    bytes: int
    there: int  # files that were there already


class Remote:
    """The artifacts below a URL. Nothing is asked of the store before the first call."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.shown = without_password(self.url)  # to people

    @cached_property
    def bucket(self) -> Bucket:
        return Bucket(self.url)

    def find(self, stage: str, key: str) -> Artifact | None:
        """The complete artifact of this key, as its manifest tells it (its folder is a name below the URL), or None."""
        folder = Path(f"{stage}-{key[:16]}")
        manifest = self.json(f"{folder}/{MANIFEST}")
        try:
            artifact = Artifact.of(folder, manifest) if manifest is not None else None
        except (KeyError, TypeError):
            raise ArtifactError(f"{self.shown}/{folder}/{MANIFEST}: damaged; delete it there and push again") from None
        return artifact if artifact and artifact.key == key else None

    def json(self, name: str) -> Any:
        """The content of a JSON file, or None. Raises ArtifactError where it is damaged."""
        try:
            return json.loads(self.bucket.read(name))
        except FileNotFoundError:
            return None
        except ValueError:
            raise ArtifactError(f"{self.shown}/{name}: damaged; delete it there and push again") from None

    def put_json(self, name: str, content: Any) -> None:
        self.bucket.write(name, as_json(content).encode())

    def fetch(self, there: Artifact, store: Store, streams: str = "") -> Artifact:
        """Copy an artifact into the cache, verified, but for the files that match `streams`; continues after a kill."""
        if (artifact := _found(store, there, streams)) is not None:
            return artifact
        folder = store.root / f"{there.stage}-{there.key[:16]}"
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if (artifact := _found(store, there, streams)) is not None:  # another process fetched it meanwhile
                partial.rmdir()
                return artifact
            streamed = [name for name in there.files if streams and fnmatch(name, streams)]
            wanted = replace(there, folder=partial, streamed=streamed)
            for left in partial.rglob("*"):
                if left.is_file() and left.relative_to(partial).as_posix() not in wanted.here:
                    left.unlink()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda name: self._fetch_file(there, name, partial / name), wanted.here))
            return store.adopt(wanted)

    def _fetch_file(self, there: Artifact, name: str, path: Path) -> None:
        size, sha256 = there.files[name]["bytes"], there.files[name]["sha256"]
        if path.exists() and path.stat().st_size == size and digests_of([path]) == [sha256]:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.tmp")
        with aside.open("wb") as out:
            self.bucket.read_into(out, f"{there.folder}/{name}", size, sha256)
        aside.replace(path)

    def push(
        self,
        artifact: Artifact,
        tell: Callable[[str], None] = lambda name: None,
        check: Callable[[], None] | None = None,
    ) -> Sent:
        """Copy an artifact there, manifest last; what is there with the same size and digest is not sent again.

        `check` raises where another process does so meanwhile; then the manifest is put only if there is none. Raises
        ArtifactError where its own files are damaged, or are not all here.
        """
        folder = f"{artifact.stage}-{artifact.key[:16]}"
        there = self.find(artifact.stage, artifact.key)
        known = there.files if there else self.json(f"{folder}/{PUSHING}") or {}
        sizes = self.bucket.sizes(folder)
        waiting = [n for n, f in artifact.files.items() if known.get(n) != f or sizes.get(n) != f["bytes"]]
        if there and not waiting:
            return Sent(0, 0, len(artifact.files))
        if missing := set(waiting) & set(artifact.streamed):
            raise ArtifactError(
                f"{artifact.folder}: {len(missing)} of its files are not here but streamed; push from the machine that "
                f"made it, or delete {artifact.folder} and make it here"
            )
        if there:  # nobody reads it while it is mixed of two
            self.bucket.delete(f"{folder}/{MANIFEST}")
        artifact.verify(*waiting)
        unsent, noted, total = set(waiting), 0, 0

        def send(name: str) -> str:
            if check:
                check()
            self.bucket.send(artifact.folder / name, f"{folder}/{name}")
            return name

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for name in pool.map(send, waiting):
                tell(f"{folder}/{name}")
                unsent.remove(name)
                total += artifact.files[name]["bytes"]
                if total - noted >= NOTED:
                    noted = total
                    self.put_json(f"{folder}/{PUSHING}", {n: f for n, f in artifact.files.items() if n not in unsent})
        self._finish(folder, replace(artifact, streamed=()).manifest(), check)
        return Sent(len(waiting), total, len(artifact.files) - len(waiting))

    def _finish(self, folder: str, manifest: Any, check: Callable[[], None] | None) -> None:
        if check is None:
            self.put_json(f"{folder}/{MANIFEST}", manifest)
        else:
            check()
            if not self.bucket.put(f"{folder}/{MANIFEST}", as_json(manifest).encode()):
                raise ArtifactError(f"{self.shown}/{folder}: another process has just finished it; run again")
        self.bucket.delete(f"{folder}/{PUSHING}")


def _found(store: Store, there: Artifact, streams: str) -> Artifact | None:
    with suppress(ArtifactError):  # damaged: what is fetched takes its place
        found = store.find(there.stage, there.key)
        return None if found and found.streamed and not streams else found
    return None
