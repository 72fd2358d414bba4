"""Files in an object store, or in a folder, by URL: with patience, and with errors that say what to do."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from workbench.artifacts.conditional import Seen, look, put
from workbench.errors import ArtifactError, MlimError, RecipeError
from workbench.recipe.secrets import without_password

T = TypeVar("T")

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # protocol -> extra of mlim
SOON, LATE = 5.0, 120.0  # seconds of tries: until a store has answered once, and from then on
BACK_OFF, LONGEST = 0.25, 15.0  # seconds before the first retry, then doubled; the longest wait
CHUNK = 1 << 24  # bytes asked for at once: a lost connection costs no more
NO_BUCKET = "there is no such bucket; create it, or correct the address"
TRIES = 3  # of a file whose bytes are wrong


class Denied(RecipeError):
    """The credentials don't allow what was asked."""


class Bucket:
    """The files below a URL (s3://…, gs://…, file://… or a path); safe to use from several threads.

    Lost connections, time limits and errors of the server are tried again. RecipeError where the URL can't be used as
    it is (no such bucket, no credentials, an extra that isn't installed, nobody answers); ArtifactError where a store
    that has answered does no more.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.shown = without_password(self.url)
        self._answered = False

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file's bytes, or some of them. Raises FileNotFoundError; EOFError where it ends before `start`."""
        data: bytes = self._tried(name, lambda: self._fs.cat_file(self._path(name), start=start, end=end))
        return data

    def read_into(self, out: BinaryIO, name: str, size: int, sha256: str) -> None:
        """A file's bytes into an empty one of the disk. Raises ArtifactError where they aren't those expected."""
        for _ in range(TRIES):
            out.seek(0)
            digest = hashlib.sha256()
            try:
                for start in range(0, size, CHUNK):
                    data = self.read(name, start, min(start + CHUNK, size))
                    digest.update(data)
                    _write(out, data)
            except FileNotFoundError:
                raise ArtifactError(f"{self.shown}/{name}: is not there any more; push the recipe again") from None
            except EOFError:
                continue
            if out.tell() == size and digest.hexdigest() == sha256:
                return
        raise ArtifactError(
            f"{self.shown}/{name}: {TRIES} times its bytes were not those of the manifest; delete it there and push "
            "the recipe again"
        )

    def write(self, name: str, data: bytes) -> None:
        """A file of these bytes, there as a whole or not at all."""
        self._put(name, lambda path: self._fs.pipe_file(path, data))

    def send(self, file: Path, name: str) -> None:
        """A file of the disk, there as a whole or not at all."""
        self._put(name, lambda path: self._fs.put_file(str(file), path))

    def look(self, name: str) -> Seen | None:
        """A small file that is written by `put` only."""
        return self._tried(name, lambda: look(self._fs, self._path(name)))

    def put(self, name: str, data: bytes, tag: str | None = None) -> str | None:
        """A small file where there is none, or in place of the one seen with that tag: its tag. None: there is another.

        RecipeError where the store can't tell."""
        with self._in_a_bucket():
            return self._tried(name, lambda: put(self._fs, self._path(name), data, tag))

    def folders(self) -> list[str]:
        """Names of the folders directly below."""
        try:
            found = self._tried("", lambda: self._fs.ls(self._root, detail=True))
        except FileNotFoundError:
            return []
        return sorted(info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory")

    def delete(self, name: str) -> None:
        """Also where there is none."""
        with suppress(FileNotFoundError):
            self._tried(name, lambda: self._fs.rm_file(self._path(name)))
        if self._local and "/" in name:
            with suppress(OSError):
                os.rmdir(os.path.dirname(self._path(name)))  # it is in the way of nobody, but for people's eyes

    def sizes(self, folder: str) -> dict[str, int]:
        """Name below `folder` -> bytes of each file."""
        return {name: int(info["size"]) for name, info in self.found(folder).items()}

    def found(self, folder: str) -> dict[str, dict[str, Any]]:
        """Name below `folder` -> what the store says of each file; "" where it is one file itself."""
        root = self._path(folder).rstrip("/")
        try:
            found = self._tried(folder, lambda: self._fs.find(root, detail=True))
            if list(found) == [root]:
                return {"": self._tried(folder, lambda: self._fs.info(root))}
        except FileNotFoundError:
            return {}
        return {path[len(root) + 1 :]: info for path, info in found.items()}

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _put(self, name: str, put: Callable[[str], object]) -> None:
        path = self._path(name)
        if not self._local:
            with self._in_a_bucket():
                self._tried(name, lambda: put(path))
            return
        aside = f"{path}.{os.getpid()}.tmp"  # an object store shows whole files only; a disk needs a rename for it
        self._tried(name, lambda: put(aside))
        os.replace(aside, path)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        return _open(self.url)

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    @property
    def _local(self) -> bool:
        return "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def _tried(self, name: str, ask: Callable[[], T]) -> T:
        """What the store answers, asked until it does; FileNotFoundError for what isn't in it."""
        place = f"{self.shown}/{name}"
        begun, wait = time.monotonic(), BACK_OFF
        while True:
            try:
                answer = ask()
            except MlimError:
                raise
            except Exception as error:  # each protocol has classes of its own
                self._refuse(error)
                if time.monotonic() - begun + wait > (LATE if self._answered else SOON):
                    self._give_up(place, error)
            else:
                self._answered = True
                return answer
            time.sleep(wait)
            wait = min(2 * wait, LONGEST)

    @contextmanager
    def _in_a_bucket(self) -> Iterator[None]:
        """While something is written, which some stores refuse as what isn't there."""
        try:
            yield
        except FileNotFoundError:
            raise RecipeError(f"{self.shown}: {NO_BUCKET}") from None

    def _refuse(self, error: Exception) -> None:
        """Raise for what no patience mends."""
        url, kind, said = self.shown, type(error).__name__, str(error)
        if "specified bucket does not exist" in said:
            raise RecipeError(f"{url}: {NO_BUCKET}") from None
        if isinstance(error, FileNotFoundError):
            self._answered = True
            raise error
        if "range" in said.lower() and "satisfiable" in said:
            raise EOFError(said)
        if "Credential" in kind or "Anonymous caller" in said:
            raise RecipeError(f"{url}: found no credentials ({said}); {_credentials(url)}") from None
        if isinstance(error, PermissionError) or said.startswith("Forbidden"):  # gcsfs
            raise Denied(f"{url}: access denied ({said}); {_credentials(url)}") from None
        if isinstance(error, ValueError) or "ParamValidation" in kind:
            raise RecipeError(f"{url}: not an address that can be used ({said}); correct it") from None

    def _give_up(self, place: str, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if self._answered:
            raise ArtifactError(f"{place}: no answer for {LATE:.0f} seconds ({said}); run the same command again later")
        raise RecipeError(
            f"{place}: nobody answers ({said}); correct the address, the network, or the endpoint (docs/streaming.md)"
        )


def _credentials(url: str) -> str:
    if url.startswith("s3"):
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (docs/streaming.md)"
    if url.startswith(("gs", "gcs")):
        return "set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`"
    return "check who may read and write there"


def _open(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the path in it."""
    import fsspec  # a third of a second, with the protocol's own library more

    protocol = url.partition("://")[0] if "://" in url else "file"
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):  # its own retries would hide a wrong endpoint for half a minute
        theirs = fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})
        own = {"connect_timeout": 3, "read_timeout": 30, "retries": {"max_attempts": 0}}
        options["config_kwargs"] = own | theirs
    if protocol in ("file", "local"):
        options["auto_mkdir"] = True
    try:
        files, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        remedy = f"pip install mlim[{extra}]" if extra else str(error)
        raise RecipeError(f"{without_password(url)}: reading and writing {protocol}:// needs `{remedy}`") from None
    except ValueError as error:
        raise RecipeError(f"{without_password(url)}: {error}; expected s3://…, gs://…, file://… or a path") from None
    if protocol in ("s3", "s3a"):
        files.retries = 1
    return files, path.rstrip("/")


def _write(out: BinaryIO, data: bytes) -> None:
    try:
        out.write(data)
        out.flush()
    except OSError as error:
        raise ArtifactError(
            f"{out.name}: {error.strerror}; make room on that disk, or lower runtime.remote_bytes"
        ) from None
