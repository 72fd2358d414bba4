"""Writes that an object store does only if nobody else did: locks and commits are made of them, since it can't rename.

s3://           PutObject with If-None-Match or If-Match: the store decides
gs://           an upload with ifGenerationMatch: the store decides
other stores    fsspec's mode `create`; what is to be replaced is looked at a moment before
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from workbench.errors import RecipeError

NO_CONDITIONS = (
    "this store knows no conditional writes (If-None-Match, If-Match), of which locks and commits are made; update its "
    "server, or give runtime.cache a disk and copy the data there by `mlim push`"
)
REFUSED = (409, 412)  # somebody writes it now; it is another one


@dataclass(frozen=True)
class Seen:
    """A small file as it was at a moment."""

    data: bytes
    tag: str  # another one for each content
    age: float  # seconds since it was written, at least, by the store's clock; 0 where it tells none


def look(fs: Any, path: str) -> Seen | None:
    """What is there, or None."""
    try:
        if _speaks(fs, "s3"):
            from fsspec.asyn import sync

            return Seen(*sync(fs.loop, _get_s3, fs, path))
        if _speaks(fs, "gs"):
            headers, data = fs.call("GET", fs.url(path))
            return Seen(data, headers.get("X-Goog-Generation", ""), _age(headers, headers.get("Last-Modified")))
        data = fs.cat_file(path)
        return Seen(data, _tag(data), 0.0)
    except FileNotFoundError:
        return None


def put(fs: Any, path: str, data: bytes, tag: str | None) -> str | None:
    """Write a file where there is none (`tag` None), or in place of the one of that tag: the new tag; None where there
    is another one. A write whose answer was lost is done all the same when it is tried again."""
    by = _put_s3 if _speaks(fs, "s3") else _put_gs if _speaks(fs, "gs") else _put
    if done := by(fs, path, data, tag):
        return done
    there = look(fs, path)
    return there.tag if there and there.data == data else None


async def _get_s3(fs: Any, path: str) -> tuple[bytes, str, float]:
    answer = await fs._call_s3("get_object", **_key(fs, path))
    async with answer["Body"] as body:
        data = await body.read()
    return data, answer["ETag"], _age(answer["ResponseMetadata"]["HTTPHeaders"], answer["LastModified"])


def _age(headers: Mapping[str, str], changed: datetime | str | None) -> float:
    told = parsedate_to_datetime(changed) if isinstance(changed, str) else changed
    now = headers.get("date") or headers.get("Date")
    return max(0.0, (parsedate_to_datetime(now) - told).total_seconds() - 1) if now and told else 0.0  # whole seconds


def _put_s3(fs: Any, path: str, data: bytes, tag: str | None) -> str | None:
    condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
    try:
        return str(fs.call_s3("put_object", **_key(fs, path), Body=data, **condition)["ETag"])
    except FileNotFoundError:
        if tag is None:  # no such bucket
            raise
        return None
    except Exception as error:
        if _status(error) in REFUSED:
            return None
        if _status(error) == 501:
            raise RecipeError(f"s3://{path}: {NO_CONDITIONS}") from None
        raise


def _put_gs(fs: Any, path: str, data: bytes, tag: str | None) -> str | None:
    bucket, key, _ = fs.split_path(path)
    part = "--==0==\r\nContent-Type: {}\r\n\r\n"
    head = f"{part.format('application/json')}{json.dumps({'name': key})}\r\n{part.format('application/octet-stream')}"
    try:
        answer = fs.call(
            "POST",
            f"{fs._location}/upload/storage/v1/b/{quote(bucket)}/o",
            uploadType="multipart",
            ifGenerationMatch=tag or "0",
            headers={"Content-Type": 'multipart/related; boundary="==0=="'},
            data=head.encode() + data + b"\r\n--==0==--",
            json_out=True,
        )
    except FileExistsError:  # 412
        return None
    except FileNotFoundError:
        if tag is None:  # no such bucket
            raise
        return None
    return str(answer["generation"])


def _put(fs: Any, path: str, data: bytes, tag: str | None) -> str | None:
    if tag is not None and ((there := look(fs, path)) is None or there.tag != tag):
        return None
    try:
        fs.pipe_file(path, data, mode="create" if tag is None else "overwrite")
    except FileExistsError:
        return None
    return _tag(data)


def _speaks(fs: Any, protocol: str) -> bool:
    return protocol in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def _key(fs: Any, path: str) -> dict[str, str]:
    bucket, key, _ = fs.split_path(path)
    return {"Bucket": bucket, "Key": key}


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _status(error: BaseException | None) -> int | None:
    """Of the answer that s3fs made an error of."""
    while error is not None:
        if response := getattr(error, "response", None):
            return int(response["ResponseMetadata"]["HTTPStatusCode"])
        error = error.__cause__
    return None
