"""Formats of what outlives a version of mlim: artifacts, checkpoints, models, indices.

Each tells the number of its format in a JSON file; one that tells none is of the first. An older one is read as it is,
what came later by its default. A newer one is refused: what it means isn't known here, and nothing is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from workbench import __version__
from workbench.errors import ArtifactError

NEWEST = 1  # of each of them, so far


def check_format(told: Mapping[str, Any], place: object, otherwise: str) -> None:
    """Raises ArtifactError where what is `told` at a place is of a format that this version doesn't read; `otherwise`
    says what can be done but upgrading."""
    found = told.get("format", 1)
    if found not in range(1, NEWEST + 1):
        raise ArtifactError(
            f"{place}: format {found}, made by a newer mlim than {__version__}, which reads {NEWEST}; upgrade mlim, or "
            f"{otherwise}"
        )


@contextmanager
def as_written_here(place: object) -> Iterator[None]:
    """ArtifactError in place of what goes wrong where something has other fields than this version writes."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # pydantic's is a ValueError
        raise ArtifactError(
            f"{place}: not as mlim {__version__} writes it ({shorten(str(error), 200)}); made by another version, or "
            "damaged: make it again, or use it with the version that made it"
        ) from None
