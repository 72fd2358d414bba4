"""Ingest, fetch and duplicates by every executor: the same bytes; and a host is asked by one process at a time."""

import asyncio
import hashlib
import io
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpcore2
import numpy as np
import polars as pl
import pytest
from PIL import Image
from rich.console import Console

from tests.apart import Apart
from tests.catalog.test_next_week import artifact, listing
from tests.catalog.web import Request, Web, answer, serving
from workbench.artifacts.executor import Executor, Threads
from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Artifact
from workbench.catalog.duplicates import looks, texts
from workbench.catalog.feeds import lines
from workbench.catalog.fetch import fetch as fetching
from workbench.catalog.fetch import turns
from workbench.catalog.ingest import stage as ingest
from workbench.recipe.schema import Catalog, Columns, Feed, Fetch, Images, Pace, Runtime

TRUSTED = httpcore2.default_ssl_context()  # read once, which takes as long as a test


@pytest.fixture(params=["threads", "apart", "ray"])
def executor(request: pytest.FixtureRequest) -> Executor:
    """Whatever goes to a piece and comes back from it is pickled by the second and the third."""
    if request.param == "ray":
        return request.getfixturevalue("machines").executor()  # type: ignore[no-any-return]
    return Threads(3) if request.param == "threads" else Apart(3)


def written(folder: Path) -> dict[str, str]:
    """The digest of each file."""
    files = {path.name: path for path in folder.iterdir() if path.suffix in (".parquet", ".json", ".csv")}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(files.items())}


def run(made: Stage, folder: Path, executor: Executor, inputs: Mapping[str, Artifact] | None = None) -> Any:
    """What the stage says, and the digest of each file that it writes."""
    folder.mkdir()
    runtime, console = Runtime(cache=folder / "cache"), Console(file=io.StringIO())
    said = made.run(Work(folder, inputs or {}, runtime, console, folder / "log", executor=executor))
    return said, written(folder)


