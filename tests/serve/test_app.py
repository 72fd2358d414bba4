import asyncio
import base64
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from tests.catalog.web import Web as Site
from tests.catalog.web import answer
from tests.catalog.web import serving as site_of
from tests.serve.fake import Answers, Index, png, serving
from workbench.serve.app import make_app
from workbench.serve.limits import Limits
from workbench.serve.service import Service
from workbench.serve.web import Web

LIMITS = Limits(body=1 << 20, pixels=1_000_000, listings=4, results=5, text=100, waiting=8, batch=4, seconds=1.0)


@pytest.fixture
def model():
    return Answers()


@pytest.fixture
def client(model):
    with serving(make_app(Service(model, Index(), LIMITS))) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def told(response: httpx.Response) -> tuple[int, str | None, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["field"], error["reason"]


def test_labels_by_json_and_by_a_form(client):
    asked = {"listings": [{"id": "7", "texts": {"title": "red mug", "brand": None}}, {"picture": b64(png("blue"))}]}
    first, second = client.post("/predict", json=asked).json()["answers"]
    labels = {"classify": {"colour": "red", "colour.probability": 1.0}}
    assert first == {"id": "7", "picture": "absent", "tasks": labels}
    assert (second["picture"], second["tasks"]["classify"]["colour"]) == ("present", "blue")
    form = client.post("/predict", data={"id": "7", "texts.title": "red mug"}, files={"picture": png("black")})
    assert form.json()["answers"] == [first | {"picture": "present"}]
    assert told(client.post("/predict", json=asked | {"tasks": ["fill"]}))[:2] == (422, "tasks[0]")


def test_where_there_is_nothing_to_read_there_is_no_answer(client):
    asked = {"listings": [{"texts": {"title": "red"}}, {}, {"texts": {"title": "!?"}}]}
    labels = client.post("/predict", json=asked).json()["answers"]
    assert [each["tasks"]["classify"] is None for each in labels] == [False, True, True]
    points = client.post("/embed", json=asked).json()["answers"]
    assert [each["embedding"] is None for each in points] == [False, True, True]
    pair = {"left": {"texts": {"title": "red"}}, "right": {}}
    (match,) = client.post("/match", json={"pairs": [pair]}).json()["answers"]
    assert match == {"probability": None, "match": None, "pictures": ["absent", "absent"]}
    assert "nothing is left to look for" in told(ask(client, "!?"))[2]


def test_matches(client):
    pair = {"left": {"texts": {"title": "red"}}, "right": {"picture": f"data:image/png;base64,{b64(png('red'))}"}}
    other = {"left": {"texts": {"title": "red"}}, "right": {"texts": {"title": "blue"}}}
    same, differs = client.post("/match", json={"pairs": [pair, other]}).json()["answers"]
    assert same == {"probability": 1.0, "match": True, "pictures": ["absent", "present"]}
    assert differs == {"probability": 0.0, "match": False, "pictures": ["absent", "absent"]}
    form = client.post("/match", data={"left.texts.title": "red"}, files={"right.picture": png("red")})
    assert form.json()["answers"] == [same]


def test_points_and_search(client):
    asked = {"listings": [{"texts": {"title": "red blue"}}]}
    point = client.post("/embed", json=asked).json()["answers"][0]["embedding"]
    np.testing.assert_allclose(point, [0.5**0.5, 0, 0.5**0.5], atol=1e-6)
    found = client.post("/search", json={"texts": {"title": "green"}, "k": 2}).json()
    assert found["results"][0] == {
        "id": "g 2",
        "title": "Green <b>kite</b>",
        "score": 1.0,
        "picture": "picture/g%202",
    }
    assert client.post("/search", json={"picture": b64(png("blue"))}).json()["results"][0]["id"] == "b3"
    assert client.get("/picture/r%2F1").content == png("red")
    assert client.get("/picture/r%2F1").headers["content-type"] == "image/png"
    assert told(client.get("/picture/b3"))[0] == 404


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"texts": {"titel": "a"}}, "texts.titel", "not a text that this model reads: title, brand"),
        ({"texts": {"title": "a" * 101}}, "texts.title", "101 characters, more than 100"),
        ({"texts": {"title": 5}}, "texts.title", "valid string"),
        ({"texts": {"title": " "}}, "texts", "nothing to search for"),
        ({"texts": {"title": "a"}, "k": 6}, "k", "at most 5"),
        ({"texts": {"title": "a"}, "k": 0}, "k", "greater than or equal to 1"),
        ({"texts": {"title": "a"}, "n": 1}, "n", "Extra inputs"),
        ({"picture": "§§"}, "picture", "not base64"),
        ({"picture": ""}, "picture", "zero bytes"),
        ({"picture": b64(b"hallo")}, "picture", "a text file, not a picture"),
        ({"picture": b64(png("red", (300, 300))[:200])}, "picture", "truncated PNG"),
        ({"picture": b64(png("red", (2000, 501)))}, "picture", "1.002 megapixels, more than this server allows"),
        ({"picture_url": "http://a.test/1.jpg"}, "picture_url", "this server fetches no pictures"),
    ],
)
def test_what_is_wrong_is_named(client, body, field, reason):
    status, at, why = told(client.post("/search", json=body))
    assert (status, at) == (422, field)
    assert reason in why


