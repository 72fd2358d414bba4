"""The process that serves: one port, one event loop, until it is told to stop."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from workbench.errors import DataError
from workbench.serve.limits import Limits

CONNECTIONS = 1024  # at once; more are told 503
IDLE = 75  # seconds that a connection is kept for its next request


def listen(host: str, port: int) -> socket.socket:
    """Raises DataError where the address is taken, or not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or error
        raise DataError(f"{host}:{port}: {told}; give another --host or --port") from None


def address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def serve(app: FastAPI, listening: socket.socket, limits: Limits, ready: Callable[[], None]) -> None:
    """Until SIGINT or SIGTERM; what was asked before is answered. `ready` is called when requests are answered."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
    )
    _Server(config, ready).run([listening])
