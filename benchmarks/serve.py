#!/usr/bin/env python3
"""One client that asks again after each answer against 64 at once, with and without batches, on one server.

usage: python -m benchmarks.serve MODEL INDEX [--seconds 60] [--clients 64] [--path /search]

MODEL is a portable folder, INDEX what `mlim embed MODEL FEED OUT --index` left: its titles and small pictures are the
requests (one in three has words, one a picture, one both), and the clients share the cores with the server. Seven
times: one client, all of them, and all of them on a server whose batches are of one listing; then all of them for as
long as told. Ends with 1 on any answer that is no 200, and when the server grew by more than a tenth in the last round.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import polars as pl

from workbench.answers.thumbnails import Thumbnails

PAGE = os.sysconf("SC_PAGE_SIZE")
RUN = """
import sys
from functools import partial
from pathlib import Path
from workbench.serve.limits import Limits
from workbench.serve.run import Served, opened, serve, usual_workers
model, index, batch = sys.argv[1:]
served = Served(partial(opened, Path(model), "auto"), Path(index), Limits(batch=int(batch)))
serve(served, ("127.0.0.1", 0), usual_workers("auto"))
"""


@dataclass
class Round:
    """What some clients saw."""

    clients: int
    seconds: float = 0.0
    cost: float = 0.0  # seconds of the server's processors for an answer
    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)  # seconds

    @property
    def rate(self) -> float:
        return len(self.waits) / self.seconds

    def __str__(self) -> str:
        waits = sorted(self.waits)
        p50, p99 = (1000 * waits[int(share * (len(waits) - 1))] for share in (0.5, 0.99))
        return (
            f"{self.clients:3} clients {self.seconds:5.1f} s: {self.rate:7.1f} answers/s, "
            f"half within {p50:.0f} ms, 99% within {p99:.0f} ms, statuses {dict(self.statuses)}"
        )


def requests(index: Path, path: str) -> list[bytes]:
    """Whole requests, as they go over the wire."""
    small, made = Thumbnails(index), []
    for number, title in enumerate(pl.read_parquet(index / "listings.parquet")["title"]):
        asked: dict[str, object] = {}
        if number % 3 != 0 or not small.has(number):
            asked["texts"] = {"title": title}
        if number % 3 != 1 and small.has(number):
            asked["picture"] = base64.b64encode(small[number] or b"").decode()
        body = json.dumps(asked if path == "/search" else {"listings": [asked]}).encode()
        lines = (f"POST {path} HTTP/1.1", "host: a", "content-type: application/json", f"content-length: {len(body)}")
        made.append("\r\n".join((*lines, "", "")).encode() + body)
    return made


async def client(port: int, asked: list[bytes], first: int, until: float, seen: Round) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in cycle(asked[first:] + asked[:first]):
        begun = time.perf_counter()
        if begun > until:
            break
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        seen.waits.append(time.perf_counter() - begun)
        seen.statuses[int(head[9:12])] += 1
    writer.close()


def play(port: int, asked: list[bytes], clients: int, seconds: float) -> Round:
    async def all_of_them() -> None:
        until = time.perf_counter() + seconds
        gap = len(asked) // clients
        await asyncio.gather(*(client(port, asked, n * gap, until, seen) for n in range(clients)))

    seen, begun = Round(clients), time.perf_counter()
    asyncio.run(all_of_them())
    seen.seconds = time.perf_counter() - begun
    return seen


class Server:
    """A process, and those that it starts."""

    def __init__(self, model: Path, index: Path, batch: int) -> None:
        command = [sys.executable, "-c", RUN, str(model), str(index), str(batch)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout
        self.port = int(self._child.stdout.readline().rpartition(":")[2].strip().strip("/"))

    def holds(self) -> tuple[int, int, int]:
        """Bytes of memory, threads, open files."""
        memory = sum(int((proc / "statm").read_text().split()[1]) * PAGE for proc in self._processes)
        threads, files = (sum(len([*(proc / of).iterdir()]) for proc in self._processes) for of in ("task", "fd"))
        return memory, threads, files

    def cores(self) -> float:
        """Seconds of processors so far."""
        ticks = (proc.joinpath("stat").read_text().rpartition(")")[2].split()[11:13] for proc in self._processes)
        return sum(int(user) + int(system) for user, system in ticks) / os.sysconf("SC_CLK_TCK")

    @property
    def _processes(self) -> list[Path]:
        first = Path(f"/proc/{self._child.pid}")
        others = (number for task in (first / "task").iterdir() for number in (task / "children").read_text().split())
        return [first, *(Path("/proc", number) for number in others)]

    def stop(self) -> None:
        self._child.terminate()
        self._child.wait()


def told(held: tuple[int, int, int]) -> str:
    return f"{held[0] / 1e6:.0f} MB, {held[1]} threads, {held[2]} files"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--path", default="/search")
    options = parser.parse_args()
    asked, short = requests(options.index, options.path), options.seconds / 20
    batching, single = (Server(options.model, options.index, batch) for batch in (64, 1))
    rounds: list[Round] = []

    def round_of(server: Server, clients: int, seconds: float, what: str) -> Round:
        begun = server.cores()
        seen = play(server.port, asked, clients, seconds)
        seen.cost = (server.cores() - begun) / len(seen.waits)
        print(f"{what:16} {seen}, {1000 * seen.cost:.1f} ms of a processor each", flush=True)
        rounds.append(seen)
        return seen

    round_of(batching, 1, 2, "(warming up)")
    round_of(single, 1, 2, "(warming up)")
    ratios: dict[str, list[float]] = {"one client": [], "one client, processors' time": [], "no batches": []}
    for _ in range(7):
        one = round_of(batching, 1, short, "one at a time")
        many = round_of(batching, options.clients, short, "batches")
        alone = round_of(single, options.clients, short, "no batches")
        ratios["one client"].append(many.rate / one.rate)
        ratios["one client, processors' time"].append(one.cost / many.cost)
        ratios["no batches"].append(many.rate / alone.rate)
    before = batching.holds()
    round_of(batching, options.clients, options.seconds, "a minute")
    after = batching.holds()
    for what, found in ratios.items():
        print(f"against {what}: {statistics.median(found):.1f} times ({', '.join(f'{r:.1f}' for r in found)})")
    print(f"the server before and after the last round: {told(before)}; {told(after)}")
    batching.stop()
    single.stop()
    wrong = any({*seen.statuses} - {200} for seen in rounds)
    return int(wrong or after[0] > 1.1 * before[0])


if __name__ == "__main__":
    sys.exit(main())
