"""The body of a request -> the listings that it asks about, checked against what the model reads and the limits."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from workbench.serve.asked import Asked, Listing
from workbench.serve.limits import Limits, Refused

A = TypeVar("A", bound=Asked)
FORM = "multipart/form-data"
NAME = re.compile(r"(?:(left|right)\.)?(?:(texts)\.)?(.*)", re.DOTALL)  # of a form's field
URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class Item:
    """A listing to answer for."""

    where: str  # in the request: what stands before the name of a field
    id: str
    texts: Mapping[str, str | None]
    picture: bytes | Callable[[], bytes] | None = None  # what gives the bytes raises ValueError where they are none
    url: str | None = None

    def with_picture(self, data: bytes) -> Item:
        return replace(self, picture=data, url=None)

    @classmethod
    def of(cls, listing: Listing, where: str, picture: bytes | None = None) -> Item:
        text = listing.picture
        given = picture if text is None or picture is not None else partial(from_base64, text)
        return cls(where, listing.id, listing.texts, given, listing.picture_url)


def from_base64(text: str) -> bytes:
    """Of base64 or a data: URL. Raises ValueError."""
    text = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(text.split()).translate(URL_SAFE), validate=True)
    except ValueError as error:
        raise ValueError(f"not base64: {error}") from None


def read_json(body: bytes, model: type[A]) -> A:
    """Raises Refused with the first field at fault."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None


async def read_form(body: bytes, headers: Headers, model: type[A], limits: Limits) -> tuple[A, dict[str, bytes]]:
    """A form whose names are those of the JSON, as texts.title, and its files by name."""
    texts, files = await _parts(body, headers, limits)
    tree: dict[str, Any] = {}
    for name in (*files, *texts):
        *path, last = (part for part in NAME.fullmatch(name).groups() if part is not None)  # type: ignore[union-attr]
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise Refused(422, f"{part} has a value of its own", name)
        if name in texts:
            inner[last] = texts[name]
    try:
        return model.model_validate_strings(tree), files
    except ValidationError as error:
        raise _refused(error) from None


async def _parts(body: bytes, headers: Headers, limits: Limits) -> tuple[dict[str, str], dict[str, bytes]]:
    if not body.rstrip().endswith(b"--"):
        raise Refused(422, "the form's end is missing")

    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = MultiPartParser(headers, stream(), max_files=2, max_fields=50, max_part_size=limits.body)  # type: ignore[arg-type]
    parser.spool_max_size = limits.body  # no file goes to the disk
    try:
        parsed = await parser.parse()
    except (MultiPartException, ValueError) as error:
        raise Refused(422, f"a form that can't be read: {getattr(error, 'message', error)}") from None
    found: dict[str, Any] = {}
    for name, value in parsed.multi_items():
        if name in found:
            raise Refused(422, "given twice", name)
        if not isinstance(value, UploadFile):
            found[name] = value
        elif value.filename or value.size:  # else a browser's field in which no file was chosen
            found[name] = value.file.read()
    await parsed.close()
    files = {name: value for name, value in found.items() if isinstance(value, bytes)}
    return {name: value for name, value in found.items() if name not in files}, files


def _refused(error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    return Refused(422, first["msg"], field.lstrip(".") or None)


def check(items: Sequence[Item], sent: Mapping[str, bytes], fields: Sequence[str], limits: Limits, urls: bool) -> None:
    """Raises Refused for the first field that this model doesn't know, or that is too long or not allowed."""
    if unknown := sent.keys() - {f"{item.where}picture" for item in items}:
        raise Refused(422, "a file that nothing was asked about", min(unknown))
    if len(items) > limits.listings:
        raise Refused(422, f"{len(items)} listings, more than {limits.listings}", items[-1].where.rstrip(".") or None)
    for item in items:
        for name, text in item.texts.items():
            if name not in fields:
                known = ", ".join(fields)
                raise Refused(422, f"not a text that this model reads: {known}", f"{item.where}texts.{name}")
            if text and len(text) > limits.text:
                raise Refused(422, f"{len(text)} characters, more than {limits.text:,}", f"{item.where}texts.{name}")
        if item.url is not None:
            if not urls:
                raise Refused(422, "this server fetches no pictures by web address", f"{item.where}picture_url")
            if item.picture is not None:
                raise Refused(422, "give either picture or picture_url", f"{item.where}picture_url")
