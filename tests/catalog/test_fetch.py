"""The Fetch stage against a server on loopback that misbehaves in every way."""

import asyncio
import gzip
import hashlib
import io
import json
import random
import signal
import ssl
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpcore2
import polars as pl
import pytest
import trustme
from PIL import Image
from rich.console import Console

from tests.catalog.web import Web, answer, serving
from workbench import __version__
from workbench.artifacts.stage import Stage
from workbench.artifacts.store import Artifact, Store
from workbench.catalog.fetch import fetch as fetching
from workbench.catalog.fetch import pace as pacing
from workbench.errors import DataError
from workbench.plan import plan_stages, run_plan
from workbench.recipe.schema import Fetch, Images, Pace, Runtime

PACE = Pace(per_host=8, per_second=1e6, idle=0.3, total=0.8, retries=1, back_off=0.01, longest=0.3)


def picture(side: int = 8, seed: int = 0, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (seed % 256, seed // 256, 99)).save(out, kind)
    return out.getvalue()


GOOD = picture()
TRUSTED = httpcore2.default_ssl_context
CACHED = cache(TRUSTED)


@pytest.fixture(autouse=True)
def one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's certificates read once for all tests, which takes as long as a test."""
    monkeypatch.setattr(httpcore2, "default_ssl_context", CACHED)


class Shop:
    """A cache, and the fetch stage over listings with these pictures."""

    def __init__(self, root: Path) -> None:
        self.cache = root / "cache"
        self.console = Console(record=True, file=io.StringIO(), width=300)

    def run(self, urls: Sequence[str | list[str] | None], images: Images | None = None, **fetch: Any) -> Artifact:
        """`urls`: the picture of each listing, or its pictures."""

        def ingest(work: Any) -> Mapping[str, Any]:
            names = [names if isinstance(names, list) else [names] for names in urls]
            lines = [(row, order, name) for row, some in enumerate(names) for order, name in enumerate(some)]
            types = {"row": pl.UInt32, "order": pl.UInt32, "name": pl.String}
            pl.DataFrame(lines, types, orient="row").write_parquet(work.folder / "pictures.parquet")
            return {}

        source = {"feed": hashlib.sha256(repr(urls).encode()).hexdigest()}
        stages = [
            Stage("ingest", 1, {}, ingest, (), source),
            fetching.stage(Fetch(**{"pace": PACE, **fetch}), images or Images()),
        ]
        steps = plan_stages(stages, Store(self.cache))
        return run_plan(steps, Runtime(cache=self.cache), self.console)["fetch"].artifact

    def bytes(self, line: Mapping[str, Any]) -> bytes:
        return (self.cache / "pictures" / line["sha256"][:2] / line["sha256"]).read_bytes()


def lines(artifact: Artifact) -> list[dict[str, Any]]:
    return pl.read_parquet(artifact.path("fetched.parquet")).to_dicts()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web()) as web:
        yield web


def outcome(shop: Shop, web: Web, made: Any, path: str = "/x.jpg", images: Images | None = None, **fetch: Any) -> Any:
    """(state, reason) of one address that is answered so."""
    web.answers[path] = made
    fetch.setdefault("allow_hosts", [f"127.0.0.1:{web.port}"])
    [line] = lines(shop.run([web.url(path)], images, **fetch))
    assert not list(shop.cache.rglob("*.tmp"))
    return line["state"], line["reason"]


def test_a_picture_comes_whole_and_is_found_by_content(shop, web):
    web.answers |= {
        "/a.jpg": answer(GOOD, etag='"v1"', last_modified="Tue, 24 Nov 2026 08:00:00 GMT"),
        "/b%20%C3%A4.jpg?w=1": answer(GOOD, content_type="text/html"),
        "/r.jpg": answer(status=302, location="/a.jpg"),
        "/c.jpg": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (GOOD[:3], len(GOOD) - 3, GOOD[3:]),
    }
    urls = [web.url(path) for path in ("/a.jpg", "/b ä.jpg?w=1", "/r.jpg", "/c.jpg")]
    names = [urls[0], "main.jpg", None, urls[1], urls[0], *urls[2:]]
    artifact = shop.run(names, allow_hosts=[f"127.0.0.1:{web.port}"], contact="shop@example.test")
    made = lines(artifact)
    assert [line["url"] for line in made] == urls
    assert {(line["state"], line["type"], line["bytes"]) for line in made} == {("fetched", "png", len(GOOD))}
    assert all(shop.bytes(line) == GOOD for line in made)
    assert (made[0]["etag"], made[0]["modified"]) == ('"v1"', "Tue, 24 Nov 2026 08:00:00 GMT")
    assert made[2]["final_url"] == urls[0]
    assert artifact.summary == {
        "addresses": 4,
        "fetched": 4,
        "absent": 0,
        "broken": 0,
        "bytes": len(GOOD),
        "reasons": {},
        "hosts": {f"127.0.0.1:{web.port}": {"fetched": 4}},
    }
    asked = web.asked[0].headers
    assert asked["user-agent"] == f"mlim/{__version__} (+shop@example.test)"
    assert asked["accept-encoding"] == "identity"
    assert asked["host"] == f"127.0.0.1:{web.port}"
    assert "cookie" not in asked and "referer" not in asked
    assert list(artifact.files) == ["fetched.parquet"]


def test_the_next_picture_where_the_first_is_not_to_be_had(shop, web):
    web.answers |= {path: answer(GOOD) for path in ("/a1", "/a2", "/b3", "/c1")}
    a, b, c, d = ([web.url(f"/{listing}{i}") for i in (1, 2, 3)] for listing in "abcd")
    allow = {"allow_hosts": [f"127.0.0.1:{web.port}"]}
    made = lines(shop.run([a, b, ["local.jpg", *c], d[:1]], **allow))
    assert [line["url"] for line in made] == [a[0], b[0], d[0], b[1], b[2]]
    assert [line["state"] for line in made] == ["fetched", "absent", "absent", "absent", "fetched"]
    every = lines(shop.run([a, b, ["local.jpg", *c], d[:1]], Images(use="all"), **allow))
    assert [line["url"] for line in every] == [*a, *b, *c, d[0]]
    assert sum(line["state"] == "fetched" for line in every) == 4


async def slow_headers(writer, request):
    for byte in b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def silence(writer, request):
    await asyncio.sleep(5)


async def slow_body(writer, request):
    writer.write(answer(GOOD)[: -len(GOOD)])
    for byte in GOOD:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless(writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD)
    while True:
        writer.write(bytes(2**16))
        await writer.drain()


async def endless_headers(writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-bomb: " + b"a" * 1000 + b"\r\n")
        await writer.drain()


async def interim(writer, request):
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def reset(writer, request):
    writer.write(answer(GOOD)[:-20])
    await writer.drain()
    writer.transport.abort()


async def truncated(writer, request):
    writer.write(answer(GOOD)[:-20])
    await writer.drain()


async def good_then_endless(writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(5)


def huge_header() -> bytes:
    """A PNG whose header says 30,000 x 30,000."""
    header = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + GOOD[24:29]
    return GOOD[:12] + header + zlib.crc32(header).to_bytes(4, "big") + GOOD[33:] + bytes(4096)


@pytest.mark.parametrize(
    ("made", "state", "reason"),
    [
        (slow_headers, "absent", "timed out"),
        (silence, "absent", "timed out"),
        (slow_body, "absent", "timed out"),
        (interim, "absent", "timed out"),
        (endless, "broken", "more bytes than fetch.max_bytes allows (0.0625 MiB)"),
        (good_then_endless, "broken", "more bytes than fetch.max_bytes allows (0.0625 MiB)"),
        (endless_headers, "absent", "not an answer by HTTP"),
        (reset, "absent", "the connection broke"),
        (truncated, "absent", "the connection broke"),
        (b"\x89PNG junk\r\n\r\n", "absent", "not an answer by HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", "absent", "not an answer by HTTP"),
        (answer(b"<!DOCTYPE html><p>log in</p>"), "broken", "a web page, not a picture"),
        (answer(b"\xef\xbb\xbf\n<!-- x --><HTML>" + b"x" * 9999), "broken", "a web page, not a picture"),
        (answer(), "broken", "zero bytes"),
        (
            answer(gzip.compress(bytes(10**6), mtime=0), content_encoding="gzip"),
            "broken",
            "sent compressed (gzip), which",
        ),
        (answer(huge_header()), "broken", "900 megapixels, more than images.max_pixels allows (100 megapixels)"),
        (answer(status=404), "absent", "404 Not Found"),
        (answer(status=403), "absent", "403 Forbidden"),
        (answer(status=204), "absent", "204 No Content"),
        (answer(status=304), "absent", "304 Not Modified"),
        (answer(status=799), "absent", "status 799"),
        (answer(status=503), "absent", "503 Service Unavailable"),
        (answer(status=429, retry_after="0"), "absent", "429 Too Many Requests"),
        (answer(status=302), "absent", "302 Found"),
        (answer(status=302, location="http://127.0.0.1/"), "absent", "its host has the address 127.0.0.1: loopback"),
        (answer(status=301, location="http://localhost/"), "absent", "its host has the address"),
        (answer(status=307, location="http://169.254.169.254/latest/"), "absent", "a cloud's metadata service"),
        (answer(status=302, location="http://[::1]/"), "absent", "its host has the address ::1: loopback"),
        (answer(status=302, location="http://[::ffff:7f00:1]/"), "absent", "an IPv4 address in disguise"),
        (answer(status=302, location="http://2130706433/"), "absent", "its host has the address 127.0.0.1: loopback"),
        (answer(status=302, location="http://127.0.0.1:22/"), "absent", "port 22, not in fetch.allow_hosts"),
        (answer(status=302, location="file:///etc/passwd"), "absent", "file address: only http and https are fetched"),
        (answer(status=302, location="/x.jpg"), "absent", "more than 5 redirects"),
    ],
)
def test_a_server_that_misbehaves(shop, web, made, state, reason):
    begun = time.monotonic()
    found = outcome(shop, web, made, max_bytes=2**16, pace=PACE.model_copy(update={"retries": 0}))
    assert found[0] == state
    assert reason in found[1]
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("body", [picture(1), b"GIF89a", b"\0" * 100, b'{"error": 1}'])
def test_what_the_images_stage_judges_is_fetched(shop, web, body):
    assert outcome(shop, web, answer(body)) == ("fetched", None)


def test_headers_that_are_not_ascii(shop, web):
    web.answers["/%C3%BC"] = answer(GOOD, etag='"\xe9"')
    moved = answer(status=302, location="/ü".encode().decode("latin-1"))  # UTF-8 on the wire
    assert outcome(shop, web, moved) == ("fetched", None)
    assert outcome(shop, web, moved, snapshot="2") == ("fetched", None)
    assert "if-none-match" not in web.asked[-1].headers


def test_comments_before_a_page_take_no_time(shop, web):
    begun = time.monotonic()
    assert outcome(shop, web, answer(b"<!---->" * 140 + b"<x" + bytes(100))) == ("fetched", None)
    assert outcome(shop, web, answer(b"<!---->" * 140 + b"<html>"), "/y") == ("broken", "a web page, not a picture")
    assert time.monotonic() - begun < 2


def test_refusals_don_t_count_against_a_host(shop, web):
    web.default = answer(GOOD)
    urls = ["http://127.0.0.1:9/"] + [f"http://127.0.0.1:{port}/" for port in range(20, 40)] + [web.url("/x")]
    made = lines(shop.run(urls, allow_hosts=[f"127.0.0.1:{web.port}"]))
    assert made[-1]["state"] == "fetched"


def test_a_length_that_is_too_short_ends_the_picture(shop, web):
    web.answers["/x.jpg"] = answer(GOOD, content_length="20")
    [line] = lines(shop.run([web.url("/x.jpg")], allow_hosts=[f"127.0.0.1:{web.port}"]))
    assert shop.bytes(line) == GOOD[:20]


def test_without_leave_loopback_is_not_asked(shop, web, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", web.url("/"))
    monkeypatch.setenv("ALL_PROXY", web.url("/"))
    urls = [web.url("/x.jpg"), "http://127.0.0.1/x.jpg", "http://localhost/y.jpg", "ftp://x.test/a.jpg", "//u@x.test/"]
    made = lines(shop.run(urls))
    assert [line["reason"].split(":")[0] for line in made] == [
        f"port {web.port}, not in fetch.allow_hosts",
        "its host has the address 127.0.0.1",
        "its host has the address 127.0.0.1" if "127" in made[2]["reason"] else "its host has the address ::1",
        "ftp address",
        "a user name in the address",
    ]
    assert web.asked == []


@pytest.mark.parametrize(
    "failing", [answer(status=500), answer(status=429, retry_after="0"), reset, truncated, silence]
)
def test_what_may_pass_is_tried_again(shop, web, failing):
    async def then_good(writer, request):
        if request.nth > 1:
            writer.write(answer(GOOD))
        elif isinstance(failing, bytes):
            writer.write(failing)
        else:
            await failing(writer, request)

    assert outcome(shop, web, then_good) == ("fetched", None)
    assert web.paths == ["/x.jpg"] * 2


def test_what_will_not_pass_is_not(shop, web):
    for status in (403, 404, 410, 501):
        outcome(shop, web, answer(status=status), f"/{status}.jpg")
    outcome(shop, web, answer(b"<html>"), "/page.jpg")
    assert len(web.asked) == len(set(web.paths)) == 5


def test_retry_after_holds_back_the_whole_host_up_to_a_limit(shop, web):
    async def busy(writer, request):
        writer.write(answer(GOOD) if request.nth > 1 else answer(status=429, retry_after="3600"))

    web.default = busy
    begun = time.monotonic()
    urls = [web.url(f"/{i}") for i in range(3)]
    made = lines(shop.run(urls, allow_hosts=[f"127.0.0.1:{web.port}"]))
    assert [line["state"] for line in made] == ["fetched"] * 3
    assert 0.3 <= time.monotonic() - begun < 1.5  # pace.longest is 0.3 s


def test_a_host_that_fails_constantly_is_given_up(shop, web):
    web.default = answer(status=503)
    pace = PACE.model_copy(update={"per_host": 1, "retries": 0})
    made = lines(shop.run([web.url(f"/{i}") for i in range(20)], allow_hosts=[f"127.0.0.1:{web.port}"], pace=pace))
    reasons = [line["reason"] for line in made]
    assert reasons.count("503 Service Unavailable") == 8 == len(web.asked)
    assert reasons.count("its host failed 8 times in a row: 503 Service Unavailable") == 12


def test_at_most_so_many_at_once_and_a_second(shop, web):
    async def busy(writer, request):
        await asyncio.sleep(0.02)
        writer.write(answer(GOOD))

    web.default = busy
    allow = [f"127.0.0.1:{web.port}"]
    urls = [web.url(f"/{i}") for i in range(20)]
    shop.run(urls, allow_hosts=allow, pace=PACE.model_copy(update={"per_host": 3}))
    assert web.most_at_once == 3
    begun = time.monotonic()
    shop.run(urls[:10], allow_hosts=allow, snapshot="2", pace=PACE.model_copy(update={"per_second": 20.0}))
    assert 0.3 < time.monotonic() - begun < 1.5


def tls(certificate: trustme.LeafCert) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_certificates(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(httpcore2, "default_ssl_context", TRUSTED)
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    past = datetime.now(UTC) - timedelta(days=2)
    for number, (certificate, state, reason) in enumerate(
        [
            (ours.issue_cert("127.0.0.1"), "fetched", None),
            (other.issue_cert("127.0.0.1"), "absent", "TLS: unable to get local issuer certificate"),
            (ours.issue_cert("127.0.0.1", not_before=past, not_after=past + timedelta(days=1)), "absent", "expired"),
            (ours.issue_cert("shop.test"), "absent", "TLS: IP address mismatch"),
        ]
    ):
        with serving(Web(default=answer(GOOD)), tls(certificate)) as web:
            url = web.url(f"/{number}", scheme="https")
            [line] = lines(shop.run([url], allow_hosts=[f"127.0.0.1:{web.port}"]))
            assert line["state"] == state
            assert (reason or "") in (line["reason"] or "")
            assert len(web.asked) == (state == "fetched")


def test_http_where_https_is_spoken(shop):
    with serving(Web(default=answer(GOOD)), tls(trustme.CA().issue_cert("127.0.0.1"))) as web:
        assert outcome(shop, web, answer(GOOD)) in (
            ("absent", "the connection broke"),
            ("absent", "not an answer by HTTP"),
        )


def test_another_snapshot_downloads_only_what_changed(shop, web):
    async def versioned(writer, request):
        same = request.headers.get("if-none-match") == '"1"' and request.path != "/2"
        etag = '"2"' if request.path == "/2" and request.nth > 1 else '"1"'
        body = picture(8, int(request.path[1:]) + 100 * request.nth)
        writer.write(answer(status=304) if same else answer(body, etag=etag))

    web.default = versioned
    urls = [web.url(f"/{i}") for i in range(4)]
    allow = {"allow_hosts": [f"127.0.0.1:{web.port}"]}
    first = lines(shop.run(urls, **allow))
    assert lines(shop.run([*urls, None], **allow)) == first  # another feed, the same snapshot: nothing is asked
    assert len(web.asked) == 4
    second = lines(shop.run(urls, snapshot="december", **allow))
    assert len(web.asked) == 8
    assert [a["sha256"] == b["sha256"] for a, b in zip(first, second, strict=True)] == [True, True, False, True]
    assert (second[2]["etag"], second[3]["etag"]) == ('"2"', '"1"')
    assert lines(shop.run([*urls, None], snapshot="december", **allow)) == second
    (shop.cache / "pictures" / first[0]["sha256"][:2] / first[0]["sha256"]).unlink()
    shop.run(urls[:1], snapshot="december", **allow)  # its bytes were lost: asked without condition
    assert "if-none-match" not in web.asked[-1].headers


def test_another_word_for_retry_asks_only_for_what_failed(shop, web):
    web.answers |= {f"/{i}": answer(picture(8, i)) for i in range(5)}
    urls = [web.url(f"/{i}") for i in range(7)]
    allow = {"allow_hosts": [f"127.0.0.1:{web.port}"]}
    assert [line["state"] for line in lines(shop.run(urls, **allow))] == ["fetched"] * 5 + ["absent"] * 2
    assert "2 are not to be had; another word for `fetch.retry` asks for them again" in shop.console.export_text()
    web.asked.clear()
    web.default = answer(GOOD)
    assert [line["state"] for line in lines(shop.run(urls, retry="again", **allow))] == ["fetched"] * 7
    assert sorted(web.paths) == ["/5", "/6"]


def test_of_hosts_of_one_s_own_it_says_what_to_do(shop, web):
    """The most common mistake with a server of one's own; no estimate is made of nothing."""
    table = lines(shop.run([web.url(f"/{i}") for i in range(30)] + ["http://127.0.0.1/x", "http://169.254.169.254/y"]))
    assert {line["state"] for line in table} == {"absent"} and web.asked == []
    said = shop.console.export_text()
    assert "none of the first 24 is to be had" in said and "to download" not in said
    host = f"127.0.0.1:{web.port}, 127.0.0.1"
    assert f"31 are at {host}, in your own network: if you trust this feed, `fetch: {{allow_hosts: [{host}]}}`" in said
    assert "1 are not to be had; another word" in said


def test_the_data_saver_stops_before_it_starts(shop, web):
    body = GOOD + bytes(10_000 - len(GOOD))
    web.default = answer(body)
    urls = [web.url(f"/{i}") for i in range(1000)]
    allow = {"allow_hosts": [f"127.0.0.1:{web.port}"]}
    with pytest.raises(DataError, match=r"fetch\.most_bytes: about 10\.0 MB to download, by 24 pictures of 1,000; exp"):
        shop.run(urls, most_bytes=9_000_000, **allow)
    assert len(web.asked) == 24
    shop.run(urls[:100], most_bytes=1_100_000, **allow)
    said = shop.console.export_text()
    assert "100 pictures at one host to fetch; 0 are here" in said
    assert "about 1.0 MB to download, by 24 pictures of 100 (fetch.most_bytes: 1.1 MB)" in said


def test_the_data_saver_stops_on_the_way(shop, web):
    web.default = answer(GOOD + bytes(1000 - len(GOOD)))
    urls = [web.url(f"/{i}") for i in range(24)]
    made = lines(shop.run(urls, most_bytes=10_000, allow_hosts=[f"127.0.0.1:{web.port}"]))
    assert [line["state"] for line in made].count("fetched") == 10
    assert {line["reason"] for line in made} == {None, "fetch.most_bytes (10,000) was reached before"}
    assert len(web.asked) <= 18


WHOLE = (
    answer(GOOD, etag='"1"', content_type="image/png"),
    answer(status=302, location="/x"),
    answer(status=503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"),
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + answer(GOOD),
)
PIECES = (
    b"\r\n",
    b"\0",
    b"\xff",
    b":",
    b"9" * 5000,
    b"-1",
    b"location: http://[\r\n",
    b"content-encoding: br\r\n",
    b"\xc2\xb2",
)


def test_any_bytes_at_all_have_an_outcome(shop, web, monkeypatch):
    async def garbled(writer, request):
        draw = random.Random(request.path)
        made = bytearray(draw.choice(WHOLE))
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(made))
            made[at : at + draw.randint(0, 4)] = draw.choice([draw.choice(PIECES), draw.randbytes(2)])
        writer.write(bytes(made))

    web.default = garbled
    monkeypatch.setattr(pacing, "GIVE_UP", 10**6)
    pace = PACE.model_copy(update={"retries": 0, "idle": 0.1})
    urls = [web.url(f"/{i}") for i in range(300)]
    artifact = shop.run(urls, allow_hosts=[f"127.0.0.1:{web.port}"], pace=pace)
    assert artifact.summary["addresses"] == 300
    assert {"not an answer by HTTP", "the connection broke"} < artifact.summary["reasons"].keys()
    assert 20 < artifact.summary["fetched"] < 200


RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from pathlib import Path
from tests.catalog.test_fetch import Shop
port, cache = int(sys.argv[1]), Path(sys.argv[2])
Shop(cache).run([f"http://127.0.0.1:{port}/{i}" for i in range(10_000)], allow_hosts=[f"127.0.0.1:{port}"])
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_and_fetches_nothing_twice(tmp_path, web, sent):
    web.default = answer(GOOD)
    killed = subprocess.Popen([sys.executable, "-c", RUN, str(web.port), str(tmp_path)], stderr=subprocess.DEVNULL)
    while len(web.asked) < 300 and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(sent)
    killed.wait()
    journal = next(tmp_path.rglob("journal.tmp"))
    first = [json.loads(line) for line in journal.read_bytes().splitlines()]
    assert 300 - PACE.per_host <= len(first) <= len(web.asked) <= len(first) + PACE.per_host
    urls = [web.url(f"/{i}") for i in range(10_000)]
    with journal.open("a") as file:  # as if it had come further
        file.writelines(json.dumps(first[0] | {"url": url}) + "\n" for url in urls[:9_800])
        file.write('{"url": "torn')
    web.asked.clear()
    artifact = Shop(tmp_path).run(urls, allow_hosts=[f"127.0.0.1:{web.port}"])
    assert artifact.summary["fetched"] == 10_000
    assert lines(artifact)[9_999]["url"] == urls[9_999]
    assert sorted(web.paths) == sorted({f"/{i}" for i in range(9_800, 10_000)} - {one["url"][-5:] for one in first})