def test_a_place_among_listings_is_named(client):
    good = {"texts": {"title": "red"}}
    field = told(client.post("/embed", json={"listings": [good, {"picture": b64(b"x")}]}))[1]
    assert field == "listings[1].picture"
    pairs = {"pairs": [{"left": good, "right": {"texts": {"x": "y"}}}]}
    assert told(client.post("/match", json=pairs))[1] == "pairs[0].right.texts.x"
    assert told(client.post("/embed", json={"listings": [good] * 5}))[:2] == (422, "listings[4]")


def test_bodies_of_no_sense(client):
    assert told(client.post("/search", content=b"{"))[:2] == (415, "content-type")
    json_type = {"content-type": "application/json"}
    for body in (b"", b"{", b"[" * 100_000, b'{"texts": {"title": "\xff"}}', b'{"texts": {"title": "\\ud800"}}'):
        assert told(client.post("/search", content=body, headers=json_type))[0] == 422
    for type in (
        "multipart/form-data",
        "multipart/form-data; boundary=a",
        "multipart/form-data; boundary=" + "a" * 999,
    ):
        assert told(client.post("/search", content=b"--a\r\n\r\n--", headers={"content-type": type}))[0] == 422
    cut = b'--a\r\nContent-Disposition: form-data; name="texts.title"\r\n\r\nred'
    response = client.post("/search", content=cut, headers={"content-type": "multipart/form-data; boundary=a"})
    assert told(response)[2] == "the form's end is missing"
    assert told(client.post("/search", files=[("picture", png("red"))] * 2)) == (422, "picture", "given twice")
    assert told(client.post("/search", files={"x": png("red")}, data={"texts.title": "a"}))[1] == "x"
    surrogate = cut.replace(b"texts.title", b"+2AA-") + b"\r\n--a--\r\n"
    response = client.post(
        "/search", content=surrogate, headers={"content-type": "multipart/form-data; boundary=a; charset=utf-7"}
    )
    assert told(response)[0] == 422
    status, field, _ = told(client.post("/search", json={"texts": {"x" * 5000: "a"}}))
    assert (status, len(field)) == (422, 500)
    assert "at most 1024" in told(client.post("/embed", json={"listings": [{}] * 1025}))[2]
    assert told(client.get("/search"))[0] == 405
    assert told(client.get("/nothing"))[0] == 404


def test_too_many_bytes_told_or_not(client):
    much = b"x" * (LIMITS.body + 1)
    assert told(client.post("/search", content=much))[0] == 413
    assert told(client.post("/search", content=(much[:1000] for _ in range(1100))))[0] == 413  # by and by
    assert client.get("/health").json()["status"] == "ok"


def ask(client: httpx.Client, title: str) -> httpx.Response:
    return client.post("/search", json={"texts": {"title": title}})


