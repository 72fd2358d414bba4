"""A listing that a model is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

# Bytes of a file; a path; as text a path, or a web address where that is allowed; pixels; or what reads the bytes.
Picture = "bytes | Path | str | Image.Image | NDArray[Any] | Callable[[], bytes]"


@dataclass(frozen=True)
class Listing:
    """One listing as its seller wrote it: nothing is cleaned yet.

    `texts` are by field: "title" and the names of `columns.text` in the recipe. A field that is missing, null or blank
    counts as none, and so does a picture that is None or can't be used.
    """

    id: str
    texts: Mapping[str, str | None] = field(default_factory=dict)
    picture: bytes | Path | str | Image.Image | NDArray[Any] | Callable[[], bytes] | None = None
    more: tuple[Path | str | bytes | Callable[[], bytes], ...] = ()  # further pictures: the first usable one is read
    feed: int | None = None  # the number of the training's feed whose own boilerplate is taken off; None: of all feeds