def test_ingest(tmp_path: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", lines.FIRST)
    said = "Free shipping on all our orders. " * 2
    rows = (
        f"{i % 2900},<b>Mug</b> &amp; lid {i},{said * (i % 3 > 0)}Lid {i}. {'Made of oak. ' * 30}\n"
        for i in range(3000)
    )
    (tmp_path / "a.csv").write_text("id,title,text\n" + "".join(rows))
    (tmp_path / "b.jsonl").write_text('{"sku": "x", "name": "Cup"}\n{broken\n')
    one, two = Columns(id="id", title="title", text={"text": "text"}), Columns(id="sku", title="name")
    feeds = (Feed(path=tmp_path / "a.csv", columns=one), Feed(path=tmp_path / "b.jsonl", columns=two))
    made = ingest(Catalog(feeds=feeds), {})
    expected = run(made, tmp_path / "alone", Threads(1))
    assert expected[0]["listings"] == 2901 and expected[0]["dropped"] == 101 and expected[0]["boilerplate"]
    assert run(made, tmp_path / "out", executor) == expected
    assert not isinstance(executor, Apart) or executor.pieces > 4


def test_duplicates(tmp_path: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (looks, "SIGNED", 30),
        (looks, "FITTED", 50),
        (looks, "AT_ONCE", 40),
        (texts, "SIGNED_AT_ONCE", 25),
        (texts, "READ_AT_ONCE", 20),
        (looks, "CROWD", 3),
        (texts, "CROWD", 2),
    ):
        monkeypatch.setattr(module, name, value)
    draw = np.random.default_rng(2)
    first = [listing(draw, i) for i in range(80)]
    then = [*first[9:], *(listing(draw, 100 + i) for i in range(9))]
    found = {}
    for name, by in (("alone", Threads(1)), ("pieces", executor)):
        earlier = artifact(tmp_path / name, first, "0", None, executor=by)
        later = artifact(tmp_path / name, then, "1", earlier, executor=by)
        found[name] = [(one.files, one.summary) for one in (earlier, later)]
    assert found["pieces"] == found["alone"]
    assert found["alone"][1][1]["compared_pictures"] > 50 and sum(found["alone"][1][1]["pairs"].values()) > 10


class Hosts(Web):
    """Two hosts: pictures, those to which the first host's redirect, and some that are not to be had."""

    def __init__(self) -> None:
        super().__init__(default=self.busy)
        self.now, self.most = Counter[str](), Counter[str]()

    async def busy(self, writer: asyncio.StreamWriter, request: Request) -> None:
        host = request.headers["host"].partition(":")[0]
        self.now[host] += 1
        self.most[host] = max(self.most[host], self.now[host])
        await asyncio.sleep(0.01)
        number = int(request.path[1:])
        made = answer(png(number % 7), etag=f'"{number}"', connection="close")
        if number % 5 == 0 and host == "127.0.0.1":
            made = answer(status=302, location=self.url(request.path, "localhost"), connection="close")
        elif number % 11 == 0:
            made = answer(status=410, connection="close")
        self.now[host] -= 1
        writer.write(made)
        await writer.drain()


def png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (seed, 9, 9)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setattr(httpcore2, "default_ssl_context", lambda: TRUSTED)
    monkeypatch.setattr(turns, "PICTURES", 6)
    with serving(Hosts()) as web:
        yield web  # type: ignore[misc]


def fetched(folder: Path, urls: list[str], executor: Executor, port: int, **how: Any) -> Any:
    """As `run`, of the stage with a picture a listing; and the names of what is in the cache."""
    named = folder.with_name(f"{folder.name} ingest")
    named.mkdir()
    table = pl.DataFrame({"row": range(len(urls)), "order": [0] * len(urls), "name": urls})
    table.write_parquet(named / "pictures.parquet")
    size = (named / "pictures.parquet").stat().st_size
    inputs = {"ingest": Artifact(named, "ingest", "0" * 64, {}, {}, {"pictures.parquet": {"bytes": size}})}
    allowed = (f"127.0.0.1:{port}", f"localhost:{port}")
    pace = Pace(**{"per_host": 2, "per_second": 1e6, "retries": 0, **how.pop("pace", {})})
    made = fetching.stage(Fetch(allow_hosts=allowed, pace=pace, **how), Images())
    said = run(made, folder, executor, inputs)
    return said, sorted(path.name for path in (folder / "cache" / "pictures").glob("*/*"))


def test_fetch(tmp_path: Path, executor: Executor, hosts: Hosts) -> None:
    urls = [hosts.url(f"/{i}", ("127.0.0.1", "localhost")[i % 3 == 0]) for i in range(60)]
    expected = fetched(tmp_path / "alone", urls, Threads(1), hosts.port)
    assert expected[0][0]["fetched"] == 54 and len(expected[1]) == 7
    asked = sorted(hosts.paths)
    hosts.asked.clear()
    assert fetched(tmp_path / "out", urls, executor, hosts.port) == expected
    assert sorted(hosts.paths) == asked  # nothing twice, and what was redirected once at each host
    assert hosts.most == {"127.0.0.1": 2, "localhost": 2}


def test_a_turn_knows_how_its_hosts_fared_in_the_last(tmp_path: Path, hosts: Hosts) -> None:
    hosts.default = answer(status=500)
    (said, _), _ = fetched(tmp_path / "out", [hosts.url(f"/{i}") for i in range(40)], Apart(3), hosts.port)
    assert said["absent"] == 40 and len(hosts.asked) <= 8 + 1
    assert any("failed 8 times in a row" in reason for reason in said["reasons"])


def test_the_pace_of_a_host_is_one_for_all_turns(tmp_path: Path, hosts: Hosts) -> None:
    begun = time.monotonic()
    fetched(tmp_path / "out", [hosts.url(f"/{i}") for i in range(24)], Apart(3), hosts.port, pace={"per_second": 40})
    assert time.monotonic() - begun > 0.4  # 23 / 40, but for a tenth that is caught up with; 0.2 if each began anew


def test_turns_keep_what_may_be_downloaded(tmp_path: Path, hosts: Hosts) -> None:
    hosts.default = answer(png(1) + bytes(1000 - len(png(1))))
    urls = [hosts.url(f"/{i}") for i in range(24)]
    (said, _), _ = fetched(tmp_path / "out", urls, Apart(3), hosts.port, most_bytes=10_000)
    assert 8 <= said["fetched"] <= 10 and said["fetched"] + said["absent"] == 24
    assert said["reasons"] == {"fetch.most_bytes (10,000) was reached before": said["absent"]}
