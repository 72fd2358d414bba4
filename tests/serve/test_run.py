import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from workbench.errors import DataError, RecipeError
from workbench.serve.run import address, listen, serve

SERVE = """
from tests.serve.fake import Answers
from workbench import terminal
from workbench.serve.limits import Limits
from workbench.serve.run import serve
with terminal.errors(debug=False):
    serve(Answers(slow=0.5), None, ("127.0.0.1", 0), Limits(), False)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_stopped_answers_first_and_ends_well(number):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env=environment) as child:
        url = child.stdout.readline().removeprefix("search page: ").strip()
        assert child.stdout.readline() == f"API: {url}docs\n"
        answers = []

        def ask() -> None:
            asked = {"listings": [{"texts": {"title": "red"}}]}
            answers.append(httpx.post(f"{url}embed", json=asked, timeout=20).status_code)

        httpx.get(f"{url}health")
        asking = threading.Thread(target=ask)
        asking.start()
        while asking.is_alive() and not re.search("^mlim_held_bytes [1-9]", httpx.get(f"{url}metrics").text, re.M):
            pass  # until it has come
        child.send_signal(number)
        asking.join()
        assert child.stdout.read() == "stopped\n"
    assert child.returncode == 0
    assert answers == [200]


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
        serve(None, None, ("127.0.0.1", 0), None, False)
