"""Some of the malformed requests of benchmarks/serve_fuzz.py, which sends 10,000."""

import threading

import pytest

from benchmarks.serve_fuzz import Fuzz
from tests.serve.fake import Answers, Index, serving
from workbench.serve.app import make_app
from workbench.serve.limits import Limits
from workbench.serve.service import Service


@pytest.fixture(scope="module")
def url():
    limits = Limits(pixels=1_000_000, seconds=5)
    with serving(make_app(Service(Answers(), Index(), limits))) as url:
        yield url


@pytest.mark.parametrize(("step", "requests"), [("by_schema", 32), ("bodies", 300), ("pictures", 200)])
def test_nothing_malformed_breaks_it(url, step, requests):
    fuzz, before = Fuzz(url), threading.active_count()
    getattr(fuzz, step)(requests, seed=7)
    fuzz.client.close()
    assert fuzz.wrong == []
    assert fuzz.statuses[422] > 0
    assert threading.active_count() <= before
