"""Addresses in object storage on the command line: what is read is copied here first, OUT is sent there at the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import IO, Any

from workbench.errors import DataError
from workbench.recipe.places import READ, WRITTEN, path_of, shown, usual_scratch

_WAS_URL = re.compile(r"(\w[\w+.-]+):/(?!/)")  # what a Path makes of s3://


@contextmanager
def stored(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments of a command, addresses among them as paths; what is printed meanwhile tells addresses again.

    Raises DataError for an address of no object store, and what Bucket raises.
    """
    paths = {name: _path(name, value) for name, value in given.items() if _is_url(value)}
    if paths:
        from workbench.artifacts.mirror import bring
        from workbench.artifacts.outbox import deliver, prepare

        for name, path in paths.items():
            prepare(path) if name == "out" else bring(path)
    with redirect_stdout(_Told(sys.stdout)):
        yield {**given, **paths}
    if "out" in paths:
        deliver(paths["out"])


def _is_url(value: object) -> bool:
    return isinstance(value, Path) and _WAS_URL.match(str(value)) is not None


def _path(name: str, value: Path) -> Path:
    try:
        return path_of(_WAS_URL.sub(r"\1://", str(value)), usual_scratch(), WRITTEN if name == "out" else READ)
    except ValueError as error:
        raise DataError(str(error)) from None


class _Told:
    """Prints addresses in place of the paths of their copies."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(shown(text) if ".mlim/" in text else text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)
