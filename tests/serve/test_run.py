import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from workbench.errors import DataError, RecipeError
from workbench.serve.run import Served, address, listen, serve

SERVE = """
import signal
import sys
import typer
from functools import partial
from tests.serve import fake
from workbench import terminal
from workbench.serve.run import Served, serve
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background is born deaf to
try:
    with terminal.errors(debug=False):
        serve(Served({model}), ("127.0.0.1", 0), {workers})
except typer.Exit as ended:
    sys.exit(ended.exit_code)
"""
ASKED = {"listings": [{"texts": {"title": "red"}}]}
SLOW = "partial(fake.opened, 0.5)"


@contextmanager
def server(workers: int, model: str = SLOW) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", SERVE.format(model=model, workers=workers)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def url_of(child: subprocess.Popen[str]) -> str:
    url = child.stdout.readline().removeprefix("search page: ").strip()
    assert child.stdout.readline() == f"API: {url}docs\n", child.stderr.read()
    return url


def until(true) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def workers_of(child: subprocess.Popen[str]) -> list[int]:
    tasks = Path(f"/proc/{child.pid}/task").iterdir()
    numbers = [number for task in tasks for number in (task / "children").read_text().split()]
    return [int(number) for number in numbers if "spawn_main" in Path(f"/proc/{number}/cmdline").read_text()]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_stopped_answers_first_and_ends_well(number, workers):
    with server(workers) as child:
        url = url_of(child)
        answers = []

        def ask() -> None:
            answers.append(httpx.post(f"{url}embed", json=ASKED, timeout=20).status_code)

        httpx.get(f"{url}health")
        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: re.search("^mlim_held_bytes [1-9]", httpx.get(f"{url}metrics").text, re.M))  # it has come
        child.send_signal(number)
        asking.join()
        assert child.stdout.read() == "stopped\n"
        assert child.wait() == 0
    assert answers == [200]


def test_several_processes_count_together_and_one_that_dies_is_replaced():
    with server(2, "partial(fake.opened, 0.0)") as child:
        url = url_of(child)
        first = workers_of(child)
        assert len(first) == 2
        for _ in range(20):  # connections of their own, of which the kernel gives some to either
            assert httpx.post(f"{url}embed", json=ASKED, timeout=20).status_code == 200
        counted = r'^mlim_requests_total{path="/embed",status="200"} 20.0$'
        assert re.search(counted, httpx.get(f"{url}metrics").text, re.M)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(now := workers_of(child)) == 2 and first[0] not in now)
        assert "a worker ended with code -9; another is started" in child.stderr.readline()
        assert httpx.post(f"{url}embed", json=ASKED, timeout=20).status_code == 200
        port = int(url.strip("/").rpartition(":")[2])
        with pytest.raises(DataError, match="Address already in use"):
            listen("127.0.0.1", port)


def test_workers_end_with_the_first_process_however_it_ends():
    with server(2, "partial(fake.opened, 0.0)") as child:
        url_of(child)
        workers = workers_of(child)
        child.kill()
        child.wait()
        until(lambda: not any(Path(f"/proc/{number}").exists() for number in workers))


def test_a_model_that_no_worker_can_open_is_told_once():
    with server(2, "fake.broken") as child:
        told = child.stderr.read()
        assert child.wait() == 1
        assert told.count("a damaged model; export it again") == 1
        assert "Traceback" not in told


def test_a_port_that_is_taken_and_a_host_that_is_not_ours():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert address(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(DataError, match=rf"127.0.0.1:{port}: Address already in use; give another"):
            listen("127.0.0.1", port)
    with pytest.raises(DataError, match="Cannot assign requested address"):
        listen("192.0.2.1", 0)
    if socket.has_dualstack_ipv6():
        with listen("::1", 0) as sixth:
            assert address(sixth).startswith("http://[::1]:")


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(RecipeError, match=r"pip install mlim\[serve\]"):
        serve(Served(None), ("127.0.0.1", 0))
