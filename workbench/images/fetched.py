"""Pictures by web address, as the fetch stage left them in the cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from urllib.parse import urlsplit

import polars as pl

from workbench.artifacts.shared import store_of
from workbench.artifacts.stage import Work
from workbench.errors import ArtifactError
from workbench.images.origin import Absent

NOT_WANTED = "not fetched, since an earlier picture of its listing was"
WAITS = "a web address; add `fetch: {}` to the recipe to download it"
WEB = r"^([a-zA-Z][a-zA-Z0-9+.-]+://|//[^/]*\.)"  # how a web address begins


class Fetched:
    """The pictures of the fetch stage, by web address; none where the recipe has no such stage."""

    def __init__(self, work: Work) -> None:
        self._lines: dict[str, tuple[str, str | None, str | None]] = {}
        store = store_of(work.runtime)
        self._root, self._there = store.root / "pictures", store.bucket
        self._missing = WAITS
        if artifact := work.inputs.get("fetch"):
            self._missing = NOT_WANTED
            self._folder = artifact.folder
            table = pl.read_parquet(artifact.path("fetched.parquet"), columns=["url", "state", "reason", "sha256"])
            self._lines = {url: (state, reason, sha256) for url, state, reason, sha256 in table.iter_rows()}

    def of(self, names: Iterable[str]) -> Fetched:
        """What is known of these alone: little enough to be sent to another machine."""
        part = copy(self)
        part._lines = {name: self._lines[name] for name in names if name in self._lines}
        return part

    def __contains__(self, name: str) -> bool:
        """Whether a picture's name is a web address, and so not for a folder or an archive."""
        return name in self._lines or re.match(WEB, name) is not None

    def read(self, url: str) -> bytes:
        """The bytes of a picture. Raises Absent or ValueError with the reason for one that could not be fetched.

        Raises ArtifactError when the cache has lost them.
        """
        state, reason, sha256 = self._lines.get(url, ("absent", self._missing, None))
        if state == "absent":
            raise Absent(reason)
        if sha256 is None:
            raise ValueError(reason)
        path, data = self._root / sha256[:2] / sha256, b""
        with suppress(FileNotFoundError):
            if path.exists() or not self._there:
                data = path.read_bytes()
            else:
                data = self._there.read(f"pictures/{sha256[:2]}/{sha256}")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ArtifactError(f"{path}: missing or changed since {url} was fetched; delete {self._folder}, run again")
        return data


def say_waiting(names: Iterable[str]) -> str:
    """What would be downloaded if the recipe said so, for the user; "" if nothing would."""
    urls = set(names)
    hosts = {urlsplit(url).netloc for url in urls}
    at = f"{len(hosts):,} hosts" if len(hosts) > 1 else "one host"
    many = f"{len(urls):,} pictures at {at} are web addresses, and nothing is downloaded unasked"
    return f"{many}; add `fetch: {{}}` to the recipe to download them" if urls else ""
