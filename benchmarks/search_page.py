#!/usr/bin/env python3
"""Draw docs/search.png: the search page of a running model, asked by words and one of its index's own pictures.

usage: python -m benchmarks.search_page MODEL INDEX ID WORDS [--out docs/search.png]
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image

from benchmarks.serve import Server
from tests.serve.browser import browsing

SIZE = (1180, 860)
SHOWN = "document.querySelector('#found h2') && [...document.querySelectorAll('#found img')].every(e => e.complete)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("id")
    parser.add_argument("words")
    parser.add_argument("--out", type=Path, default=Path("docs/search.png"))
    options = parser.parse_args()
    server = Server(options.model, options.index, 64)
    try:
        url = f"http://127.0.0.1:{server.port}/"
        with tempfile.TemporaryDirectory() as folder, browsing() as page:
            picture = Path(folder) / "picture.png"
            picture.write_bytes(httpx.get(f"{url}picture/{options.id}").content)
            page.open(url, *SIZE)
            page.type(options.words)
            page.drop(picture, 500, 500)
            page.until(SHOWN)
            drawn = Image.open(io.BytesIO(page.picture())).convert("RGB").quantize(255, dither=Image.Dither.NONE)
    finally:
        server.stop()
    drawn.save(options.out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
