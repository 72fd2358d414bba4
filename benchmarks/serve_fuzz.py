#!/usr/bin/env python3
"""Malformed requests to a server: no 500, no traceback, every refusal with its reason, nothing that stays behind.

usage: python -m benchmarks.serve_fuzz MODEL INDEX [--requests 10000] [--seed 0]

A third is made by schemathesis from the server's own OpenAPI, half of it as allowed and half as forbidden; a third are
bodies of JSON and forms with bytes flipped, cut, doubled; a third are pictures of the worst kinds, mutated, by JSON and
by form. In between: sockets that send half a request and go. Ends with 1 for a status of 500, an answer that is no
JSON, and for memory, threads or files that grew since the first fifth.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import socket
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis import GenerationMode

from benchmarks.fuzz import mutated
from benchmarks.serve import Server, told

EXPECTED = {200, 400, 404, 405, 408, 411, 413, 414, 415, 422, 431, 503, 504}
BODIES = {
    "/search": {"texts": {"title": "red mug"}, "k": 3},
    "/embed": {"listings": [{"id": "1", "texts": {"title": "red"}}, {"texts": {"title": None}}]},
    "/predict": {"listings": [{"texts": {"title": "red"}}], "tasks": None},
    "/match": {"pairs": [{"left": {"texts": {"title": "red"}}, "right": {"texts": {}}}]},
}
FORM = (
    b'--b\r\ncontent-disposition: form-data; name="texts.title"\r\n\r\nred\r\n--b\r\ncontent-disposition: form-data; '
    b'name="picture"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n%s\r\n--b--\r\n'
)
HALVES = (
    b"GET / HTTP/1.1\r\n",
    b"POST /search HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
    b"POST /search HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /search HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, packed: bytes = b"") -> bytes:
    """A PNG that says it is of this size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed or zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def pictures() -> list[bytes]:
    """The kinds that troubled readers of pictures: to start from."""
    image = Image.radial_gradient("L").convert("RGB").resize((90, 60))
    frames = [Image.new("RGB", (40, 40), (n * 20, 0, 0)) for n in range(12)]
    kinds = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "ICO", "TGA", "PPM")
    return [
        *(encoded(image, kind) for kind in kinds),
        encoded(image, "JPEG", progressive=True),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        encoded(image.convert("P"), "PNG", transparency=0),
        encoded(Image.new("I;16", (50, 50)), "PNG"),
        encoded(Image.new("1", (5000, 5000)), "PNG"),  # 25 megapixels in 3 kB
        encoded(Image.new("RGB", (1, 1)), "PNG"),
        encoded(Image.new("RGB", (1, 4000)), "PNG"),
        *(bomb(*size) for size in ((2**31 - 1, 2**31 - 1), (50_000, 50_000), (0, 0), (6000, 6000))),
        b"",
        bytes(1000),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><html>404",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"PK\3\4" + bytes(100),
        b"P6 999999 999999 255\n",
        b"II*\0" + b"\xff" * 60,
        b"\0\0\0\x1cftypavif" + bytes(60),
    ]


def mutations(seed: int, known: list[bytes]) -> Iterator[bytes]:
    draw = random.Random(seed)
    while True:
        data = draw.choice(known)
        yield data if draw.random() < 0.1 else mutated(draw, data, draw.choice(known))


class Fuzz:
    """Sends requests and looks at what comes back."""

    def __init__(self, url: str) -> None:
        self.url, self.client = url, httpx.Client(base_url=url, timeout=60)
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    def look(self, status: int, body: bytes, asked: object) -> None:
        self.statuses[status] += 1
        ok = status in EXPECTED and b"Traceback" not in body
        if status in (413, 415, 422, 503, 504):
            ok = ok and all(error["reason"] for error in json.loads(body)["errors"])
        if not ok:
            self.wrong.append(f"{status}: {body[:300]!r} of {str(asked)[:600]}")

    def post(self, path: str, body: bytes, type: str) -> None:
        response = self.client.post(path, content=body, headers={"content-type": type})
        self.look(response.status_code, response.content, (path, type, body))

    def by_schema(self, requests: int, seed: int) -> None:
        schema = schemathesis.openapi.from_dict(self.client.get("/openapi.json").json())
        operations = [found.ok() for found in schema.get_all_operations()]
        for operation in operations:
            for mode in GenerationMode:
                self._cases(operation.as_strategy(generation_mode=mode), requests // len(operations) // 2, seed)

    def _cases(self, strategy: Any, most: int, seed: int) -> None:
        @seeded(seed)
        @settings(
            max_examples=max(1, most),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(case=strategy)
        def run(case: Any) -> None:
            response = case.call(base_url=self.url)
            self.look(response.status_code, response.content, case.as_curl_command())

        with suppress(Unsatisfiable):  # nothing can be wrong with a path that takes nothing
            run()

    def bodies(self, requests: int, seed: int) -> None:
        """Of JSON and of forms, mutated."""
        known = {path: json.dumps(body).encode() for path, body in BODIES.items()}
        draw, form = random.Random(seed), mutations(seed, [FORM % encoded(Image.new("RGB", (9, 9)), "PNG")])
        texts = {path: mutations(seed, [body, *known.values()]) for path, body in known.items()}
        for number in range(requests):
            path = draw.choice([*known])
            if number % 3:
                self.post(path, next(texts[path]), "application/json")
            else:
                self.post(path, next(form), "multipart/form-data; boundary=b")
            if number % 50 == 0:
                self.half(HALVES[number // 50 % len(HALVES)])

    def pictures(self, requests: int, seed: int) -> None:
        for number, data in zip(range(requests), mutations(seed, pictures()), strict=False):
            if number % 2:
                self.post(
                    "/search", json.dumps({"picture": base64.b64encode(data).decode()}).encode(), "application/json"
                )
            else:
                self.post("/embed", FORM % data, "multipart/form-data; boundary=b")

    def half(self, data: bytes) -> None:
        """A client that goes in the middle."""
        with socket.create_connection((self.client.base_url.host, self.client.base_url.port or 80)) as other:
            other.sendall(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    server = Server(options.model, options.index, 64)
    try:
        fuzz = Fuzz(f"http://127.0.0.1:{server.port}")
        steps: list[Callable[[int, int], None]] = [fuzz.by_schema, fuzz.bodies, fuzz.pictures]
        before = None
        for round, share in enumerate((0.2, 0.8)):
            for step in steps:
                step(int(options.requests * share / len(steps)), options.seed + round)
                print(f"{step.__name__}: {sum(fuzz.statuses.values()):,} requests, {told(server.holds())}", flush=True)
            before = before or server.holds()
        fuzz.client.close()
        after = server.holds()
    finally:
        server.stop()
    print(*fuzz.wrong[:5], sep="\n")
    print(f"{sum(fuzz.statuses.values()):,} requests: {len(fuzz.wrong)} wrong; {dict(sorted(fuzz.statuses.items()))}")
    print(f"after a fifth {told(before)}; at the end {told(after)}")
    grew = after[0] > 1.15 * before[0] or after[1] > before[1] or after[2] > before[2] + 3
    return int(bool(fuzz.wrong) or grew)


if __name__ == "__main__":
    sys.exit(main())
