"""Pictures by web address come through the fetcher's own door, and only when allowed."""

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import torch

from workbench.answers.answers import Answers
from workbench.answers.listing import Listing
from workbench.answers.preparation import Preparation
from workbench.answers.web import Web
from workbench.asking import fetching
from workbench.errors import RecipeError
from workbench.recipe.schema import Fetch


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def host(sold: Any) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=sold.folder / "pictures")
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_hosts_of_one_s_own_network_are_named_and_that_is_leave_enough() -> None:
    assert fetching(False, None) is None
    assert fetching(True, None) == Fetch()
    assert fetching(False, ["cdn.intern:8080"]) == Fetch(allow_hosts=("cdn.intern:8080",))
    with pytest.raises(RecipeError, match=r"--fetch-from http://x/: expected HOST or HOST:PORT, as cdn\.intern:8080"):
        fetching(False, ["http://x/"])


def test_a_picture_from_the_web_is_that_of_the_file(sold: Any, answers: Answers, host: str) -> None:
    files = [sold.folder / "pictures" / name for name in ("1.png", "turned.jpg")]
    expected = answers.preparation.prepare([Listing("x", {}, file) for file in files])
    with closing(Web(Fetch(allow_hosts=(host,)), 10**6)) as web:
        preparation = Preparation.open(sold.model, 2, web)
        listings = [Listing("x", {}, f"http://{host}/{file.name}") for file in files]
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(preparation.prepare, [listings] * 4):
                assert found.pictures == ["present", "present"]
                assert torch.equal(found.batch.pixels_BCHW, expected.batch.pixels_BCHW)
        gone = preparation.prepare([Listing("x", {}, f"http://{host}/gone.png")])
        assert gone.pictures == ["absent: 404 Not Found"]


def test_addresses_within_the_network_are_refused(sold: Any, host: str) -> None:
    with closing(Web(Fetch(), 10**6)) as web:
        preparation = Preparation.open(sold.model, 1, web)
        for url in (f"http://{host}/1.png", "http://169.254.169.254/latest", "file:///etc/passwd", "//localhost/1.png"):
            state = preparation.prepare([Listing("x", {}, url)]).pictures[0]
            assert state.startswith("absent"), (url, state)


def test_several_threads_prepare_at_once(sold: Any, answers: Answers) -> None:
    files = sorted((sold.folder / "pictures").iterdir())
    listings = [Listing(file.name, {"title": f"the picture {file.stem}"}, file) for file in files]
    expected = answers.preparation.prepare(listings)
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(answers.preparation.prepare, [listings] * 12):
            assert found.pictures == expected.pictures
            assert torch.equal(found.batch.pixels_BCHW, expected.batch.pixels_BCHW)
            assert torch.equal(found.batch.tokens_BL, expected.batch.tokens_BL)