def test_what_waits_is_read_together_and_one_fault_is_its_own(client, model):
    model.preparation.wait.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, client, "red")
        until(lambda: model.preparation.asked)
        others = [pool.submit(ask, client, title) for title in ("green", "BUG", "blue")]
        until(lambda: client.get("/health").json()["waiting"] == 3)
        model.preparation.wait.set()
        assert first.result().json()["results"][0]["id"] == "r/1"
        green, bug, blue = (other.result() for other in others)
    assert model.preparation.batches == [1, 3, 1, 1, 1]  # all; then each alone, since they failed together
    assert [r.json()["results"][0]["id"] for r in (green, blue)] == ["g 2", "b3"]
    assert told(bug) == (500, None, "the server failed; its log says why")


def until(holds) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_full_line_is_told_and_so_is_a_late_answer(client, model):
    model.preparation.wait.clear()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, client, "red") for _ in range(20)]
        found = [each.result() for each in asked]
        model.preparation.wait.set()
    busy = [response for response in found if response.status_code == 503]
    late = [response for response in found if response.status_code == 504]
    assert len(busy) + len(late) == 20
    assert len(busy) >= 20 - LIMITS.waiting - LIMITS.batch
    assert {response.headers["retry-after"] for response in busy} == {"1"}
    until(lambda: ask(client, "red").status_code == 200)
    assert sum(model.preparation.batches) < 20  # who had given up was not worked for


def test_a_request_that_does_not_come(client):
    host, port = client.base_url.host, client.base_url.port

    async def slowly() -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        head = b"POST /search HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
        writer.write(head)
        answer = await reader.read()
        writer.close()
        return answer

    assert asyncio.run(slowly()).startswith(b"HTTP/1.1 408 ")


def test_pictures_by_address(model):
    site = Site({"/red.png": answer(png("red")), "/no.png": answer(b"<html>no", content_type="text/html")})
    with site_of(site):
        web = Web(LIMITS, (f"127.0.0.1:{site.port}",))
        with serving(make_app(Service(model, Index(), LIMITS), web)) as url, httpx.Client(base_url=url) as client:
            found = client.post("/search", json={"picture_url": site.url("/red.png")})
            assert found.json()["results"][0]["id"] == "r/1"
            for address, reason in (
                (site.url("/no.png"), "web page"),
                (site.url("/gone.png"), "404 Not Found"),
                ("http://localhost/a.png", "loopback"),
                ("http://169.254.169.254/", "metadata"),
                ("file:///etc/passwd", "only http and https"),
            ):
                status, field, why = told(client.post("/search", json={"picture_url": address}))
                assert (status, field) == (422, "picture_url")
                assert reason in why


def test_a_model_without_tasks_and_a_server_without_index(model):
    model.tasks = {}
    with serving(make_app(Service(model, None, LIMITS))) as url, httpx.Client(base_url=url) as client:
        listing = {"texts": {"title": "red"}}
        assert told(client.post("/predict", json={"listings": [listing]}))[0] == 404
        assert told(client.post("/match", json={"pairs": [{"left": listing, "right": listing}]}))[0] == 404
        assert "--index" in told(ask(client, "red"))[2]
        assert told(client.get("/picture/a"))[0] == 404
        assert client.post("/embed", json={"listings": [listing]}).status_code == 200
        assert client.get("/health").json()["indexed"] == 0


def test_metrics_count_what_happened(client):
    ask(client, "red")
    client.post("/search", json={})
    text = client.get("/metrics").text
    assert 'mlim_requests_total{path="/search",status="200"} 1.0' in text
    assert 'mlim_requests_total{path="/search",status="422"} 1.0' in text
    assert re.search(r"^mlim_batch_listings_sum 1\.0$", text, re.M)
    assert "mlim_held_bytes 0.0" in text


def test_threads_end_with_the_server(model):
    before = threading.active_count()
    with serving(make_app(Service(model, Index(), LIMITS))) as url:
        httpx.get(f"{url}/health")
    until(lambda: threading.active_count() <= before)


def test_the_page_of_the_api_needs_no_other_server(client):
    page = client.get("/docs").text
    for address in re.findall(r"""(?:src|href)=["']([^"']+)""", page):
        assert client.get(address).status_code == 200
    assert not re.search(r"https?://", page)
    paths = json.loads(client.get("/openapi.json").text)["paths"]
    assert {*paths} == {"/", "/predict", "/match", "/embed", "/search", "/health", "/metrics", "/picture/{id}"}
