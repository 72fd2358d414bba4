"""The processes of one training: which of them this is, what all of them say together, and whom they wait for.

Two ways to speak: collectives, which every rank calls in the same order, and a store of words by key, which a rank may
read and write whenever it likes. Turns, steps and the first error are in the store, so that they are known of a rank
that hangs or is gone.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import ProcessGroup, Store
from torch.distributed.rendezvous import rendezvous

from workbench.errors import MlimError, Told
from workbench.train.launch import launched

POLL = 0.1  # seconds between looks at the store, in which signals are heard
_FAILED = "failed"  # key of who failed first


@dataclass(frozen=True)
class World:
    """`size` processes train one model; rank 0, the chief, alone writes files and speaks to the user.

    `total` and `heard` are collective: every rank makes the same calls in the same order.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine: the number of its GPU
    local_size: int = 1
    store: Store | None = None
    group: ProcessGroup | None = None  # in which numbers of the CPU are added

    @property
    def chief(self) -> bool:
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum of each number over all ranks, in float64."""
        sums = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            dist.all_reduce(sums, group=self.group)
        return list(sums.tolist())

    def heard(self, said: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """What the chief says, on every rank."""
        if self.size == 1:
            return None if said is None else dict(said)
        letters = torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8)
        length = int(self.total([len(letters) if self.chief else 0])[0])
        message = letters if self.chief else torch.empty(length, dtype=torch.uint8)
        dist.broadcast(message, 0, group=self.group)
        heard: dict[str, Any] | None = json.loads(message.numpy().tobytes())
        return heard

    def note(self, step: int) -> None:
        """Tell the others, should they wait for this rank, which step it has begun."""
        if self.store:
            self.store.set(_key(self.rank), str(step))

    def say(self, key: str, words: str = "") -> None:
        assert self.store
        self.store.set(key, words)

    def wait_for(self, key: str) -> str:
        """What a rank says under this key, however long that takes; until then signals are heard. Told where one fails
        meanwhile."""
        assert self.store
        self._until(lambda store: store.check([key]))
        return str(self.store.get(key), "utf-8")

    def wait_for_all(self, key: str) -> None:
        """The same until every rank has come to this call."""
        assert self.store
        self.store.add(key, 1)
        self._until(lambda store: store.add(key, 0) == self.size)

    def _until(self, so: Callable[[Store], bool]) -> None:
        assert self.store
        while not so(self.store):
            if self.store.check([_FAILED]):
                raise Told(json.loads(self.store.get(_FAILED))["exit_code"])
            time.sleep(POLL)


ALONE = World()


def met(wait: float) -> World:
    """The world that torchrun's environment names, with its store alone: nothing collective works yet."""
    store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=wait)))
    # By default one a machine: Kubeflow tells the ranks of its pods alone.
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return World(rank, size, local_rank, local_size, store)


@contextmanager
def joined(world: World, wait: float) -> Iterator[World]:
    """Within it the world's collectives work; one that is waited for longer than `wait` seconds raises."""
    gpus = torch.cuda.is_available()
    # Hung kernels of a GPU end the process, without a word; the next collective on the CPU is there before.
    longest = timedelta(seconds=2 * wait if gpus else wait)
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    dist.init_process_group(backend, store=world.store, rank=world.rank, world_size=world.size, timeout=longest)
    try:
        group = dist.new_group(backend="gloo", timeout=timedelta(seconds=wait))
        assert isinstance(group, ProcessGroup)
        with telling(world, wait):  # before the others lose this one
            yield replace(world, group=group)
    finally:
        dist.destroy_process_group()  # else the interpreter aborts at its end


class Lost(MlimError):
    """Another process of the training is gone."""


@contextmanager
def telling(world: World, wait: float) -> Iterator[None]:
    """The first process that fails within it tells the user, in its own words; on all others Told is raised.

    Also of one that died without a word: by who lost it, or by the launcher of this machine, which knows more.
    """
    try:
        yield
    except BaseException as error:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher sends it to all, and this one is ending
        said = lost(world, wait, error) if _of_the_world(error) else error
        code = 130 if isinstance(said, KeyboardInterrupt) else getattr(said, "exit_code", 1)
        first = _first(world, code)
        if first["rank"] != world.rank or (isinstance(said, Lost) and launched()):
            raise Told(first["exit_code"]) from error
        if said is error:
            raise
        raise said from error


def _first(world: World, code: int) -> dict[str, int]:
    """Which process failed first, and how."""
    own = {"rank": world.rank, "exit_code": code}
    try:
        assert world.store
        found: dict[str, int] = json.loads(world.store.compare_set(_FAILED, "", json.dumps(own)))
    except Exception:  # the store was on the machine that is gone
        return own
    return found


def _of_the_world(error: BaseException) -> bool:
    """Whether a collective or the store failed, which others brought about."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def lost(world: World, wait: float, error: BaseException) -> MlimError:
    """What to tell of a collective that failed: for whom this rank waited, as far as the store still says it."""
    if "imed out" in str(error) or "imeout" in str(error):
        return MlimError(
            f"rank {world.rank}: waited {wait:g} seconds for {_silent(world)}; look there for a disk or a network that "
            f"hangs, or give more time by runtime.wait; {_AGAIN}"
        )
    return Lost(f"rank {world.rank}: another process is gone; was it killed, or its machine? {_AGAIN}")


_AGAIN = "the same command goes on from the last checkpoint"
_GRACE = 2.0  # seconds by which one rank may have begun to wait later than another


def _silent(world: World) -> str:
    """The ranks that do not wait themselves, each with the step that it said it began."""
    try:
        world.say(f"waits/{world.rank}")
        time.sleep(_GRACE)
        assert world.store
        silent = [rank for rank in range(world.size) if not world.store.check([f"waits/{rank}"])]
        began = {rank: int(world.store.get(_key(rank))) for rank in silent if world.store.check([_key(rank)])}
    except Exception:  # it was on the machine that is gone
        return "the others"
    named = [f"rank {rank}" + (f" (in step {began[rank] + 1})" if rank in began else "") for rank in silent]
    return ", ".join(named) or "the others, who wait too"


def _key(rank: int) -> str:
    return f"step/{rank}"
