"""Addresses in object storage as paths of this machine, and back.

    s3://shop/june/feed.csv   <->   SCRATCH/objects.mlim/s3/shop/june/feed.csv    what is read (artifacts/mirror.py)
    s3://shop/reports         <->   SCRATCH/written.mlim/s3/shop/reports          what is written (artifacts/outbox.py)

So whoever reads or writes a file deals with paths alone, and a path tells its address, in any process.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

READ, WRITTEN = "objects.mlim", "written.mlim"
_URL = re.compile(r"(\w[\w+.-]*)://(.*)", re.DOTALL)
_PATH = re.compile(rf"[^\s'\"(]*/(?:{re.escape(READ)}|{re.escape(WRITTEN)})/([\w+.-]+)/")
_NO_STORE = ("http", "https", "ftp")


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


def usual_scratch() -> Path:
    """Where copies lie if a recipe doesn't say it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "mlim"


def path_of(url: str, scratch: Path, kind: str = READ) -> Path:
    """The path of an address. Raises ValueError for one that is none of an object store."""
    found = _URL.match(url)
    protocol, rest = found.groups() if found else ("", "")
    if protocol == "file":
        return Path(f"/{rest.lstrip('/')}")
    below = posixpath.normpath(rest).lstrip("/")
    if protocol in _NO_STORE or below in ("", ".") or below.startswith(".."):
        raise ValueError(f"expected a path, or an address in an object store such as s3://bucket/folder, found {url!r}")
    return scratch / kind / protocol / below


def url_of(path: Path | str, kind: str = READ) -> str | None:
    """The address of such a path; None for any other."""
    _, mark, rest = str(path).partition(f"/{kind}/")
    protocol, slash, below = rest.partition("/")
    return f"{protocol}://{below}" if mark and slash else None


def shown(text: object) -> str:
    """A text for people: paths of copies in it are the addresses of what they are copies of."""
    return _PATH.sub(r"\1://", str(text))
