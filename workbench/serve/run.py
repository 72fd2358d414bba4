"""The processes that serve: one port, in each an event loop, until they are told to stop."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from workbench.errors import DataError, RecipeError, Terminated
from workbench.serve.limits import Limits
from workbench.serve.workers import Workers

if TYPE_CHECKING:
    from workbench.answers.answers import Answers

CONNECTIONS = 1024  # at once, in each process; more are told 503
IDLE = 75  # seconds that a connection is kept for its next request
At = tuple[str, int]  # host and port


@dataclass(frozen=True)
class Served:
    """What every process serves. `model` opens it, given how many threads for pictures and for torch; it is
    pickled for processes."""

    model: Callable[[int], Answers]
    index: Path | None = None
    limits: Limits = field(default_factory=Limits)
    urls: bool = False  # fetch pictures by web address

    def app(self, threads: int) -> Any:
        """Raises DataError for an index that can't be used, and whatever `model` raises."""
        import torch

        from workbench.answers.index import Index
        from workbench.serve.app import make_app
        from workbench.serve.service import Service
        from workbench.serve.web import Web

        # Kernels are kept for every size of batch that there was, 1,024 by default: 100 MB that only creep up.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.ERROR)  # clients' faults are told to them
        answers = self.model(threads)
        torch.set_num_threads(threads)
        index = Index.open(self.index, answers.key) if self.index else None
        return make_app(Service(answers, index, self.limits), Web(self.limits) if self.urls else None)


def opened(folder: Path, device: str, threads: int) -> Answers:
    from workbench.answers.answers import Answers

    return Answers.open(folder, device, threads)


def serve(served: Served, at: At, workers: int = 1, threads: int = 0) -> None:
    """Answer at (host, port) until SIGINT or SIGTERM; what was asked before is answered still. `threads` are of each of
    the processes; 0: what the cores give.

    Raises RecipeError where the libraries for it are not installed, DataError for an index or an address that can't be
    used.
    """
    try:
        import fastapi_offline  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise RecipeError(f"{error.name} is not installed; mlim serve needs: pip install mlim[serve]") from None
    threads = threads or _threads(workers)
    try:
        with listen(*at) as listening:
            if workers == 1:
                _answer(served.app(threads), listening, lambda: _say(listening))
                return
            at = listening.getsockname()[:2]
        _serve_together(served, at, workers, threads)
    except (KeyboardInterrupt, Terminated):  # which uvicorn raises again when all is answered
        print("stopped")


def _serve_together(served: Served, at: At, workers: int, threads: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    with TemporaryDirectory(prefix="mlim-serve-") as folder, _bound(*at) as kept:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # in which they count together
        work = partial(_work, served, kept.getsockname()[:2], threads)
        died = partial(mark_process_dead, path=folder)
        with Workers(work, workers, served.limits.seconds + 2, died) as together:
            _say(kept)
            together.watch()


def _work(served: Served, at: At, threads: int, ready: Callable[[], None]) -> None:
    app = served.app(threads)
    with _bound(*at) as listening:
        listening.listen(2048)
        _answer(app, listening, ready)


def _answer(app: Any, listening: socket.socket, ready: Callable[[], None]) -> None:
    import uvicorn

    ready()
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="error",
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=int(app.state.seconds) + 1,
    )
    uvicorn.Server(config).run([listening])


def _threads(workers: int) -> int:
    """Of torch and of pictures in each: cores that are left by the event loop and by each other. Torch's threads wait
    for one another in loops that cost as much as work."""
    return max(1, (len(os.sched_getaffinity(0)) - 1) // workers)


def usual_workers(device: str) -> int:
    """One with a GPU, which takes the work off Python; else one a core, but no more than memory is spent on unasked."""
    import torch

    return 1 if device != "cpu" and torch.cuda.is_available() else min(4, len(os.sched_getaffinity(0)))


def listen(host: str, port: int) -> socket.socket:
    """Raises DataError where the address is taken, or not of this machine."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048)
    except OSError as error:
        told = str(error.strerror).partition(" (")[0]
        raise DataError(f"{host}:{port}: {told}; give another --host or --port") from None


def _bound(host: str, port: int) -> socket.socket:
    """At an address that other sockets of ours are bound to, too; it does not listen yet."""
    bound = socket.socket(_family(host))
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
    bound.bind((host, port))
    return bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _say(listening: socket.socket) -> None:
    print(f"search page: {address(listening)}/\nAPI: {address(listening)}/docs", flush=True)


def address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
