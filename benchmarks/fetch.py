"""Small pictures from a server on loopback: the fetch stage against urllib in threads, in one run.

python benchmarks/fetch.py [PICTURES]     default 5,000 of 20 kB; the server is a process of its own
"""

from __future__ import annotations

import http.server
import io
import multiprocessing
import resource
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
from rich.console import Console

from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Store
from workbench.catalog.fetch import fetch
from workbench.plan import plan_stages, run_plan
from workbench.recipe.schema import Fetch, Images, Pace, Runtime

THREADS = 32
BODY = b"\x89PNG\r\n\x1a\n" + bytes(20_000)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = BODY + self.path.encode()
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # as usual servers take; http.server's 5 makes threads wait for whole seconds


def serve(told: Connection) -> None:
    server = Server(("127.0.0.1", 0), Handler)
    told.send(server.server_port)
    server.serve_forever()


def ours(urls: list[str], cache: Path) -> None:
    def ingest(work: Work) -> dict[str, int]:
        types = {"row": pl.UInt32, "order": pl.UInt32, "name": pl.String}
        lines = {"row": range(len(urls)), "order": [0] * len(urls), "name": urls}
        pl.DataFrame(lines, types).write_parquet(work.folder / "pictures.parquet")
        return {}

    host = urls[0].split("/")[2]
    pace = Pace(per_host=THREADS, per_second=1e6)
    stages = [Stage("ingest", 1, {}, ingest), fetch.stage(Fetch(allow_hosts=(host,), pace=pace), Images())]
    made = run_plan(plan_stages(stages, Store(cache)), Runtime(cache=cache), Console(file=io.StringIO()))
    assert made["fetch"].artifact.summary["fetched"] == len(urls)


def theirs(urls: list[str], folder: Path) -> None:
    def get(i: int) -> None:
        with urllib.request.urlopen(urls[i], timeout=10) as answer:
            (folder / str(i)).write_bytes(answer.read())

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(get, range(len(urls))))


def main() -> None:
    pictures = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    urls = [f"http://127.0.0.1:{port}/{i}.png" for i in range(pictures)]
    seconds = {}
    for name, run in (("mlim", ours), ("urllib", theirs)):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            run(urls, Path(folder))
            seconds[name] = time.perf_counter() - begun
    for name, spent in seconds.items():
        print(f"{name:8} {pictures / spent:8,.0f} pictures/s")
    print(f"ratio    {seconds['urllib'] / seconds['mlim']:8.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
