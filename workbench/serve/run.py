"""The process that serves: one port, one event loop, until it is told to stop."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import DataError, RecipeError, Terminated
from workbench.serve.limits import Limits

if TYPE_CHECKING:
    from workbench.answers.answers import Answers

CONNECTIONS = 1024  # at once; more are told 503
IDLE = 75  # seconds that a connection is kept for its next request


def serve(answers: Answers, index: Path | None, at: tuple[str, int], limits: Limits, urls: bool) -> None:
    """Answer at (host, port) until SIGINT or SIGTERM; what was asked before is answered still.

    Raises RecipeError where the libraries for it are not installed, DataError for an index or an address that can't be
    used.
    """
    try:
        import torch
        import uvicorn

        from workbench.serve.app import make_app
    except ImportError as error:
        raise RecipeError(f"{error.name} is not installed; mlim serve needs: pip install mlim[serve]") from None
    from workbench.answers.index import Index
    from workbench.serve.service import Service
    from workbench.serve.web import Web

    # Kernels are kept for every size of batch that there was, 1,024 by default: 100 MB that only creep up.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    # One core is left for requests and their pictures: torch's threads wait for each other in loops that cost as much.
    torch.set_num_threads(max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0)) - 1)))
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.ERROR)  # clients' faults are told to them
    service = Service(answers, Index.open(index, answers.key) if index else None, limits)
    with listen(*at) as listening:
        app = make_app(service, Web(limits) if urls else None)
        print(f"search page: {address(listening)}/\nAPI: {address(listening)}/docs", flush=True)
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="error",
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=int(limits.seconds) + 1,
        )
        try:
            uvicorn.Server(config).run([listening])
        except (KeyboardInterrupt, Terminated):  # which uvicorn raises again when all is answered
            print("stopped")


def listen(host: str, port: int) -> socket.socket:
    """Raises DataError where the address is taken, or not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        told = str(error.strerror).partition(" (")[0]
        raise DataError(f"{host}:{port}: {told}; give another --host or --port") from None


def address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
