"""Real processes that are one world, over gloo on loopback; forked from a server that has imported torch once."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.train.world import joined, met, telling

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.train.test_ranks"])


def ranks(size: int, work: Callable[..., Any], *args: Any, wait: float = 60.0) -> list[Any]:
    """What `work(world, *args)` returns on each rank, or what it raised."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pipes = [FORKED.Pipe(duplex=False) for _ in range(size)]
    started, over = [], FORKED.Event()
    for rank, (_, end) in enumerate(pipes):
        environment = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        started.append(FORKED.Process(target=_work, args=(environment, end, over, wait, work, args)))
        started[-1].start()
        end.close()
    found = [_received(pipe) for pipe, _ in pipes]
    over.set()
    for process in started:
        process.join(30)
        process.kill()
    return found


def _received(pipe: Any) -> Any:
    try:
        return pipe.recv() if pipe.poll(60) else None
    except EOFError:  # it died
        return None


def _work(
    environment: dict[str, object], end: Any, over: Any, wait: float, work: Callable[..., Any], args: Sequence[Any]
) -> None:
    os.environ |= {name: str(value) for name, value in environment.items()}
    torch.set_num_threads(1)
    world = met(wait)
    try:
        with telling(world, wait), joined(world, wait) as world:
            found = work(world, *args)
    except Exception as error:
        found = error
    end.send(found)
    if world.chief:  # which has the store
        over.wait(30)
